"""The other files of a run directory, read as strictly as its report: what is damaged is named, with its field."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pto_sim.program import store
from pto_sim.program.errors import InputError
from pto_sim.program.json_codec import DecodeError, decode
from pto_sim.report.dfx.dep_graph import FILE_NAME as DEPS
from pto_sim.report.scope_stats import FILE_NAME as SCOPE_STATS
from pto_sim.report.scope_stats import RINGS, VERSION

PROGRAM = "program.pto"


def check_artifacts(directory: Path) -> None:
    """Read the files beside a report, as far as they are there.

    Raises InputError PTO031 for a damaged scope_stats.jsonl or deps.json, PTO040 to PTO043 for program.pto.
    """
    for name, check in ((SCOPE_STATS, _scope_stats), (DEPS, _deps)):
        path = directory / name
        if path.exists():
            _checked(path, check)
    if (directory / PROGRAM).exists():
        store.load(directory / PROGRAM)


def _checked(path: Path, check: Callable[[str], None]) -> None:
    try:
        check(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError("PTO030", f"cannot read {path}", values=str(error.strerror), hint=_AGAIN) from error
    except (ValueError, RecursionError) as error:  # DecodeError and broken JSON or UTF-8 are ValueErrors
        raise InputError("PTO031", f"{path} is damaged", values=str(error), hint=_AGAIN) from error


_AGAIN = "run the script again, or remove the file"


@dataclass(frozen=True)
class _Meta:
    version: int
    fatal: bool
    dropped: int
    total: int
    task_window_max: list[int]
    heap_max: list[int]
    dep_pool_max: list[int]
    tensormap_max: int


@dataclass(frozen=True)
class _Record:
    site: str
    phase: str
    depth: int
    ring: int
    task_window_start: int
    task_window_end: int
    heap_start: int
    heap_end: int
    dep_pool_start: int
    dep_pool_end: int
    tensormap: int


def _scope_stats(text: str) -> None:
    lines = text.splitlines()
    if not lines:
        raise DecodeError("line 1: the file is empty")
    meta: _Meta = decode(_Meta, _json_of(lines[0], "line 1"), "line 1")
    if meta.version != VERSION:
        raise DecodeError(f"line 1.version: {meta.version}, this pto-sim reads {VERSION}")
    for name in ("task_window_max", "heap_max", "dep_pool_max"):
        if len(getattr(meta, name)) != RINGS:
            raise DecodeError(f"line 1.{name}: expected {RINGS} numbers, found {len(getattr(meta, name))}")
    if meta.total != len(lines) - 1:
        raise DecodeError(f"line 1.total: {meta.total} records, but {len(lines) - 1} lines follow")
    for number, line in enumerate(lines[1:], 2):
        _check_record(decode(_Record, _json_of(line, f"line {number}"), f"line {number}"), f"line {number}")


def _check_record(record: _Record, where: str) -> None:
    if record.phase not in ("begin", "end"):
        raise DecodeError(f"{where}.phase: expected begin or end, found {record.phase!r}")
    if not 0 <= record.ring < RINGS:
        raise DecodeError(f"{where}.ring: expected 0 to {RINGS - 1}, found {record.ring}")
    for name in ("task_window", "heap", "dep_pool"):
        start, end = getattr(record, f"{name}_start"), getattr(record, f"{name}_end")
        if not 0 <= start <= end:
            raise DecodeError(f"{where}.{name}_end: {end} is not behind {name}_start, {start}")


@dataclass(frozen=True)
class _Task:
    task_id: str
    scope: str
    early_dispatch: bool
    kernel_ids: list[int]
    block_num: int
    args: list[dict[str, object]]


@dataclass(frozen=True)
class _Edge:
    pred: str
    succ: str
    arg: int
    source: str
    flags: list[str]


def _deps(text: str) -> None:
    document = _json_of(text, "the file")
    if not isinstance(document, dict):
        raise DecodeError(f"the file: expected an object, found {type(document).__name__}")
    tables: dict[str, list[Any]] = {}
    for name in ("tasks", "tensors", "edges"):
        if not isinstance(document.get(name), list):
            raise DecodeError(f"{name}: expected a list, found {type(document.get(name)).__name__}")
        tables[name] = document[name]
    tasks = [decode(_Task, value, f"tasks[{i}]") for i, value in enumerate(tables["tasks"])]
    known = _numbers((task.task_id for task in tasks), "tasks[{}].task_id")
    tensors = _numbers((_field(t, "tensor_id", f"tensors[{i}]") for i, t in enumerate(tables["tensors"])),
                       "tensors[{}].tensor_id")  # fmt: skip
    for i, value in enumerate(tables["edges"]):
        _check_edge(value, f"edges[{i}]", known, tensors)


def _check_edge(value: Any, where: str, tasks: set[str], tensors: set[str]) -> None:
    names = ("pred", "succ", "arg", "source", "flags")
    edge: _Edge = decode(_Edge, {name: _field(value, name, where) for name in names}, where)
    if not edge.pred.isdecimal():
        raise DecodeError(f"{where}.pred: expected a decimal number, found {edge.pred!r}")
    if edge.succ not in tasks:
        raise DecodeError(f"{where}.succ: there is no task {edge.succ!r}")
    if edge.source not in ("explicit", "creator", "tensormap"):
        raise DecodeError(f"{where}.source: expected explicit, creator or tensormap, found {edge.source!r}")
    if edge.source != "explicit" and _field(value, "tensor_id", where) not in tensors:
        raise DecodeError(f"{where}.tensor_id: there is no tensor {value['tensor_id']!r}")


def _field(value: Any, name: str, where: str) -> Any:
    if not isinstance(value, dict):
        raise DecodeError(f"{where}: expected an object, found {type(value).__name__}")
    if name not in value:
        raise DecodeError(f"{where}: lacks {name}")
    return value[name]


def _numbers(ids: Iterable[object], where: str) -> set[str]:
    """Ids as decimal texts, each once."""
    found: set[str] = set()
    for place, text in enumerate(ids):
        if not isinstance(text, str) or not text.isdecimal():
            raise DecodeError(f"{where.format(place)}: expected a decimal number, found {text!r}")
        if text in found:
            raise DecodeError(f"{where.format(place)}: {text} is there twice")
        found.add(text)
    return found


def _json_of(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise DecodeError(f"{where}: {error}") from error
