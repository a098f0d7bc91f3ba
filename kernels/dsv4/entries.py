"""Every kernel that runs on one card, with its standard inputs, reference and tolerance: for what runs them all.

A case imports its modules when it is built, so that naming a kernel costs nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from types import MappingProxyType
from typing import Any

from config import DECODE_BATCH, DECODE_SEQ, PREFILL_BATCH, PREFILL_SEQ


@dataclass(frozen=True)
class Case:
    """What `run_jit` needs: a kernel, specs of its arguments in order, its reference, a comparer for each output."""

    kernel: Any
    specs: list[Any]
    golden: Callable[[dict[str, Any]], None]
    tolerance: dict[str, Any]


def _compared(tolerance: dict[str, Any], specs: list[Any]) -> dict[str, Any]:
    names = {spec.name for spec in specs if getattr(spec, "is_output", False)}
    return {name: comparer for name, comparer in tolerance.items() if name in names}


def _by_tokens(name: str, fixtures: str, reference: str, file: str = "") -> Case:
    """A kernel for any number of tokens, at decode size. file: where it is not called like the kernel."""
    file = file or name
    specs = getattr(import_module(fixtures), f"{name}_specs")(DECODE_BATCH * DECODE_SEQ)
    golden = getattr(import_module(reference), f"golden_{name}")
    return Case(
        getattr(import_module(file), f"{name}_test"), specs, golden, import_module(f"{file}_script").OUTPUT_TOLERANCE
    )


def _by_name(name: str, file: str = "") -> Case:
    """A kernel whose script has everything under its name. file: where it is another form of that kernel."""
    script = import_module(f"{name}_script")
    specs, golden = getattr(script, f"{name}_specs")(), getattr(script, f"golden_{name}")
    module = import_module(file or name)
    kernel = getattr(module, f"{name}_test", None) or getattr(module, name)
    return Case(kernel, specs, golden, script.OUTPUT_TOLERANCE)


def _decode_compressor(ratio: int) -> Case:
    script = import_module("decode_compressor_script")
    fixtures = import_module("compressor_fixtures")
    specs = fixtures.compressor_specs(fixtures.CompressorStep(script.COMPRESSORS[ratio]))
    kernel = import_module(f"decode_compressor_ratio{ratio}").compressor_test
    return Case(kernel, specs, partial(script.golden_compressor, ratio=ratio), script.OUTPUT_TOLERANCE)


def _indexer(which: int) -> Case:
    """0: the compressor, 1: the indexer."""
    script = import_module("decode_indexer_script")
    tolerance = script.tolerances(DECODE_BATCH)[which]
    if which:
        kernel = import_module("decode_indexer").indexer_test
        return Case(kernel, script.indexer_specs(), script.golden_indexer, tolerance)
    kernel = import_module("decode_indexer_compressor").compressor_test
    return Case(kernel, script.indexer_compressor_specs(), script.golden_indexer_compressor, tolerance)


def _decode_sparse(suffix: str) -> Case:
    module = import_module(f"decode_sparse_attn{suffix}")
    script, fixtures = import_module("sparse_attn_script"), import_module("sparse_attn_fixtures")
    specs = fixtures.tensor_specs(fixtures.Fixture(module.TOPK, module.DEFAULT_COMPRESS_RATIO))
    return Case(module.sparse_attn_test, specs, script.golden_sparse_attn, script.OUTPUT_TOLERANCE)


def _decode_attention(kind: str) -> Case:
    script = import_module("decode_attention_script")
    kernel = getattr(import_module(f"decode_attention_{kind}"), f"attention_{kind}_test")
    specs = script.SPECS[kind](None)
    return Case(kernel, specs, script.GOLDEN[kind], script.tolerance(specs))


def _prefill_compressor(ratio: int) -> Case:
    script = import_module("prefill_compressor_script")
    kernel = getattr(import_module(f"prefill_compressor_ratio{ratio}"), f"prefill_compressor_ratio{ratio}_test")
    specs = script.PrefillRun(script.COMPRESSORS[ratio]).specs()
    return Case(kernel, specs, script.GOLDEN[ratio], script.OUTPUT_TOLERANCE)


def _prefill_sparse() -> Case:
    script, kernel = import_module("prefill_sparse_attn_script"), import_module("prefill_sparse_attn")
    specs = script.tensor_specs(script.Fixture(kernel.DEFAULT_COMPRESS_RATIO))
    return Case(kernel.prefill_sparse_attn_test, specs, script.golden_prefill_sparse_attn, script.OUTPUT_TOLERANCE)


def _prefill_attention(kind: str) -> Case:
    script = import_module("prefill_attention_script")
    kernel = getattr(import_module(f"prefill_attention_{kind}"), f"prefill_attention_{kind}_test")
    tokens = PREFILL_BATCH * PREFILL_SEQ
    specs = script.SPECS[kind](0, tokens)
    return Case(kernel, specs, script.GOLDEN[kind], script.tolerance(kind, tokens))


def _prefill_indexer(name: str, tolerance: str, run: str) -> Case:
    script = import_module("prefill_indexer_script")
    specs = getattr(script, f"{name}_specs")(getattr(script, run)(0))
    golden = getattr(script, f"golden_{name}")
    return Case(getattr(import_module(name), f"{name}_test"), specs, golden, getattr(script, tolerance))


def _gate() -> Case:
    script = import_module("gate_script")
    return Case(import_module("gate").gate_test, script.gate_specs(0), script.golden_gate, script.OUTPUT_TOLERANCE)


def _routes(name: str) -> Case:
    """dispatch or combine."""
    script = import_module("dispatch_script")
    kernel = getattr(import_module(name), f"{name}_test")
    specs, golden = getattr(script, f"{name}_specs")(), getattr(script, f"golden_{name}")
    return Case(kernel, specs, golden, getattr(script, f"{name.upper()}_TOLERANCE"))


def _moe() -> Case:
    script = import_module("moe_script")
    kernel = import_module("moe").moe_ep1_test
    return Case(kernel, script.moe_specs(), script.golden_moe_ep1, script.OUTPUT_TOLERANCE)


def _layer(phase: str, layer_id: int) -> Case:
    """phase: 'decode' or 'prefill'. Layers 0 and 1 have SWA; then even ones CSA, odd ones HCA."""
    script = import_module(f"{phase}_layer_script")
    kernel = getattr(import_module(f"{phase}_layer"), f"{phase}_layer")
    specs = script.layer_specs([parameter.name for parameter in kernel.parameters], layer_id)
    golden = getattr(script, f"golden_{phase}_layer")
    return Case(kernel, specs, golden, script.tolerance(specs, layer_id))


def _forward() -> Case:
    """The reference goes along with the run, so a case of this is good for one run."""
    script, kernel = import_module("decode_fwd_script"), import_module("decode_fwd").decode_fwd
    forward = script.Forward()
    specs = forward.specs([parameter.name for parameter in kernel.parameters])
    return Case(kernel, specs, forward.begin, forward.tolerance(specs))


CASES: MappingProxyType[str, Callable[[], Case]] = MappingProxyType(
    {
        "hc_pre": partial(_by_tokens, "hc_pre", "hc_fixtures", "hc_reference"),
        "hc_post": partial(_by_tokens, "hc_post", "hc_fixtures", "hc_reference"),
        "rms_norm": partial(_by_tokens, "rms_norm", "hc_fixtures", "hc_reference", "rmsnorm"),
        "qkv_proj_rope": partial(_by_tokens, "qkv_proj_rope", "qkv_proj_rope_script", "qkv_reference"),
        "decode_compressor_ratio4": partial(_decode_compressor, 4),
        "decode_compressor_ratio128": partial(_decode_compressor, 128),
        "decode_indexer_compressor": partial(_indexer, 0),
        "decode_indexer": partial(_indexer, 1),
        "decode_sparse_attn": partial(_decode_sparse, ""),
        "decode_sparse_attn_swa": partial(_decode_sparse, "_swa"),
        "decode_sparse_attn_hca": partial(_decode_sparse, "_hca"),
        "decode_attention_swa": partial(_decode_attention, "swa"),
        "decode_attention_csa": partial(_decode_attention, "csa"),
        "decode_attention_hca": partial(_decode_attention, "hca"),
        "prefill_compressor_ratio4": partial(_prefill_compressor, 4),
        "prefill_compressor_ratio128": partial(_prefill_compressor, 128),
        "prefill_sparse_attn": _prefill_sparse,
        "prefill_indexer_compressor": partial(
            _prefill_indexer, "prefill_indexer_compressor", "COMPRESSOR_TOLERANCE", "compressor_run"
        ),
        "prefill_indexer": partial(_prefill_indexer, "prefill_indexer", "INDEXER_TOLERANCE", "indexer_run"),
        "prefill_attention_swa": partial(_prefill_attention, "swa"),
        "prefill_attention_hca": partial(_prefill_attention, "hca"),
        "prefill_attention_csa": partial(_prefill_attention, "csa"),
        "gate": _gate,
        "expert_shared": partial(_by_name, "expert_shared"),
        "expert_routed": partial(_by_name, "expert_routed"),
        "expert_routed_split": partial(_by_name, "expert_routed", "expert_routed_split"),
        "dispatch": partial(_routes, "dispatch"),
        "combine": partial(_routes, "combine"),
        "moe": _moe,
        "decode_layer": partial(_layer, "decode", 10),
        "prefill_layer": partial(_layer, "prefill", 2),
        "decode_fwd": _forward,
        "hc_head": partial(_by_name, "hc_head"),
        "lm_head": partial(_by_name, "lm_head"),
        "mtp_projection": partial(_by_name, "mtp_projection"),
    }
)


def case(name: str) -> Case:
    """The case of a kernel. Raises KeyError for a name that is not in `CASES`."""
    made = CASES[name]()
    return Case(made.kernel, made.specs, made.golden, _compared(made.tolerance, made.specs))
