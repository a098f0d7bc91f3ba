"""A chip as a frozen set of numbers, each with its unit and its source, read from a TOML file.

`load_chip("910b2")` reads a chip that ships with the package, `load_chip("my.toml")` a file. A file may
say `extends = "a2a3"` and then only replaces numbers of that chip. The unit of every number is fixed by
`_SCHEMA` here, so a wrong unit, a missing number or a mistyped key is an error and never a default.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from functools import cached_property
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ascend_model.isa import VecOp

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

STATUSES = ("measured", "documented", "derived", "assumed")
UNITS = ("Hz", "count", "byte", "byte/s", "byte/cycle", "cycle", "us")
_POSITIVE_UNITS = ("Hz", "count", "byte", "byte/s", "byte/cycle")
_NUMBER_FIELDS = ("value", "unit", "status", "source", "fitted")
_DEFAULT_FIELDS = ("status", "source")
_TEXT_KEYS = ("name", "description", "extends")

MOVES = (
    "gm_to_ub",
    "gm_to_l1",
    "ub_to_gm",
    "l1_to_gm",
    "l0c_to_gm",
    "l0c_to_l1",
    "l1_to_l0a",
    "l1_to_l0b",
    "l1_to_bias",
    "l1_fill",
)
"""Data-movement paths: one `move.<path>` table each."""


def _schema() -> dict[str, str]:
    """Every number of a chip outside `runtime`, as path -> unit."""
    units = {
        "clock": {"core_hz": "Hz", "counter_hz": "Hz"},
        "cores": {"clusters": "count", "aiv_per_cluster": "count"},
        "onchip": dict.fromkeys(
            ("ub_physical_bytes", "ub_bytes", "l1_bytes", "l0a_bytes", "l0b_bytes", "l0c_bytes", "bias_bytes"), "byte"
        ),
        "memory": {
            "l2_bytes": "byte",
            "l2_line_bytes": "byte",
            "l2_bytes_per_cycle": "byte/cycle",
            "hbm_bytes": "byte",
            "hbm_bytes_per_s": "byte/s",
            "miss_stream_bytes_per_s": "byte/s",
        },
        "cube": {
            "head_cycles": "cycle",
            "fractal_m_elems": "count",
            "fractal_n_elems": "count",
            "fractal_k_bytes": "byte",
            "fractal_cycles": "cycle",
            "fractal_fp32_cycles": "cycle",
        },
        "fixpipe": {
            "base_cycles": "cycle",
            "row_min_cycles": "cycle",
            "row_bytes_per_cycle": "byte/cycle",
            "odd_cycles": "cycle",
            "piece_bytes": "byte",
        },
        "scalar": {"issue_cycles": "cycle", "gm_read_cycles": "cycle", "gm_write_cycles": "cycle"},
        "sync": dict.fromkeys(
            (
                "flag_issue_cycles",
                "barrier_cycles",
                "flag_cycles",
                "cross_core_cycles",
                "all_cores_cycles",
                "cache_invalidate_cycles",
                "line_invalidate_cycles",
            ),
            "cycle",
        ),
        "vector": {"count_mode_cycles": "cycle"},
    }
    for move in MOVES:
        units[f"move.{move}"] = {"startup_cycles": "cycle", "bytes_per_cycle": "byte/cycle", "latency_cycles": "cycle"}
    for op in VecOp:
        units[f"vector.{op.name.lower()}"] = dict.fromkeys(("head_cycles", "slope_cycles", "tail_cycles"), "cycle")
    return {f"{section}.{key}": unit for section, keys in units.items() for key, unit in keys.items()}


_SCHEMA: Mapping[str, str] = MappingProxyType(_schema())


class ChipSpecError(ValueError):
    """A chip file, or a change to a chip, that breaks a rule; the text names file, key and what is allowed."""


@dataclass(frozen=True, kw_only=True)
class Number:
    """One hardware number. status: one of `STATUSES`. fitted: chosen to match measured kernels."""

    value: float
    unit: str
    status: str
    source: str
    fitted: bool = False


@dataclass(frozen=True, kw_only=True)
class ChipSpec:
    """A chip. `spec["memory.hbm_bytes_per_s"]` is a value; `numbers` also holds unit, status and source.

    file: where it was read from, for messages. Two specs with equal `content_hash` time alike.
    """

    name: str
    description: str
    file: str
    numbers: Mapping[str, Number] = field(repr=False)

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (self.name, self.description, self.file, dict(self.numbers))

    def __getitem__(self, path: str) -> float:
        number = self.numbers.get(path)
        if number is None:
            raise ChipSpecError(f"{self.file}: no number '{path}'{_nearest(path, self.numbers)}")
        return number.value

    @property
    def clusters(self) -> int:
        """Clusters that kernels may use: each one AIC and `cores.aiv_per_cluster` AIV."""
        return int(self["cores.clusters"])

    @property
    def cycle_us(self) -> float:
        """Length of one core cycle in microseconds."""
        return 1e6 / self["clock.core_hz"]

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 over every path, value and unit; names and sources do not enter."""
        text = "\n".join(f"{path}={n.value!r} {n.unit}" for path, n in sorted(self.numbers.items()))
        return hashlib.sha256(text.encode()).hexdigest()

    def section(self, prefix: str) -> dict[str, Number]:
        """The numbers below `prefix`, for example "runtime", by the rest of their path."""
        start = prefix + "."
        return {path[len(start) :]: number for path, number in self.numbers.items() if path.startswith(start)}

    def replace_value(self, path: str, value: float) -> ChipSpec:
        """The same chip with one number changed, marked as assumed. Raises ChipSpecError on an unknown path."""
        old = self.numbers.get(path)
        if old is None:
            raise ChipSpecError(f"{self.file}: no number '{path}'{_nearest(path, self.numbers)}")
        source = f"what-if in place of {old.value:g} {old.unit}"
        new = replace(old, value=value, status="assumed", source=source, fitted=False)
        _check_value(self.file, path, new)
        return replace(self, numbers=MappingProxyType({**self.numbers, path: new}))


