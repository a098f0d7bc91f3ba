"""Wall time and memory of a call."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

Result = TypeVar("Result")


@dataclass(frozen=True)
class Measured(Generic[Result]):
    """Seconds of repeated calls.

    result: of the last call. first_s: wall of the first call, which compiles and fills caches. best_s, median_s: wall
    of the calls after it. best_cpu_s: least processor time of one call, all threads; far below best_s means that other
    programs had the processor.
    """

    result: Result
    first_s: float
    best_s: float
    median_s: float
    best_cpu_s: float


def measure(call: Callable[[], Result], repeats: int = 5) -> Measured[Result]:
    """Calls once to warm caches and compilers, then `repeats` times."""
    walls, processor = [], []
    for _ in range(1 + repeats):
        start, start_cpu = time.perf_counter(), time.process_time()
        result = call()
        walls.append(time.perf_counter() - start)
        processor.append(time.process_time() - start_cpu)
    steady = sorted(walls[1:]) or walls
    return Measured(result, walls[0], steady[0], steady[len(steady) // 2], min(processor[1:] or processor))


def peak_rss_bytes() -> int:
    """Largest resident set of this process so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
