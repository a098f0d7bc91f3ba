"""`simpler.worker`: the device runtime's own worker, for scripts that launch a compiled program by hand."""

from __future__ import annotations

from typing import Any

from pto_sim.compat.compiled_program import CallConfig, CompiledProgram, OrchArgs
from pto_sim.compat.manifest import RUNTIME_NAME
from pto_sim.compat.refusal import refuser
from pto_sim.compat.run_config import RunConfig
from pto_sim.program.errors import UnsupportedError

__path__: list[str] = []


class Worker:
    """One simulated chip. Raises UnsupportedError for another level, platform or runtime."""

    def __init__(
        self, *, level: int, device_id: int = 0, platform: str = "a2a3sim", runtime: str = RUNTIME_NAME, **options: Any
    ) -> None:
        if level != 2 or runtime != RUNTIME_NAME:
            raise UnsupportedError(
                f"simpler.worker.Worker(level={level}, runtime={runtime!r})", hint=f"use level=2, {RUNTIME_NAME!r}"
            )
        RunConfig(platform=platform)  # refuses what is not simulated
        self._programs: dict[int, CompiledProgram] = {}
        self._open = False

    def init(self) -> None:
        """Open the chip."""
        self._open = True

    def register(self, callable: CompiledProgram) -> int:
        """A number for `CompiledProgram.chip_callable`."""
        number = len(self._programs)
        self._programs[number] = callable
        return number

    def run(self, cid: int, args: OrchArgs, config: CallConfig | None = None) -> None:
        """Run a registered program on what build_orch_args gave; outputs are written in place."""
        if not self._open or cid not in self._programs:
            raise RuntimeError("simpler.worker.Worker.run called before init() or without register()")
        self._programs[cid](*args.values, config=config.run_config if config is not None else None)

    def unregister(self, cid: int) -> None:
        """Forget a program."""
        self._programs.pop(cid, None)

    def close(self) -> None:
        """Close the chip."""
        self._open = False


__getattr__ = refuser("simpler.worker", "pto-sim has no device runtime; call the compiled program")
