"""The report of one run as data: the object that `--json` writes and every renderer reads."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ascend_model.timeline import PathStep, PipeUse, ScopeReading, TaskSpan
from pto_sim.program.errors import InputError
from pto_sim.program.findings import Finding
from pto_sim.program.json_codec import DecodeError, decode, encode

REPORT_VERSION = 2
READINGS = ("max_lag", "prompt", "simulated")


@dataclass(frozen=True)
class OutputReport:
    """One output. sha256 covers its written elements in C order, NaNs made canonical (see `output_hash`)."""

    sha256: str
    shape: tuple[int, ...]
    dtype: str
    written_elements: int


@dataclass(frozen=True)
class RuntimeErrorReport:
    """A runtime error code, its upstream name and the ring state that came with it."""

    code: int
    name: str
    message: str
    ring_state: dict[str, object]


@dataclass(frozen=True)
class RingReport:
    """One ring heap, in bytes."""

    capacity_bytes: int
    high_water_bytes: int


@dataclass(frozen=True)
class ReadingReport:
    """One reading of the ring heaps: rings by index (as text), scope instances in closing order."""

    rings: dict[str, RingReport]
    scopes: tuple[ScopeReading, ...]
    frame_residency_bytes: int


@dataclass(frozen=True)
class HeapReport:
    """The readings of a run; one that was not taken is None."""

    pipe_slots: str
    max_scope_depth: int
    max_lag: ReadingReport | None
    prompt: ReadingReport | None
    simulated: ReadingReport | None

    def readings(self) -> list[tuple[str, ReadingReport]]:
        """The readings that were taken, by name."""
        named = ((name, getattr(self, name)) for name in READINGS)
        return [(name, reading) for name, reading in named if reading is not None]


@dataclass(frozen=True)
class TimeReport:
    """Simulated time in microseconds; `pipes` in cycles, over the whole chip and run."""

    total_us: float
    per_task: tuple[TaskSpan, ...]
    critical_path: tuple[PathStep, ...]
    chip: str
    pipes: tuple[PipeUse, ...]


@dataclass(frozen=True)
class ProductReport:
    """A matrix product of the source, [m, k] x [k, n] of `dtype`, `batch` of them, and its L0 tile.

    k_blocks: chains along K, whose sums are added in order; so the cut is part of a float product's value.
    stationary: the operand that stays in L0 over the grid of tiles: output, a or b.
    """

    site: str
    op: str
    batch: int
    m: int
    k: int
    n: int
    dtype: str
    tile_m: int
    tile_k: int
    tile_n: int
    k_blocks: int
    stationary: str


@dataclass(frozen=True)
class HostReport:
    """What the run cost on this machine. peak_rss_bytes is the process' peak so far."""

    wall_s: float
    peak_rss_bytes: int


@dataclass(frozen=True)
class RunReport:
    """One kernel run.

    error: text of a failed comparison or runtime error. compared: there was a golden to compare with.
    `heap` and `time` are None where a backend or option gives none.
    """

    version: int
    kernel: str
    backend: str
    numerics: str
    variant: str
    passed: bool
    compared: bool
    error: str | None
    runtime_error: RuntimeErrorReport | None
    outputs: dict[str, OutputReport]
    heap: HeapReport | None
    time: TimeReport | None
    findings: tuple[Finding, ...]
    products: tuple[ProductReport, ...]
    host: HostReport

    def to_json(self) -> dict[str, Any]:
        """The object of `--json`: plain dicts, lists, text and numbers."""
        document: dict[str, Any] = encode(self)
        return document


def load_report(path: Path) -> RunReport:
    """Read a report that was written as JSON.

    Raises InputError: PTO030 not readable, PTO031 damaged or of another version.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(
            "PTO030",
            f"cannot read {path}",
            values=str(error.strerror),
            hint="name the directory of a finished run (pto-sim run --out DIR)",
        ) from error
    except (ValueError, RecursionError) as error:
        raise InputError("PTO031", f"{path} is damaged", values=str(error), hint="run the script again") from error
    version = document.get("version") if isinstance(document, dict) else None
    if version != REPORT_VERSION:
        raise InputError(
            "PTO031",
            f"{path} is not a report of this version of pto-sim",
            values=f"file: {version!r}, this pto-sim reads {REPORT_VERSION}",
            hint="run the script again",
        )
    try:
        report: RunReport = decode(RunReport, {k: v for k, v in document.items() if k != "runs"}, "report")
    except (DecodeError, RecursionError) as error:
        raise InputError("PTO031", f"{path} is damaged", values=str(error), hint="run the script again") from error
    return report
