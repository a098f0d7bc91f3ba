"""PYPTO_BENCH: repeated launches of a kernel through the harness, and what they took.

PYPTO_BENCH=1 asks for it; PYPTO_BENCH_ROUNDS (100), PYPTO_BENCH_WARMUP (5) and PYPTO_BENCH_RAW are upstream's
(pypto-lib: golden/runner.py). Device time is the simulated time of the modelled chip, never a measurement.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from pto_sim.backend import BackendRun
from pto_sim.program.errors import InputError

_OFF = ("", "0", "false", "False")


@dataclass(frozen=True)
class BenchRequest:
    """How often to launch. raw: print every sample."""

    rounds: int
    warmup: int
    raw: bool


@dataclass
class BenchmarkStats:
    """Times of the measured launches, in microseconds.

    device_wall_us: the simulated time of a launch on the modelled chip. It depends on nothing but the program and its
    arguments, so equal launches give equal samples. host_wall_us: what the simulator took on this computer; it says
    nothing about a device.
    """

    device_wall_us: list[float] = field(default_factory=list)
    host_wall_us: list[float] = field(default_factory=list)
    rounds: int = 0
    warmup: int = 0

    def add(self, run: BackendRun, host_us: float) -> None:
        """Add a measured launch. Without simulated time (`--no-timing`) its device sample is 0."""
        self.device_wall_us.append(run.timeline.total_us if run.timeline is not None else 0.0)
        self.host_wall_us.append(host_us)

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
        """The samples of 'device' ('effective' is the same here) or of 'host'. Raises InputError (PTO018)."""
        if metric in ("device", "effective"):
            return list(self.device_wall_us)
        if metric != "host":
            raise InputError("PTO018", f"there is no metric {metric!r}", hint="use 'device', 'effective' or 'host'")
        return list(self.host_wall_us)

    def __str__(self) -> str:
        return (
            f"simulated device time over {self.rounds} rounds ({self.warmup} warm-up): "
            f"min {self.device_us_min:.2f} us, median {self.device_us_median:.2f} us, max {self.device_us_max:.2f} us"
        )


def bench_request() -> BenchRequest | None:
    """What the environment asks for; None without PYPTO_BENCH."""
    if os.environ.get("PYPTO_BENCH", "").strip() in _OFF:
        return None
    return BenchRequest(
        rounds=_count("PYPTO_BENCH_ROUNDS", 100, 1),
        warmup=_count("PYPTO_BENCH_WARMUP", 5, 0),
        raw=os.environ.get("PYPTO_BENCH_RAW", "").strip() not in _OFF,
    )


def _count(name: str, default: int, least: int) -> int:
    """A number from the environment; one that cannot be is said and the default taken, as upstream does."""
    text = os.environ.get(name, "").strip()
    if not text:
        return default
    if text.isdecimal() and int(text) >= least:
        return int(text)
    print(f"[RUN]   ignoring {name}={text!r} (want an integer >= {least}); using {default}", flush=True)
    return default


def measure(launch: Callable[[], BackendRun], rounds: int, warmup: int) -> BenchmarkStats:
    """Launch warmup + rounds times and collect the times of the last `rounds`."""
    stats = BenchmarkStats(rounds=rounds, warmup=warmup)
    for number in range(warmup + rounds):
        begin = time.perf_counter()
        run = launch()
        if number >= warmup:
            stats.add(run, (time.perf_counter() - begin) * 1e6)
    return stats


def print_stats(stats: BenchmarkStats, raw: bool) -> None:
    """The lines of upstream's harness, with a line that says what the numbers are."""
    if stats.all_zero_device:
        print("[RUN]   effective_us unavailable: time was not simulated", flush=True)
        return
    times = stats.device_wall_us
    print(
        f"[RUN]   effective_us ({len(times)} rounds) min={min(times):.1f} median={statistics.median(times):.1f} "
        f"mean={statistics.fmean(times):.1f} max={max(times):.1f}",
        flush=True,
    )
    print("[RUN]   note: effective_us is simulated time of the modelled chip, not a measurement", flush=True)
    if raw:
        print(f"[RUN]   raw samples: ranks=1 rounds={stats.rounds} warmup={stats.warmup}", flush=True)
        print(f"[RUN]     rank 0 raw n={len(times)} eff_us={[round(us, 1) for us in times]}", flush=True)
