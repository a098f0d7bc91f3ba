"""Memory figures: how they are read from scope_stats.jsonl, and those of the large kernels at flash size.

Expected values are those reported with the scopes (rings of 1 GiB, slot rule `seed`, reading `max_lag`), in MiB of two
digits; the ones of the sparse attentions are tested with their kernels.
"""

import json

import pytest

from pto_sim.testing import bits_equal, run

from .kernel_layout import arguments
from .sandbox import kernel_folder

RINGS = (2**30,) * 4


@pytest.fixture
def figures(tmp_path):
    with kernel_folder(tmp_path):
        import memory_figures

        yield memory_figures


def record(site, phase, depth, ring, start, end):
    return json.dumps(
        {"site": site, "phase": phase, "depth": depth, "ring": ring, "heap_start": start, "heap_end": end}
    )


def test_scopes_are_paired_and_listed_by_their_begin(figures):
    lines = [
        "{}",
        record("(unknown):0", "begin", 0, 0, 0, 0),
        record("k.py:1", "begin", 1, 1, 0, 0),
        record("k.py:1", "end", 1, 1, 0, 3000),
        record("k.py:2", "begin", 1, 1, 1000, 3000),
        record("k.py:2", "end", 1, 1, 2000, 9000),
        record("(unknown):0", "end", 0, 0, 0, 500),
    ]
    root, first, second = figures.scope_uses(lines)
    assert (root.depth, root.alloc_bytes, root.high_water_bytes, root.residency_bytes) == (0, 500, 500, 500)
    assert (first.alloc_bytes, first.high_water_bytes, first.residency_bytes) == (3000, 3000, 3000)
    assert (second.alloc_bytes, second.high_water_bytes, second.residency_bytes) == (6000, 8000, 7000)
    assert figures.measured_bytes([root, first, second], "peak") == 8000
    assert figures.measured_bytes([root, first, second], "frame") == 500


def test_frame_under_automatic_scopes_is_the_body(figures):
    root, body, inner = (figures.ScopeUse(depth, depth, size, size, size) for depth, size in ((0, 0), (1, 70), (2, 30)))
    assert figures.measured_bytes([root, body, inner], "frame") == 70
    assert figures.measured_bytes([root, body, body], "frame") == 0  # two scopes side by side: the frame is the root


def test_a_file_of_crossing_scopes_is_refused(figures):
    lines = ["{}", record("a", "begin", 0, 0, 0, 0), record("b", "begin", 1, 1, 0, 0), record("a", "end", 0, 0, 0, 0)]
    with pytest.raises(ValueError, match="scope b is open where a ends"):
        figures.scope_uses(lines)


def test_hundredths_are_rounded_half_up(figures):
    assert figures.mebibytes(170 * 2**20 + 5 * 2**17) == "170.63"
    assert figures.mebibytes(0) == "0.00"


def measured(figures, done, reading="max_lag"):
    """Peak and frame of a run, and its nesting depth and number of rings."""
    assert done.fault is None
    uses = figures.scope_uses(figures.scope_stats_lines(done.heap[reading], RINGS))
    texts = [figures.mebibytes(figures.measured_bytes(uses, what)) for what in ("peak", "frame")]
    return *texts, max(use.depth for use in uses), len({use.ring for use in uses if use.alloc_bytes})


@pytest.mark.flash
def test_attention_csa_with_and_without_scopes(figures):
    made = figures.case("decode_attention_csa")
    inputs = arguments(made.specs)
    options = {"pipe_slots": "seed", "timing": False, "checks": False}
    written = run(made.kernel, inputs, ring_heap_bytes=RINGS, **options)
    assert measured(figures, written) == ("153.50", "99.79", 2, 3)
    assert measured(figures, written, "prompt") == ("99.79", "99.79", 2, 3)
    flat = run(made.kernel, inputs, ring_heap_bytes=RINGS, scopes="flat", **options)
    assert measured(figures, flat) == ("256.07", "256.07", 0, 1)
    assert bits_equal(written, flat)
    default = run(made.kernel, inputs, scopes="flat", **options)
    assert default.fault is not None and default.fault.runtime_code == 2
    assert f"The smallest power of two with which this program passes is {512 * 2**20} (heap of ring 0)" in str(
        default.fault
    )


@pytest.mark.flash
def test_moe_with_scopes_with_automatic_ones_and_with_none(figures):
    """Without scopes 0.03 more than reported: a row of factors of each of the 32 tiles takes a whole KiB."""
    made = figures.case("moe")
    inputs = arguments(made.specs)
    options = {"pipe_slots": "seed", "timing": False, "checks": False, "ring_heap_bytes": RINGS}
    written = run(made.kernel, inputs, **options)
    assert measured(figures, written) == ("72.68", "5.77", 2, 3)
    flat = run(made.kernel, inputs, scopes="flat", **options)
    assert measured(figures, flat)[0] == "117.48"
    automatic = run(made.kernel, inputs, scopes="auto", **options)
    assert measured(figures, automatic)[:2] == ("78.44", "78.44")
    assert bits_equal(written, flat) and bits_equal(written, automatic)
