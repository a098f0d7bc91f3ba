"""Compare the L0 tiles of recorded runs with records of the vendor's compiler.

    python tools/compare_l0_tiles.py RUNS RECORDS

RUNS: a folder of run directories (`pto-sim run --out`), each named as its record. RECORDS: a folder of JSON files
whose kernels list `matmul_tiles_m_k_n` (op, m, k, n, dtype). Prints what differs; exit status 1 if something does.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from pto_sim.lowering import lower
from pto_sim.program import store

_NAMES = {"BF16": "bf16", "FP16": "f16", "FP32": "f32", "INT8": "i8"}
Tile = tuple[int, int, int, str]


def recorded_tiles(record: Path) -> set[Tile]:
    """The distinct products (m, k, n, dtype) of all kernels of a record."""
    tiles: set[Tile] = set()
    for program in json.loads(record.read_text(encoding="utf-8")):
        kernels = program["kernels"]
        for kernel in kernels.values() if isinstance(kernels, dict) else kernels:
            tiles |= {(t[1], t[2], t[3], t[4]) for t in kernel.get("matmul_tiles_m_k_n", ())}
    return tiles


def simulated_tiles(run: Path) -> set[Tile]:
    """The distinct products of the programs of a run directory."""
    tiles: set[Tile] = set()
    for path in sorted(run.glob("**/program.pto")):
        for fact in lower(store.load(path)).facts:
            tiles |= {(use.m, use.k, use.n, _NAMES.get(use.dtype, use.dtype)) for use in fact.l0_tiles}
    return tiles


def main(runs: Path, records: Path) -> int:
    """Compare every run that has a record."""
    compared = products = different = 0
    for run in sorted(runs.iterdir()):
        record = records / f"{run.name}.json"
        if not record.exists():
            continue
        want, have = recorded_tiles(record), simulated_tiles(run)
        compared, products = compared + 1, products + len(want)
        if want != have:
            different += 1
            print(f"{run.name}: only the compiler {sorted(want - have)}, only here {sorted(have - want)}")
    print(f"{compared} runs with {products} distinct products compared, {different} differ")
    return 1 if different or not products else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
