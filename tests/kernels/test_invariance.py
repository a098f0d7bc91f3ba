"""No kernel's output depends on scopes, on the order or the number of blocks side by side, on cores, rings or threads.

Each kernel runs at flash size on its standard inputs, and its outputs are compared by their bits. A form without scopes
may not fit a ring; it must then end in error 2 and say a size that would do.
"""

import hashlib
import re
from pathlib import Path

import numpy as np
import pytest
import tomllib

import ascend_model
from pto_sim.testing import run

from .kernel_layout import arguments
from .sandbox import kernel_folder

MIB = 2**20
LIGHT = ("hc_post", "rms_norm", "dispatch", "combine", "prefill_compressor_ratio128")
NAMES = (
    "hc_pre", "hc_post", "rms_norm", "qkv_proj_rope", "decode_compressor_ratio4", "decode_compressor_ratio128",
    "decode_indexer_compressor", "decode_indexer", "decode_sparse_attn", "decode_sparse_attn_swa",
    "decode_sparse_attn_hca", "decode_attention_swa", "decode_attention_csa", "decode_attention_hca",
    "prefill_compressor_ratio4", "prefill_compressor_ratio128", "prefill_sparse_attn", "prefill_indexer_compressor",
    "prefill_indexer", "prefill_attention_swa", "prefill_attention_hca", "prefill_attention_csa", "gate",
    "expert_shared", "expert_routed", "expert_routed_split", "dispatch", "combine", "moe", "decode_layer",
    "prefill_layer", "hc_head", "lm_head", "mtp_projection",
)  # fmt: skip
BIG = (1024 * MIB,) * 4
VARIANTS = {
    "flat": {"scopes": "flat", "ring_heap_bytes": BIG},
    "auto scopes": {"scopes": "auto", "ring_heap_bytes": BIG},
    "blocks one by one": {"lanes": 1},
    "8 blocks at a time": {"lanes": 8},
    "24 blocks at a time": {"lanes": 24},
    "blocks shuffled": {"block_order_seed": 7},
    "two host threads": {"threads": 2},
    "rings of 64 MiB": {"ring_heap_bytes": (64 * MIB,) * 4},
    "rings of 128 MiB": {"ring_heap_bytes": (128 * MIB,) * 4},
    "rings of 1 GiB": {"ring_heap_bytes": BIG},
}
MAY_NOT_FIT = {"rings of 64 MiB", "rings of 128 MiB"}


@pytest.fixture
def case(tmp_path, request):
    with kernel_folder(tmp_path):
        import entries

        return entries.case(request.param)


def digests(done):
    """Of every output, by name. What nothing wrote holds a fixed value."""
    return {
        name: hashlib.sha256(np.ascontiguousarray(array).view(np.uint8)).hexdigest()
        for name, array in done.outputs.items()
    }


def check(case, variants):
    values = arguments(case.specs)
    plain = run(case.kernel, values, timing=False, checks=False)
    assert plain.fault is None
    expected = digests(plain)
    for name in variants:
        done = run(case.kernel, values, checks=False, **{"timing": False, **VARIANTS[name]})
        if done.fault is not None:
            assert name in MAY_NOT_FIT, f"{name}: {done.fault}"
            assert done.fault.runtime_code == 2 and re.search(r"\d+ bytes", str(done.fault)), done.fault
            continue
        assert digests(done) == expected, name


def test_every_kernel_is_named(tmp_path):
    with kernel_folder(tmp_path):
        import entries

        assert set(NAMES) == set(entries.CASES) - {"decode_fwd"}


@pytest.mark.flash
@pytest.mark.parametrize("case", LIGHT, indirect=True)
def test_bits_of_a_light_kernel_depend_on_its_inputs_alone(case):
    check(case, VARIANTS)


@pytest.mark.flash
@pytest.mark.slow
@pytest.mark.parametrize("case", [name for name in NAMES if name not in LIGHT], indirect=True)
def test_bits_depend_on_the_inputs_alone(case):
    check(case, VARIANTS)


@pytest.mark.flash
@pytest.mark.parametrize("case", ["hc_pre", pytest.param("moe", marks=pytest.mark.slow)], indirect=True)
def test_bits_do_not_depend_on_the_cores_of_the_chip(tmp_path, case):
    source = Path(ascend_model.__file__).parent / "chips" / "a2a3.toml"
    text = source.read_text()
    clusters = tomllib.loads(text)["cores"]["clusters"]["value"]
    assert clusters == 24
    values, found, times = arguments(case.specs), [], []
    for count in (1, 8, 24):
        chip = tmp_path / f"{count}.toml"
        chip.write_text(text.replace("clusters = { value = 24,", f"clusters = {{ value = {count},"))
        done = run(case.kernel, values, chip=str(chip), checks=False)
        found.append(digests(done))
        times.append(done.timeline.total_us)
    assert found[0] == found[1] == found[2]
    assert times[0] > 4 * max(times[1:]), "the chips really differ"
