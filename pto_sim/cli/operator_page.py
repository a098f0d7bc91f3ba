"""docs/operators.md, made from the operator table: `python -m pto_sim.cli.operator_page > docs/operators.md`."""

from __future__ import annotations

from collections.abc import Iterator

from pto_sim.language.names import NOT_MODELLED
from pto_sim.numerics.optable import OP_TABLE

A5_ONLY = ("matmul_mx", "matmul_mx_acc", "matmul_mx_bias")
_HEADER = """# Which operators are there?

Made from the operator table; `pto-sim ops` prints the same, `pto-sim ops NAME` one operator's rules. Each is `pl.NAME`,
`pl.tile.NAME` and `pl.tensor.NAME`. Profiles: *differ* means that `a2a3` and `cpu-sim` may give different bits, for the
reasons on the [numerics](numerics.md) page.

| operator | operands | element types | profiles | rule |
|---|---|---|---|---|"""


def page_lines() -> Iterator[str]:
    """The lines of the page."""
    yield _HEADER
    for row in OP_TABLE.values():
        operands = ", ".join(row.operands) + (" ..." if row.variadic else "") or "none"
        profiles = "differ" if row.profiles_differ else "same"
        yield f"| `{row.name}` | {operands} | {' '.join(row.dtypes)} | {profiles} | {row.note} |"
    yield ""
    yield "## Limits"
    yield ""
    yield f"A5 only: {', '.join(f'`{name}`' for name in A5_ONLY)}. Known and not modelled: "
    yield ", ".join(f"`{name}`" for name in sorted(NOT_MODELLED)) + "."


if __name__ == "__main__":
    print("\n".join(page_lines()))