def _rebuild(name: str, description: str, file: str, numbers: dict[str, Number]) -> ChipSpec:
    """For pickling: a read-only view of a mapping does not pickle by itself."""
    return ChipSpec(name=name, description=description, file=file, numbers=MappingProxyType(numbers))


def list_chips() -> tuple[str, ...]:
    """Names of the chips that ship with the package, sorted."""
    folder = resources.files("ascend_model") / "chips"
    return tuple(sorted(entry.name[:-5] for entry in folder.iterdir() if entry.name.endswith(".toml")))


def load_chip(chip: str | Path) -> ChipSpec:
    """Reads a chip by name (see `list_chips`) or from a TOML file, with what it extends.

    Raises ChipSpecError naming the file, the key and what is allowed.
    """
    text, file = _read(chip)
    document = _parse(text, file)
    base: dict[str, Number] = {}
    if "extends" in document:
        base = dict(_load_base(document["extends"], file).numbers)
    numbers = {**base, **_numbers_of(document, file)}
    _check_complete(file, numbers, extends=bool(base), base=base)
    return ChipSpec(
        name=_text(document, "name", file),
        description=_text(document, "description", file),
        file=file,
        numbers=MappingProxyType(dict(sorted(numbers.items()))),
    )


def _load_base(name: object, file: str) -> ChipSpec:
    if not isinstance(name, str) or name not in list_chips():
        raise ChipSpecError(f"{file}: extends = {name!r}; allowed: {', '.join(list_chips())}")
    return load_chip(name)


def _read(chip: str | Path) -> tuple[str, str]:
    if isinstance(chip, str) and chip in list_chips():
        return (resources.files("ascend_model") / "chips" / f"{chip}.toml").read_text("utf-8"), f"chips/{chip}.toml"
    path = Path(chip)
    if path.suffix != ".toml":
        raise ChipSpecError(f"no chip '{chip}'; give one of {', '.join(list_chips())}, or a .toml file")
    try:
        return path.read_text("utf-8"), str(path)
    except (OSError, UnicodeDecodeError) as error:
        raise ChipSpecError(f"{path}: cannot be read: {error}") from error


