"""`benchmark`: repeated launches of a compiled program, and what they took on the host and on the simulated device."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pto_sim.backend import BackendRun, current_session, open_session
from pto_sim.compat.refusal import RefusedValueError
from pto_sim.compat.run_config import RunConfig
from pto_sim.program.options import RunOptions


@dataclass
class BenchmarkStats:
    """Times of the measured launches, in microseconds.

    device_wall_us: the simulated time of the launch on the modelled chip, which depends on nothing but the program and
    its arguments: equal launches give equal samples. host_wall_us: what the simulator took on this computer; it says
    nothing about a device.
    """

    device_wall_us: list[float] = field(default_factory=list)
    host_wall_us: list[float] = field(default_factory=list)
    rounds: int = 0
    warmup: int = 0

    @property
    def samples(self) -> list[float]:
        """device_wall_us under its other name."""
        return self.device_wall_us

    @property
    def all_zero_device(self) -> bool:
        """Whether there are samples and each is 0, as when time was not simulated."""
        return bool(self.device_wall_us) and not any(self.device_wall_us)

    @property
    def device_us_min(self) -> float:
        """Least simulated time; 0 without samples, as all of these."""
        return min(self.device_wall_us, default=0.0)

    @property
    def device_us_max(self) -> float:
        """Greatest simulated time."""
        return max(self.device_wall_us, default=0.0)

    @property
    def device_us_mean(self) -> float:
        """Mean simulated time."""
        return statistics.fmean(self.device_wall_us) if self.device_wall_us else 0.0

    @property
    def device_us_median(self) -> float:
        """Median simulated time."""
        return statistics.median(self.device_wall_us) if self.device_wall_us else 0.0

    @property
    def device_us_stdev(self) -> float:
        """Standard deviation of the simulated time, 0 for fewer than two samples."""
        return statistics.stdev(self.device_wall_us) if len(self.device_wall_us) > 1 else 0.0

    def per_round(self, metric: str = "device") -> list[float]:
        """The samples of 'device' or 'host'. Raises InputError (PTO018), also a ValueError, for another metric."""
        lists = {"device": self.device_wall_us, "host": self.host_wall_us}
        if metric not in lists:
            raise RefusedValueError("PTO018", f"there is no metric {metric!r}", hint="use 'device' or 'host'")
        return list(lists[metric])

    def __str__(self) -> str:
        return (
            f"simulated device time over {self.rounds} rounds ({self.warmup} warm-up): "
            f"min {self.device_us_min:.2f} us, median {self.device_us_median:.2f} us, max {self.device_us_max:.2f} us"
        )


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
    options = outer.options if outer is not None else RunOptions()
    stats = BenchmarkStats(rounds=rounds, warmup=warmup)
    for launch in range(warmup + rounds):
        with open_session(replace(options, timing=True)) as session:
            begin = time.perf_counter()
            compiled(*args, config=asked)
            took_us = (time.perf_counter() - begin) * 1e6
        if launch >= warmup:
            stats.host_wall_us.append(took_us)
            stats.device_wall_us.append(sum(_simulated_us(result.run) for result in session.results))
    if outer is not None and session.results:
        outer.record(session.results[-1])  # one launch stands for all of them in the report
    return stats


def _simulated_us(run: BackendRun) -> float:
    return run.timeline.total_us if run.timeline is not None else 0.0
