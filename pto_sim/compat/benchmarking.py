"""`pypto.runtime.benchmark`: repeated launches of a compiled program."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from pto_sim.backend import BackendRun, current_session, open_session
from pto_sim.compat.refusal import RefusedValueError
from pto_sim.compat.run_config import RunConfig
from pto_sim.golden.benchmark import BenchmarkStats, measure
from pto_sim.program.options import RunOptions

__path__: list[str] = []

__all__ = ["BenchmarkStats", "benchmark"]


def benchmark(
    compiled: Any,
    args: Sequence[Any],
    rounds: int = 100,
    warmup: int = 3,
    *,
    platform: str | None = None,
    device_id: int | None = None,
    config: RunConfig | None = None,
) -> BenchmarkStats:
    """Launch `compiled` warmup + rounds times on `args` and collect the times of the last `rounds`.

    Raises InputError (PTO018), also a ValueError, for counts that cannot be and for config with platform or device_id.
    """
    if rounds <= 0 or warmup < 0:
        raise RefusedValueError(
            "PTO018", f"benchmark(rounds={rounds}, warmup={warmup})", hint="give at least one round, no negative warmup"
        )
    if config is not None and (platform is not None or device_id is not None):
        raise RefusedValueError(
            "PTO018", "benchmark() got config and platform or device_id", hint="pass one or the other"
        )
    asked = config or RunConfig(platform=platform or compiled.platform, device_id=device_id or 0)
    outer = current_session()
    options = replace(outer.options if outer is not None else RunOptions(), timing=True)
    last: list[Any] = []

    def launch() -> BackendRun:
        with open_session(options) as session:
            compiled(*args, config=asked)
        last[:] = session.results[-1:]
        return session.results[-1].run

    stats = measure(launch, rounds, warmup)
    if outer is not None:
        outer.record(last[0])  # one launch stands for all of them in the report
    return stats
