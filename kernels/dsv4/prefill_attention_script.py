"""The command line of the prefill attention kernels: build the inputs, run, compare."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from command_line import base_parser, run_script
from config import FLASH
from prefill_attention_fixtures import TOKENS, csa_specs, hca_specs, swa_specs
from prefill_attention_reference import (
    Tensors,
    golden_prefill_attention_csa,
    golden_prefill_attention_hca,
    golden_prefill_attention_swa,
)
from prefill_indexer_script import KEYS

from pto_sim.golden import ScalarSpec, TensorSpec, ratio_allclose, ratio_reldiff

SPECS: dict[str, Callable[[int, int], list[TensorSpec | ScalarSpec]]] = {
    "swa": swa_specs,
    "hca": hca_specs,
    "csa": csa_specs,
}
GOLDEN: dict[str, Callable[[Tensors], None]] = {
    "swa": golden_prefill_attention_swa,
    "hca": golden_prefill_attention_hca,
    "csa": golden_prefill_attention_csa,
}
RING = ratio_allclose(atol=1e-4, rtol=1 / 128)
# A run writes few rows of these: a share of all elements that is usual elsewhere would let a whole row be wrong.
COMPRESSED = ratio_allclose(atol=1e-4, rtol=1 / 128, max_error_ratio=1e-4)
WITH_COMPRESSION = {"kv_cache": RING, "cmp_kv": COMPRESSED}
CACHES: Mapping[str, dict[str, Any]] = {
    "swa": {"kv_cache": ratio_allclose(atol=1e-4, rtol=1e-2)},
    "hca": WITH_COMPRESSION,
    # Sixteen elements of keys may lie on the other side of a BF16 rounding, as in the indexer's own test.
    "csa": WITH_COMPRESSION | {"idx_kv_cache": KEYS},
}
STATES: Mapping[str, tuple[str, ...]] = {
    "swa": (),
    "hca": ("cmp_kv_state", "cmp_score_state"),
    "csa": ("cmp_kv_state", "cmp_score_state", "inner_kv_state", "inner_score_state"),
}
WRONG_SHARE = 0.005  # of the elements that a run writes
STREAM_DIFFERENCE = {"swa": 3e-3, "hca": 5e-3, "csa": 5e-3}


def of_tokens(comparer: Callable[..., Any], num_tokens: int) -> Callable[..., Any]:
    """`comparer` of the first rows: those of padding are nobody's."""

    def compare(actual: Any, expected: Any, **context: Any) -> Any:
        return comparer(actual[:num_tokens], expected[:num_tokens], **context)

    compare.__name__ = f"{comparer.__name__} of the first {num_tokens} rows"
    return compare


def state_tolerance(num_tokens: int) -> Any:
    """A comparer of a state: it has a row for every position, of which a run writes `num_tokens`.

    An activation that is rounded to BF16 the other way moves a row of projections by more than their own tolerance.
    """
    share = WRONG_SHARE * num_tokens / FLASH.max_position_embeddings
    return ratio_allclose(atol=1e-3, rtol=1e-3, max_error_ratio=share)


def caches_tolerance(kind: str, num_tokens: int) -> dict[str, Any]:
    """A comparer for each cache and state that a kind of attention writes."""
    return {**CACHES[kind], **dict.fromkeys(STATES[kind], state_tolerance(num_tokens))}


def tolerance(kind: str, num_tokens: int) -> dict[str, Any]:
    """A comparer for each output of a kind of attention."""
    streams = ratio_reldiff(diff_thd=STREAM_DIFFERENCE[kind], pct_thd=0.005, max_diff_hd=1)
    return {"x_out": of_tokens(streams, num_tokens), **caches_tolerance(kind, num_tokens)}


def main(kernel: object, *, kind: str, argv: Sequence[str] | None = None) -> None:
    """Run `kernel` as the flags say. kind: 'swa', 'hca' or 'csa'."""
    flags = base_parser()
    flags.add_argument("--start-pos", type=int, default=0, help="position of the first token")
    flags.add_argument("--num-tokens", type=int, default=TOKENS, help="tokens that are not padding")
    args = flags.parse_args(argv)
    specs = SPECS[kind](args.start_pos, args.num_tokens)
    run_script(kernel, specs, GOLDEN[kind], tolerance(kind, args.num_tokens), args)
