"""docs/recordings.md, made from the recordings: `python -m tests.language.recordings_page > docs/recordings.md`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from tests.language.recorded_kernels import KERNELS
from tests.language.test_recorded_kernels import reachable, refused
from tests.numerics.recordings import NAMES, cases

_HEADER = """# Which of upstream's recorded results are reproduced?

All 1,446 of them, over 114 operators of pto-isa's CPU simulator (commit 3186c381), with `pto_sim.numerics` under
`cpu-sim`, to the bit and as whole tiles: what an operator leaves alone is compared too
(`tests/numerics/test_recorded.py`). The four numbers of an operator are:

* all its cases;
* those that a `pl` kernel reproduces: load with valid shapes, the operator, store
  (`tests/language/test_recorded_kernels.py`);
* those that the language refuses: PTO202 an element type, a shape or a partly valid index, PTO205 a zero divisor;
* those that the language has no words for.

| operator | | operator | | operator | |
|---|---|---|---|---|---|"""
_NOTED = """
Here something cannot be asked for, or the default profile `a2a3` gives another result:

| operator | | why; where `a2a3` differs |
|---|---|---|"""
_FUSED = "no operator emits the instruction; `pto_sim.numerics.fused`"
_ACC = "an accumulator of any content cannot be made; `pto_sim.numerics.fixpipe`"
_NOTES = {
    **dict.fromkeys(("axpy", "fusedmuladd", "fusedmuladdrelu", "muladddst", "subrelu"), _FUSED),
    "rdivs": "no operator emits the instruction; `pto_sim.numerics`",
    **dict.fromkeys(("store_acc", "store_acc_add", "store_acc_relu"), _ACC),
    "matmul_acc": "an accumulator of any content cannot be made",
    "cmp32": "masks of the language are UINT8",
    "col_sum_tmp": "the scratch changes no bit; `a2a3` adds in pairs, level by level",
    "cast": "saturation, single steps of a chain; `a2a3` honours the mode, saturates and has another `odd`",
    "load": "the language pads with 0",
    "row_sum": "results wider than the operand",
    "row_expand_add": "the vector as the first operand",
    "col_sum": "results wider than the operand",
    "cmps": "`a2a3` compares exactly, one mask row for each row",
    "sel": "`a2a3` reads one mask row for each row",
    "sort32": "`a2a3` gives one record of 8 bytes for each 16-bit element",
    "gather": "`a2a3`: an index outside is an error",
    "gatherb": "`a2a3`: a block outside is an error",
    "scatter": "`a2a3`: an index outside is an error",
    "fmods": "a zero divisor: the simulator writes nothing",
    "rems": "a zero divisor: the simulator writes nothing",
}
_PACKED = "the vector packed in blocks of 32 bytes, or as the first operand"


def _counts(name: str) -> tuple[int, int, int, int]:
    """Cases: all, through a kernel, refused, not asked."""
    counts: Counter[str] = Counter()
    for case in cases(name):
        if name not in KERNELS or not reachable(name, case):
            counts["not asked"] += 1
        else:
            counts["refused" if refused(name, KERNELS[name][0], case) else "kernel"] += 1
    return sum(counts.values()), counts["kernel"], counts["refused"], counts["not asked"]


def page_lines() -> Iterator[str]:
    """The lines of the page."""
    counts = {name: _counts(name) for name in NAMES}
    shown = {name: " / ".join(map(str, four)) for name, four in counts.items()}
    notes = {name: _NOTES.get(name, _PACKED if name.startswith("row_expand_") else "") for name in NAMES}
    yield _HEADER
    plain = [f"`{name}` | {shown[name]}" for name in NAMES if not notes[name]]
    plain += [" | "] * (-len(plain) % 3)
    for first in range(0, len(plain), 3):
        yield f"| {' | '.join(plain[first : first + 3])} |"
    yield _NOTED
    for name in NAMES:
        if notes[name]:
            yield f"| `{name}` | {shown[name]} | {notes[name]} |"
    yield f"| all 114 | {' / '.join(str(sum(column)) for column in zip(*counts.values(), strict=True))} | |"
    yield "\n## Limits\n"
    yield "Five FP16 cases (`addc`, `subc`, `addsc`, `subsc`, `fusedmuladd`) depend on its compiler; here they round"
    yield "once. A NaN equals any NaN. The recordings say nothing of a device."


if __name__ == "__main__":
    print("\n".join(page_lines()))
