"""The chips that are modelled: tables with the source of every number, and variants of them as TOML."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Console
from rich.table import Table

from ascend_model.chipspec import ChipSpec, ChipSpecError, Number, list_chips, load_chip
from pto_sim.program.errors import InputError


def chip_names() -> tuple[str, ...]:
    """Names of the chips that ship with pto-sim, sorted."""
    return list_chips()


def chip_variant(name: str, base: str, factors: Mapping[str, float]) -> str:
    """The TOML file of a chip called `name`: `base` with some numbers (by path, "clock.core_hz") times a factor.

    Raises InputError (PTO022) for a chip or a number that does not exist, or a value that is not allowed.
    """
    spec = _load(base)
    lines = [f'name = "{name}"', f'description = "{base} with other numbers"', f'extends = "{base}"', ""]
    for path, factor in sorted(factors.items()):
        number = _replaced(spec, path, factor)
        text = (
            f'value = {number.value!r}, unit = "{number.unit}", status = "{number.status}", source = "{number.source}"'
        )
        lines.append(f"{path} = {{ {text} }}")
    return "\n".join(lines) + "\n"


def _replaced(spec: ChipSpec, path: str, factor: float) -> Number:
    try:
        return spec.replace_value(path, spec[path] * factor).numbers[path]
    except ChipSpecError as error:
        raise _unusable(error) from error


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
        raise _unusable(error) from error


def _unusable(error: ChipSpecError) -> InputError:
    return InputError(
        "PTO022",
        "the chip cannot be used",
        values=str(error),
        hint="`pto-sim chips` lists the chips that ship with pto-sim",
    )


def _chip_rows(table: Table, spec: ChipSpec) -> None:
    table.add_column("number")
    table.add_column("value", justify="right")
    for title in ("unit", "status"):
        table.add_column(title)
    table.add_column("source", overflow="fold")
    for path, number in spec.numbers.items():
        fitted = " (fitted)" if number.fitted else ""
        table.add_row(path, f"{number.value:,.12g}", number.unit, number.status, number.source + fitted)
