"""Hypothesis strategies for the machine: ring configurations and chip variants."""

from __future__ import annotations

from pathlib import Path

from hypothesis import strategies as st

from pto_sim.report.chips import chip_names, chip_variant

KIB = 1024

SPEEDS = (
    "clock.core_hz",
    "memory.hbm_bytes_per_s",
    "memory.l2_bytes_per_cycle",
)
"""Numbers of a chip that a variant changes: how fast it is, never what fits on it."""


def ring_heaps(*, min_bytes: int = 4 * KIB, max_bytes: int = 1024 * KIB * KIB) -> st.SearchStrategy[tuple[int, ...]]:
    """Heaps of the four rings, powers of two in bytes, for `run(..., ring_heap_bytes=...)`.

    Raises ValueError if no power of two lies between the limits.
    """
    sizes = [1 << power for power in range(10, 41) if min_bytes <= 1 << power <= max_bytes]
    if not sizes:
        raise ValueError(f"no power of two from 1024 lies between {min_bytes} and {max_bytes}")
    return st.tuples(*[st.sampled_from(sizes)] * 4)


def ring_configurations(*, min_heap_bytes: int = 4 * KIB) -> st.SearchStrategy[dict[str, tuple[int, ...]]]:
    """Heap, task window and dep pool of the four rings, as options of `run(kernel, args, **configuration)`."""
    windows = st.tuples(*[st.sampled_from([1 << power for power in range(2, 15)])] * 4)
    pools = st.tuples(*[st.integers(4, 16384)] * 4)
    return st.fixed_dictionaries(
        {
            "ring_heap_bytes": ring_heaps(min_bytes=min_heap_bytes),
            "ring_task_window": windows,
            "ring_dep_pool": pools,
        }
    )


@st.composite
def chips(draw: st.DrawFn, directory: Path) -> str:
    """Chips for `run(kernel, args, chip=...)`: one that ships with pto-sim, or a variant of it with other speeds.

    directory: where the TOML file of a variant is written, for example pytest's tmp_path_factory.mktemp("chips").
    """
    base = draw(st.sampled_from(chip_names()))
    changed = draw(st.dictionaries(st.sampled_from(SPEEDS), st.sampled_from([0.25, 0.5, 2.0, 4.0]), max_size=2))
    if not changed:
        return base
    name = "_".join([base, *(f"{path.rsplit('.', 1)[1]}_x{factor:g}" for path, factor in sorted(changed.items()))])
    file = directory / f"{name}.toml"
    file.write_text(chip_variant(name, base, changed), encoding="utf-8")
    return str(file)
