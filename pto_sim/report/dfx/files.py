"""Which of the files a script asked for, and writing them into a run directory."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ascend_model.timeline import Timeline
from pto_sim.lowering import LoweredProgram
from pto_sim.program.errors import InputError
from pto_sim.program.model import Program
from pto_sim.report.dfx import args_dump, dep_graph, merged, name_map, pmu, swimlane
from pto_sim.report.dfx.identities import Identities, identities

WriteText = Callable[[Path, str], None]


@dataclass(frozen=True)
class DfxRequest:
    """What a script asks for, as levels; 0 is nothing. Names are those of upstream's RunConfig."""

    swimlane: int = 0
    dump_args: int = 0
    pmu: int = 0
    dep_gen: bool = False

    @classmethod
    def of(cls, runtime_cfg: Mapping[str, object]) -> DfxRequest:
        """The request in a checked runtime_cfg, whose levels are numbers or flags."""

        def level(key: str) -> int:
            value = runtime_cfg.get(key) or 0
            assert isinstance(value, int), f"{key} has been checked"
            return int(value)

        every = runtime_cfg.get("enable_chip_swimlane") is True  # upstream's older form of the highest level
        lanes = max(swimlane.LEVELS) if every else level("enable_chip_swimlane")
        return cls(lanes, level("enable_dump_args"), level("enable_pmu"), bool(level("enable_dep_gen")))

    def __bool__(self) -> bool:
        return bool(self.swimlane or self.dump_args or self.pmu or self.dep_gen)


def numbers_of(program: Program, lowered: LoweredProgram) -> Identities:
    """The numbers of tasks, kernels and buffers that all files share."""
    return identities(lowered, {index: info.nbytes for index, info in enumerate(program.tensors)})


def write_dfx(
    directory: Path,
    request: DfxRequest,
    program: Program,
    lowered: LoweredProgram,
    timeline: Timeline | None,
    dump: args_dump.ArgumentDump | None,
    write_text: WriteText,
) -> None:
    """Write what `request` asks for below `directory`; the swimlane and pmu.csv only of a run that has times.

    Raises InputError (PTO033).
    """
    if not request:
        return
    numbers = numbers_of(program, lowered)
    write_text(directory / name_map.file_name(program.name), name_map.name_map_text(numbers))
    if request.dep_gen or request.swimlane:
        write_text(directory / dep_graph.FILE_NAME, dep_graph.dep_graph_text(program, lowered, numbers))
    if timeline is not None and request.swimlane:
        write_text(directory / swimlane.FILE_NAME, swimlane.swimlane_text(timeline, numbers, request.swimlane))
        write_text(directory / merged.FILE_NAME, merged.merged_text(timeline, lowered, numbers))
    if timeline is not None and request.pmu:
        write_text(directory / pmu.FILE_NAME, pmu.pmu_text(timeline, numbers))
    if dump is not None:
        folder = directory / args_dump.FOLDER
        write_text(folder / args_dump.MANIFEST, dump.manifest_text())
        _copy(dump, folder / args_dump.PAYLOAD)


def _copy(dump: args_dump.ArgumentDump, path: Path) -> None:
    dump.payload.seek(0)
    try:
        with path.open("wb") as file:
            shutil.copyfileobj(dump.payload, file)
    except OSError as error:
        raise InputError(
            "PTO033", f"cannot write {path}", values=str(error.strerror or error),
            hint="free space, choose another --out directory, or leave enable_dump_args out",
        ) from error  # fmt: skip
