"""`pto-sim ops`: which operators are modelled."""

from __future__ import annotations

from difflib import get_close_matches

from rich.console import Console
from rich.table import Table

from pto_sim.cli.operator_page import A5_ONLY
from pto_sim.language.names import NOT_MODELLED
from pto_sim.numerics.optable import OP_TABLE, OpRow
from pto_sim.program.errors import InputError


def show_ops(name: str | None) -> None:
    """List the operators, or every rule of the operator `name`."""
    table = Table(title=name, title_justify="left")
    if name is None:
        for title in ("op", "unit", "operands", "element types", "profiles", "promise"):
            table.add_column(title, no_wrap=title == "op")
        for row in OP_TABLE.values():
            profiles = "differ" if row.profiles_differ else "same"
            table.add_row(row.name, row.unit, ", ".join(row.operands), " ".join(row.dtypes), profiles, row.promise)
        for name in A5_ONLY:
            table.add_row(name, "M", "", "", "", "A5 only")
        for name in sorted(NOT_MODELLED):
            table.add_row(name, "", "", "", "", "not modelled")
    else:
        for title in ("rule", "value"):
            table.add_column(title)
        for rule, value in _op_rules(_op(name)):
            table.add_row(rule, value)
    Console().print(table)


def _op(name: str) -> OpRow:
    row = OP_TABLE.get(name.removeprefix("pl."))
    if row is None:
        near = get_close_matches(name, OP_TABLE, n=3)
        raise InputError(
            "PTO056",
            f"there is no operator {name!r}",
            hint=f"did you mean {', '.join(near)}?" if near else "`pto-sim ops` lists them",
        )
    return row


def _op_rules(row: OpRow) -> list[tuple[str, str]]:
    return [
        ("operands", ", ".join(row.operands) + (" ..." if row.variadic else "")),
        ("attributes", ", ".join(row.attrs) or "none"),
        ("element types", " ".join(row.dtypes)),
        ("result shape", row.shape_rule),
        ("result element type", row.out_dtype_rule),
        ("unit", {"V": "vector (AIV)", "M": "cube (AIC)"}.get(row.unit, row.unit)),
        ("instructions", ", ".join(row.cost_class)),
        ("profiles differ", "yes: a2a3 and cpu-sim may give different bits" if row.profiles_differ else "no"),
        ("promise", row.promise),
        ("note", row.note),
    ]
