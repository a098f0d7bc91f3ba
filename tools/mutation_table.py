"""Prints the score of the last `make mutation` by file, and the mutants that no test noticed.

    python tools/mutation_table.py [--survivors]

mutmut itself knows only the sum over all files. A mutant that makes the tests run into their time limit is killed, one
that no test reaches has survived; what has no verdict (not run, interrupted, out of memory) is in no score.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from pathlib import Path

RESULTS = Path("mutants")
VERDICTS = {
    "killed": (1, 3),
    "timeout": (24, -24, 36, 152, 255),
    "survived": (0, 5, 33),
}
"""Exit codes of the tests under a mutant, as mutmut keeps them: pytest's, and 33 and 36 of its own."""


def exit_codes(results: Path) -> dict[str, dict[str, int | None]]:
    """By source file: the exit code of the tests under each of its mutants."""
    found = {}
    for meta in sorted(results.rglob("*.py.meta")):
        source = str(meta.relative_to(results)).removesuffix(".meta")
        codes = json.loads(meta.read_text())["exit_code_by_key"]
        if codes:
            found[source] = codes
    return found


def verdict(code: int | None) -> str:
    """Of one mutant: a key of `VERDICTS`, or 'none'."""
    return next((name for name, codes in VERDICTS.items() if code in codes), "none")


def row(source: str, codes: list[int | None]) -> str:
    """One line of the table."""
    count = Counter(map(verdict, codes))
    killed = count["killed"] + count["timeout"]
    judged = killed + count["survived"]
    score = f"{100 * killed / judged:.1f} %" if judged else "-"
    cells = (source, len(codes), killed, count["timeout"], count["survived"], count["none"], score)
    return f"| {' | '.join(map(str, cells))} |"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--survivors", action="store_true", help="name the mutants too (`mutmut show NAME` prints one)")
    arguments = parser.parse_args()
    files = exit_codes(RESULTS)
    if not files:
        print(f"no results in {RESULTS}/: run `make mutation` first", file=sys.stderr)
        return 1
    print("| file | mutants | killed | by time limit | survived | no verdict | score |\n|---|---|---|---|---|---|---|")
    for source, codes in files.items():
        print(row(source, list(codes.values())))
    print(row("all", [code for codes in files.values() for code in codes.values()]))
    if arguments.survivors:
        for codes in files.values():
            for name, code in codes.items():
                if verdict(code) == "survived":
                    print(name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
