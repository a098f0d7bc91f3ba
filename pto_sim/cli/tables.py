"""`pto-sim ops`: which operators are modelled."""

from __future__ import annotations

import inspect
from difflib import get_close_matches

from rich.console import Console
from rich.table import Table

import pto_sim.language.distributed
from pto_sim.cli.operator_page import A5_ONLY
from pto_sim.frontend.reach import resolve
from pto_sim.language.names import NOT_MODELLED
from pto_sim.numerics.optable import OP_TABLE, OpRow
from pto_sim.program.errors import InputError, PtoError, UnsupportedError


def show_ops(name: str | None) -> None:
    """List the operators, or every rule of the operator `name`; of any other name its call and meaning."""
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
        for rule, value in _rules(name):
            table.add_row(rule, value)
    Console().print(table)


def _rules(name: str) -> list[tuple[str, str]]:
    """Rules of an operator of the table, else call and meaning of any other name of the language.

    Raises InputError for a name that the language does not have, UnsupportedError for one that is not modelled.
    """
    plain = name.removeprefix("pl.")
    row = OP_TABLE.get(plain.removeprefix("tile.").removeprefix("tensor."))
    if row is not None:
        return _op_rules(row)
    prefix, rest = ("pld", plain[4:]) if plain.startswith("pld.") else ("pl", plain)
    try:
        target = resolve(pto_sim.language.distributed if prefix == "pld" else pto_sim.language, rest)
    except UnsupportedError:
        raise
    except PtoError:
        near = get_close_matches(plain, [*OP_TABLE, *pto_sim.language.__all__], n=3)
        raise InputError(
            "PTO056",
            f"there is no operator {name!r}",
            hint=f"did you mean {', '.join(near)}?" if near else "`pto-sim ops` lists them",
        ) from None
    meaning = inspect.getdoc(target) or repr(target)
    if not inspect.isfunction(target):
        return [("name", f"{prefix}.{rest}"), ("meaning", meaning)]
    return [("call", f"{prefix}.{rest}({', '.join(inspect.signature(target).parameters)})"), ("meaning", meaning)]


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
