"""Compare recorded runs with records of what the vendor's compiler made of the same scripts.

    python tools/compare_compiler_records.py RUNS RECORDS [--all]

RUNS: a folder of run directories (`pto-sim run --out`), each named as its record. RECORDS: a folder of JSON files, one
list of programs a script: `entry`, `orchestration` (scopes, loops, branches, allocation batches and tasks, nested) and
`kernels` (on-chip peaks, L0 products and pipes). A launch site of the record is held against every launch that the run
made of it: task kind, blocks, argument directions, scalars, explicit dependencies, early resolve, the batches in which
memory is allocated, the scopes around it; and its kernels: L0 products, pipe, and an on-chip estimate that is not below
the compiler's peak. Prints a Markdown table of the differences, each once with the number of launches, and a table of
counts; exit status 1 if something differs. --all: also what is reported as a remark (an estimate far above the peak).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from compiler_record_sites import Node, SiteMatch, match_lists, recorded_nodes, simulated_nodes

from pto_sim.lowering import lower
from pto_sim.lowering.lowered import LoweredProgram, TaskFacts
from pto_sim.program import store
from pto_sim.program.model import Program

_DTYPES = {"BF16": "bf16", "FP16": "f16", "FP32": "f32", "INT8": "i8"}
_DIRECTIONS = {"INPUT": "input", "INOUT": "inout", "OUTPUT_EXISTING": "output"}
_MASKS = {("c2v",): 1, ("v2c",): 2}
SUBJECTS = ("order", "kind", "blocks", "directions", "scalars", "deps", "early_resolve", "alloc", "pipe", "l0", "peak")

Difference = tuple[str, str, str]
"""(subject, where, what)."""


class RunComparison:
    """The differences of one program with its record, and how many facts were compared by subject."""

    def __init__(self, record: dict[str, Any], program: Program) -> None:
        self.record, self.program = record, program
        self.lowered: LoweredProgram = lower(program)
        self.facts: dict[int, TaskFacts] = {f.record: f for f in self.lowered.facts if f.record >= 0}
        self.kernels = {kernel["name"]: kernel for kernel in record["kernels"]}
        self.differences: Counter[Difference] = Counter()
        self.compared: Counter[str] = Counter()
        self.remarks: Counter[Difference] = Counter()
        self._launches: dict[str, list[TaskFacts]] = {}

    def run(self) -> RunComparison:
        """Compare everything."""
        recorded = recorded_nodes(self.record["orchestration"])
        simulated = simulated_nodes(self.program, {r for r, facts in self.facts.items() if facts.pipe is not None})
        for found in match_lists(recorded, simulated, ()):
            self._site(found)
        for name, launches in self._launches.items():
            self._kernel(name, launches)
        return self

    def _check(self, subject: str, where: str, want: object, have: object) -> None:
        self.compared[subject] += 1
        if want != have:
            self.differences[subject, where, f"compiler {want}, here {have}"] += 1

    def _site(self, found: SiteMatch) -> None:
        if found.record is None or found.run is None:
            only = found.record or found.run
            assert only is not None
            side = "compiler" if found.run is None else "here"
            self.differences["order", "/".join(found.path) or "frame", f"only {side}: {only.title}"] += 1
        elif found.record.kind == "alloc":
            self._batch(found.record, found.run)
        elif found.record.kind == "task":
            self._task(found.record.value, found.run.value)

    def _batch(self, record: Node, run: Node) -> None:
        self.compared["order"] += 1
        want, have = [], []
        pairs = zip(record.value, run.value, strict=False)
        for ours, theirs in ((self._member(m), a) for a, m in pairs):
            symbolic = any(isinstance(extent, str) for extent in theirs["shape"])
            shape = [h if isinstance(w, str) else w for w, h in zip(theirs["shape"], ours[1], strict=False)]
            want.append((_base(theirs["name"]), shape if symbolic else theirs["shape"], *_dtype_flag(theirs)))
            have.append((_base(ours[0]), *ours[1:]))
        if len(record.value) != len(run.value):
            names = [a["name"] for a in record.value], [self._member(m)[0] for m in run.value]
            self._check("alloc", record.title, *names)
        for w, h in zip(want, have, strict=True):
            pipe = w[0] == h[0] == "gm_pipe_buffer"
            self._check("alloc", record.title, w[:1] if pipe else w, h[:1] if pipe else h)

    def _member(self, member: tuple[str, int]) -> tuple[str, list[int], str, bool]:
        kind, index = member
        if kind == "pipe":
            pipe = self.facts[index].pipe
            assert pipe is not None
            return "gm_pipe_buffer_0", [pipe.total_bytes // 4], "FP32", True
        info = self.program.tensors[index]
        return info.name, list(info.shape), info.dtype, info.manual_dep

    def _task(self, record: dict[str, Any], index: int) -> None:
        facts, task = self.facts[index], self.program.tasks[index]
        name = record.get("name", "dummy")
        self.compared["order"] += 1
        self._check("kind", name, record["task"], facts.kind)
        self._check("deps", name, record.get("explicit_deps", 0), len(task.explicit_deps))
        if record["task"] == "DUMMY":
            return
        blocks = record.get("blocks", 1)
        if isinstance(blocks, int):
            self._check("blocks", name, blocks, task.blocks)
        self._check("scalars", name, record["scalars"], len(task.scalars))
        self._check("early_resolve", name, record.get("early_resolve", False), task.early_resolve)
        self._check("directions", name, *self._directions(record["args"], facts))
        self._launches.setdefault(name, []).append(facts)

    def _directions(self, record: list[list[str]], facts: TaskFacts) -> tuple[object, object]:
        """What to compare: names with their direction where both sides use the same names, else directions alone."""
        want = Counter((_base(name), direction) for direction, name in record)
        have = Counter((_base(name), _DIRECTIONS[direction]) for name, direction in facts.directions)
        if {name for name, _ in want} == {name for name, _ in have}:
            return sorted((want - have).elements()), sorted((have - want).elements())
        return _counts(d for _, d in want.elements()), _counts(d for _, d in have.elements())

    def _kernel(self, name: str, launches: list[TaskFacts]) -> None:
        parts = [self.kernels[n] for n in (name, f"{name}_aic", f"{name}_aiv") if n in self.kernels]
        tiles = {(t[1], t[2], t[3], t[4]) for part in parts for t in part["matmul_tiles_m_k_n"]}
        ours = {(u.m, u.k, u.n, _DTYPES.get(u.dtype, u.dtype)) for facts in launches for u in facts.l0_tiles}
        self._check("l0", name, sorted(tiles), sorted(ours))
        pipes = sorted({(p["dir_mask"], p["slot_size"], p["slot_num"]) for part in parts for p in part["pipes"]})
        self._check("pipe", name, pipes, sorted({p for facts in launches for p in _pipe(facts)}))
        for part in parts:
            for memory, peak in part["onchip_peak_bytes"].items():
                self._peak(f"{name} {memory}", peak, max(f.onchip_peak_bytes.get(memory, 0) for f in launches))

    def _peak(self, where: str, peak: int, estimate: int) -> None:
        self.compared["peak"] += 1
        if estimate < peak:
            self.differences["peak", where, f"estimate {estimate} below the compiler's {peak}"] += 1
        elif estimate > 2 * peak:
            self.remarks["peak", where, f"estimate {estimate} is more than twice the compiler's {peak}"] += 1


def _base(name: str) -> str:
    """A name without what the compiler appends to tell versions apart."""
    stem = name.split("__")[0] if not name.startswith("__") else name
    head, _, tail = stem.rpartition("_")
    return head if head and tail.isdigit() else stem


def _dtype_flag(alloc: dict[str, Any]) -> tuple[str, bool]:
    return alloc["dtype"], alloc["manual_dep"]


def _counts(directions: Iterator[str]) -> str:
    return ", ".join(f"{count} {direction}" for direction, count in sorted(Counter(directions).items()))


def _pipe(facts: TaskFacts) -> list[tuple[int, int, int]]:
    if facts.pipe is None:
        return []
    mask = _MASKS.get(tuple(facts.pipe.directions), 3)
    return [(mask, facts.pipe.slot_bytes, facts.pipe.slots_per_direction)]


def programs_of(run: Path) -> dict[str, Program]:
    """The programs of a run directory by entry; of several runs of one entry the first."""
    found: dict[str, Program] = {}
    for path in sorted(run.glob("**/program.pto")):
        program = store.load(path)
        found.setdefault(program.name, program)
    return found


def main() -> int:
    """Compare every run that has a record."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("runs", type=Path)
    parser.add_argument("records", type=Path)
    parser.add_argument("--all", action="store_true", help="print remarks too")
    args = parser.parse_args()
    compared: Counter[str] = Counter()
    different: Counter[str] = Counter()
    missing = []
    print("| script | subject | where | difference | launches |\n|---|---|---|---|---|")
    for record in sorted(args.records.glob("*.json")):
        programs = programs_of(args.runs / record.stem)
        for wanted in json.loads(record.read_text(encoding="utf-8")):
            if wanted["entry"] not in programs:
                missing.append(f"{record.stem}: {wanted['entry']}")
                continue
            comparison = RunComparison(wanted, programs[wanted["entry"]]).run()
            compared += comparison.compared
            shown = comparison.differences + (comparison.remarks if args.all else Counter())
            for (subject, where, what), launches in sorted(shown.items()):
                print(f"| `{record.stem}` | {subject} | `{where}` | {what.replace('|', '/')} | {launches} |")
            different.update(subject for subject, _, _ in comparison.differences)
    print("\n| subject | compared | differences |\n|---|---|---|")
    for subject in SUBJECTS:
        print(f"| {subject} | {compared[subject]} | {different[subject]} |")
    if missing:
        print("\nWithout a run: " + "; ".join(missing))
    return 1 if different or not compared else 0


if __name__ == "__main__":
    sys.exit(main())
