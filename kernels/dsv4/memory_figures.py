"""The memory figures of the scoped kernels, beside those that the change which introduced the scopes reports.

    python kernels/dsv4/memory_figures.py                    # all figures, both slot rules, all readings: minutes
    python kernels/dsv4/memory_figures.py decode_attention_csa
    python kernels/dsv4/memory_figures.py --routed-tile 32   # the routed experts with 32 rows

Every figure comes from a run at flash size, from the lines of its scope_stats.jsonl: the largest high water of a ring
("peak"), or what the entry's outermost scope holds at its end ("frame"). The variants are options of
the run (`--scopes`, `--hoist`), never another kernel.
"""

import argparse
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from entries import case
from rich.console import Console
from rich.table import Table
from routed_tile import ROUTED_TILE_ROWS

from pto_sim.golden import TensorSpec
from pto_sim.report.scope_stats import scope_stats_lines
from pto_sim.testing import run

MIB = 2**20
RINGS_BYTES = (2**30,) * 4
READINGS = ("max_lag", "prompt", "simulated")
SLOT_RULES = ("seed", "current")
BLOCK_RESULTS = ("sparse_blk_mi", "sparse_blk_li", "sparse_blk_oi")
ROUTED = {48: "expert_routed", 32: "expert_routed_split"}[ROUTED_TILE_ROWS]


@dataclass(frozen=True)
class Figure:
    """One figure. what: 'peak' or 'frame'. reported_mib: for slot rule 'seed', reading 'max_lag'; None if
    nothing was reported."""

    kernel: str
    what: str
    reported_mib: float | None
    scopes: str = "written"
    hoist: tuple[str, ...] = ()

    @property
    def variant(self) -> str:
        return f"hoist {', '.join(self.hoist)}" if self.hoist else self.scopes


FIGURES = (
    Figure("decode_sparse_attn", "frame", 90.31),
    Figure("decode_sparse_attn", "frame", 170.63, hoist=BLOCK_RESULTS),
    Figure("decode_sparse_attn_swa", "frame", 42.13),
    Figure("decode_sparse_attn_hca", "frame", 42.13),
    Figure("prefill_sparse_attn", "frame", 58.19),
    Figure("decode_attention_csa", "peak", 153.50),
    Figure("decode_attention_csa", "peak", 256.07, scopes="flat"),
    Figure("moe", "peak", 117.45 if ROUTED_TILE_ROWS == 48 else None, scopes="flat"),
    Figure("moe", "peak", 78.44, scopes="auto"),
    Figure("moe", "frame", 78.44, scopes="auto"),
    Figure("moe", "peak", 72.68),
    Figure("moe", "frame", 5.77),
    Figure(ROUTED, "peak", {48: 39.0, 32: 42.0}[ROUTED_TILE_ROWS]),
    Figure(ROUTED, "frame", 0.0),
)


@dataclass(frozen=True)
class ScopeUse:
    """One scope of a run: nesting depth, ring, and what it allocated, held at most and held at its end, in bytes."""

    depth: int
    ring: int
    alloc_bytes: int
    high_water_bytes: int
    residency_bytes: int


def scope_uses(lines: Iterable[str]) -> list[ScopeUse]:
    """The scopes of a scope_stats.jsonl in the order in which they begin."""
    uses: list[ScopeUse | None] = []
    open_scopes: list[tuple[int, dict[str, Any]]] = []
    for line in list(lines)[1:]:
        record = json.loads(line)
        if record["phase"] == "begin":
            open_scopes.append((len(uses), record))
            uses.append(None)
            continue
        place, begin = open_scopes.pop()
        if (begin["site"], begin["ring"]) != (record["site"], record["ring"]):
            raise ValueError(f"scope {begin['site']} is open where {record['site']} ends")
        head = record["heap_end"]
        uses[place] = ScopeUse(
            record["depth"],
            record["ring"],
            head - begin["heap_end"],
            head - begin["heap_start"],
            head - record["heap_start"],
        )
    return [use for use in uses if use is not None]


def measured_bytes(uses: Sequence[ScopeUse], what: str) -> int:
    """The figure of one run. what: 'peak', the largest high water of a ring, or 'frame', what the entry's outermost
    scope holds at its end."""
    if what == "peak":
        return max(use.high_water_bytes for use in uses)
    root, outer = uses[0], [use for use in uses if use.depth == 1]
    body = outer[0] if len(outer) == 1 and not root.alloc_bytes else root  # an automatic scope around the whole body
    return body.residency_bytes


def run_variants(kernel: str, figures: Sequence[Figure]) -> dict[tuple[str, str, str], list[ScopeUse]]:
    """Scopes by variant, slot rule and reading, of runs on the same inputs. Raises RuntimeError if a run fails."""
    made = case(kernel)
    inputs = [spec.create_tensor(0) if isinstance(spec, TensorSpec) else spec.value for spec in made.specs]
    found = {}
    for variant in dict.fromkeys((figure.scopes, figure.hoist) for figure in figures):
        for rule in SLOT_RULES:
            options = {"scopes": variant[0], "hoist": variant[1], "pipe_slots": rule, "checks": False}
            done = run(made.kernel, inputs, ring_heap_bytes=RINGS_BYTES, **options)
            if done.fault is not None:
                raise RuntimeError(f"{kernel} with {options}: {done.fault}")
            name = next(f.variant for f in figures if (f.scopes, f.hoist) == variant)
            for reading in READINGS:
                lines = scope_stats_lines(done.heap[reading], RINGS_BYTES)
                found[name, rule, reading] = scope_uses(lines)
    return found


def mebibytes(nbytes: int) -> str:
    """Two digits, halves up, as the reported figures are rounded."""
    hundredths = (nbytes * 200 + MIB) // (2 * MIB)
    return f"{hundredths // 100}.{hundredths % 100:02}"


def table(figures: Sequence[Figure]) -> Table:
    """Run what the figures need and set them side by side."""
    shown = Table(title=f"Memory figures in MiB, rings of 1 GiB, routed tiles of {ROUTED_TILE_ROWS} rows")
    for column in ("kernel", "scopes", "figure", "depth", "reported"):
        shown.add_column(column)
    for rule in SLOT_RULES:
        for reading in READINGS:
            shown.add_column(f"{rule}\n{reading}", justify="right")
    for kernel in dict.fromkeys(figure.kernel for figure in figures):
        own = [figure for figure in figures if figure.kernel == kernel]
        found = run_variants(kernel, own)
        for figure in own:
            values = [
                mebibytes(measured_bytes(found[figure.variant, rule, reading], figure.what))
                for rule in SLOT_RULES
                for reading in READINGS
            ]
            depth = max(use.depth for use in found[figure.variant, "seed", "max_lag"])
            reported = "-" if figure.reported_mib is None else f"{figure.reported_mib:.2f}"
            shown.add_row(kernel, figure.variant, figure.what, str(depth), reported, *values)
    return shown


def main(argv: Sequence[str] | None = None) -> None:
    """Print the figures that the command line names."""
    names = list(dict.fromkeys(figure.kernel for figure in FIGURES))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kernels", nargs="*", metavar="KERNEL", help=f"{', '.join(names)} (default: all)")
    parser.add_argument("--routed-tile", type=int, choices=[48, 32], help="rows that a routed expert takes [48]")
    args = parser.parse_args(argv)
    if unknown := sorted(set(args.kernels) - set(names)):
        parser.error(f"no figure of {', '.join(unknown)}; there are {', '.join(names)}")
    Console(width=160).print(table([figure for figure in FIGURES if figure.kernel in (args.kernels or names)]))


if __name__ == "__main__":
    main()
