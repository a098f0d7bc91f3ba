"""Tables of the chips that are modelled, with the source of every number."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from ascend_model.chipspec import ChipSpec, ChipSpecError, list_chips, load_chip
from pto_sim.program.errors import InputError


def show_chips(name: str | None) -> None:
    """List the chips, or every number of the chip `name` (a name or a TOML file)."""
    table = Table(title=name, title_justify="left")
    if name is None:
        for title in ("chip", "description"):
            table.add_column(title)
        for chip in list_chips():
            table.add_row(chip, load_chip(chip).description)
    else:
        _chip_rows(table, _load(name))
    Console().print(table)


def _load(name: str) -> ChipSpec:
    try:
        return load_chip(name)
    except ChipSpecError as error:
        raise InputError(
            "PTO022",
            "the chip cannot be used",
            values=str(error),
            hint="`pto-sim chips` lists the chips that ship with pto-sim",
        ) from error


def _chip_rows(table: Table, spec: ChipSpec) -> None:
    table.add_column("number")
    table.add_column("value", justify="right")
    for title in ("unit", "status"):
        table.add_column(title)
    table.add_column("source", overflow="fold")
    for path, number in spec.numbers.items():
        fitted = " (fitted)" if number.fitted else ""
        table.add_row(path, f"{number.value:,.12g}", number.unit, number.status, number.source + fitted)