def _parse(text: str, file: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ChipSpecError(f"{file}: not valid TOML: {error}") from error


def _text(document: Mapping[str, Any], key: str, file: str) -> str:
    value = document.get(key)
    if not isinstance(value, str) or not value:
        raise ChipSpecError(f"{file}: '{key}' must be a non-empty text; got {value!r}")
    return value


def _numbers_of(document: Mapping[str, Any], file: str) -> dict[str, Number]:
    """The numbers that the file itself writes, by path."""
    numbers: dict[str, Number] = {}
    for key, value in document.items():
        if isinstance(value, dict):
            _walk(value, key, {}, file, numbers)
        elif key not in _TEXT_KEYS:
            raise ChipSpecError(f"{file}: unknown key '{key}'; top-level texts are {', '.join(_TEXT_KEYS)}")
    return numbers


def _walk(table: Mapping[str, Any], path: str, inherited: dict[str, str], file: str, out: dict[str, Number]) -> None:
    defaults = {**inherited, **{key: value for key, value in table.items() if key in _DEFAULT_FIELDS}}
    for key, value in table.items():
        where = f"{path}.{key}"
        if key in _DEFAULT_FIELDS:
            continue
        if not isinstance(value, dict):
            raise ChipSpecError(f"{file}: {where} = {value!r}; write a table {{ value, unit, status, source }}")
        if "value" in value:
            out[where] = _number({**defaults, **value}, where, file)
        else:
            _walk(value, where, defaults, file, out)


def _number(entry: Mapping[str, Any], path: str, file: str) -> Number:
    unknown = [key for key in entry if key not in _NUMBER_FIELDS]
    if unknown:
        raise ChipSpecError(
            f"{file}: {path} has the unknown field '{unknown[0]}'; allowed: {', '.join(_NUMBER_FIELDS)}"
        )
    missing = [key for key in _NUMBER_FIELDS[:-1] if key not in entry]
    if missing:
        raise ChipSpecError(f"{file}: {path} lacks {', '.join(missing)}")
    if entry["status"] not in STATUSES:
        raise ChipSpecError(f"{file}: {path} has status {entry['status']!r}; allowed: {', '.join(STATUSES)}")
    if not isinstance(entry["source"], str) or not entry["source"]:
        raise ChipSpecError(f"{file}: {path} needs a source in words; got {entry['source']!r}")
    if not isinstance(entry.get("fitted", False), bool):
        raise ChipSpecError(f"{file}: {path} has fitted = {entry['fitted']!r}; allowed: true, false")
    number = Number(**entry)
    _check_value(file, path, number)
    return number


def _check_value(file: str, path: str, number: Number) -> None:
    value = number.value
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < float("inf"):
        raise ChipSpecError(f"{file}: {path} = {value!r} is not a finite number")
    wanted = _SCHEMA.get(path)
    if wanted is None and not path.startswith("runtime."):
        raise ChipSpecError(f"{file}: unknown number '{path}'{_nearest(path, _SCHEMA)}")
    allowed = (wanted,) if wanted else UNITS
    if number.unit not in allowed:
        raise ChipSpecError(f"{file}: {path} has unit {number.unit!r}; allowed: {', '.join(allowed)}")
    if value < 0 or (value == 0 and wanted in _POSITIVE_UNITS):
        raise ChipSpecError(f"{file}: {path} = {value:g} {number.unit} must be {'> 0' if wanted else '>= 0'}")
    if number.unit in ("count", "byte") and value != int(value):
        raise ChipSpecError(f"{file}: {path} = {value:g} must be a whole number of {number.unit}s")


def _check_complete(file: str, numbers: Mapping[str, Number], *, extends: bool, base: Mapping[str, Number]) -> None:
    missing = [path for path in _SCHEMA if path not in numbers]
    if missing:
        raise ChipSpecError(f'{file}: lacks {", ".join(missing)}; or write extends = "a2a3"')
    if extends:
        added = [path for path in numbers if path not in base]
        if added:
            raise ChipSpecError(f"{file}: '{added[0]}' is no number of the chip it extends{_nearest(added[0], base)}")


def _nearest(path: str, known: Mapping[str, object]) -> str:
    close = get_close_matches(path, list(known), n=3)
    return f"; did you mean {' or '.join(close)}?" if close else ""
