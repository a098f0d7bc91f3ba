"""The in-order pipe scheduler as a Numba kernel: plain arrays in, plain arrays out. `core` states the rules."""

from __future__ import annotations

import numba
import numpy as np

from ascend_model.isa import Pipe, WaitReason

PIPES = len(Pipe)
UNITS = 3 * PIPES
"""Pipes of a cluster; unit index = core * PIPES + pipe."""

REASONS: tuple[str, ...] = tuple(reason.value for reason in WaitReason)
"""Columns of the idle table."""

BOUND_ISSUE = 0
BOUND_PIPE = 1
BOUND_DEPENDENCY = 2
BOUND_BARRIER = 3

_SCALAR = int(Pipe.S)
_REASON_COUNT = len(REASONS)
_ISSUE = REASONS.index("issue")
_FLAG = REASONS.index("flag")
_DEPENDENCY = REASONS.index("dependency")
_CROSS_CORE = REASONS.index("cross_core")
_BARRIER = REASONS.index("barrier")
_NO_WORK = REASONS.index("no_work")


@numba.njit(cache=True)
def schedule_pipes(
    core: np.ndarray,
    pipe: np.ndarray,
    barrier: np.ndarray,
    cycles: np.ndarray,
    dep_offsets: np.ndarray,
    dep_indices: np.ndarray,
    latencies: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Schedules n instructions in one pass over program order.

    core, pipe: int8 [n]. barrier: bool [n]. cycles: int64 [4, n], rows issue, head, hold, tail.
    dep_offsets int32 [n + 1], dep_indices int32: CSR of earlier instructions. latencies: int64 [3], cycles
    from a completion to a dependent start on the same pipe, another pipe of the core, another core.

    Returns times int64 [4, n] (issue start, start, release of the pipe, completion), bound int32 [3, n]
    (which rule fixed the start as BOUND_*, the instruction behind it or -1, the wait reason of a dependency),
    busy int64 [UNITS], idle int64 [UNITS, reasons]. For every unit busy + sum(idle) is the last completion.
    """
    n = core.shape[0]
    times = np.zeros((4, n), dtype=np.int64)
    bound = np.full((3, n), -1, dtype=np.int32)
    idle = np.zeros((UNITS, _REASON_COUNT), dtype=np.int64)
    released = np.zeros(UNITS, dtype=np.int64)
    covered = np.zeros(UNITS, dtype=np.int64)
    last_on_unit = np.full(UNITS, -1, dtype=np.int32)
    scalar_free = np.zeros(3, dtype=np.int64)
    core_done = np.zeros(3, dtype=np.int64)
    core_done_by = np.full(3, -1, dtype=np.int32)
    last_on_core = np.full(3, -1, dtype=np.int32)
    scalar_woke = np.zeros(3, dtype=np.int64)
    scalar_reason = np.full(3, _ISSUE, dtype=np.int32)
    total = 0
    for i in range(n):
        c, p = core[i], pipe[i]
        unit = c * PIPES + p
        ready = scalar_free[c]
        times[0, i] = ready
        how, who, reason = BOUND_ISSUE, last_on_core[c], _ISSUE
        if p != _SCALAR:
            ready += cycles[0, i]
            scalar_free[c] = ready
        for at in range(dep_offsets[i], dep_offsets[i + 1]):
            j = dep_indices[at]
            if core[j] != c:
                latency, why = latencies[2], _CROSS_CORE
            elif pipe[j] == _SCALAR:
                latency, why = 0, _ISSUE
            elif pipe[j] == p:
                latency, why = latencies[0], _DEPENDENCY
            else:
                latency, why = latencies[1], _FLAG
            if times[3, j] + latency > ready:
                ready = times[3, j] + latency
                how, who, reason = BOUND_DEPENDENCY, j, why
        if barrier[i] and core_done[c] > ready:
            ready = core_done[c]
            how, who, reason = BOUND_BARRIER, core_done_by[c], _BARRIER
        start, work = ready, ready + cycles[1, i]
        if p != _SCALAR and last_on_unit[unit] >= 0 and released[unit] >= work:
            start = work = released[unit]
            how, who = BOUND_PIPE, last_on_unit[unit]
        free = work + cycles[2, i]
        end = free + cycles[3, i]

        gap_from = scalar_free[c] if p == _SCALAR else covered[unit]
        if start > gap_from:
            if p != _SCALAR and how == BOUND_ISSUE and scalar_woke[c] > gap_from:
                # The scalar unit was late because it had to wait itself: that wait is the reason.
                idle[unit, scalar_reason[c]] += scalar_woke[c] - gap_from
                gap_from = scalar_woke[c]
            idle[unit, reason] += start - gap_from
        if p == _SCALAR:
            if start > scalar_free[c]:
                scalar_woke[c], scalar_reason[c] = start, reason
            scalar_free[c] = free
        released[unit] = free
        covered[unit] = max(covered[unit], end)
        times[1, i], times[2, i], times[3, i] = start, free, end
        bound[0, i], bound[1, i], bound[2, i] = how, who, reason
        last_on_unit[unit] = i
        last_on_core[c] = i
        if end >= core_done[c]:
            core_done[c], core_done_by[c] = end, i
        total = max(total, end)
    busy = np.zeros(UNITS, dtype=np.int64)
    for unit in range(UNITS):
        finish = scalar_free[unit // PIPES] if unit % PIPES == _SCALAR else covered[unit]
        idle[unit, _NO_WORK] += total - finish
        busy[unit] = total - idle[unit].sum()
    return times, bound, busy, idle
