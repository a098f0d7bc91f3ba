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
_PIPE_BUSY = REASONS.index("pipe_busy")
_FLAG = REASONS.index("flag")
_DEPENDENCY = REASONS.index("dependency")
_CROSS_CORE = REASONS.index("cross_core")
_BARRIER = REASONS.index("barrier")
_NO_WORK = REASONS.index("no_work")


@numba.njit(cache=True)
def _awaited(
    i: int,
    core: np.ndarray,
    pipe: np.ndarray,
    dep_offsets: np.ndarray,
    dep_indices: np.ndarray,
    completed: np.ndarray,
    latencies: np.ndarray,
) -> tuple[int, int, int]:
    """When the last dependency of instruction i has signalled it: (cycles, that dependency or -1, wait reason)."""
    until, who, reason = 0, -1, _ISSUE
    for at in range(dep_offsets[i], dep_offsets[i + 1]):
        j = dep_indices[at]
        if core[j] != core[i]:
            latency, why = latencies[2], _CROSS_CORE
        elif pipe[j] == _SCALAR:
            latency, why = 0, _ISSUE
        elif pipe[j] == pipe[i]:
            latency, why = latencies[0], _DEPENDENCY
        else:
            latency, why = latencies[1], _FLAG
        if completed[j] + latency > until:
            until, who, reason = completed[j] + latency, j, why
    return until, who, reason


@numba.njit(cache=True)
def schedule_pipes(
    core: np.ndarray,
    pipe: np.ndarray,
    barrier: np.ndarray,
    cycles: np.ndarray,
    dep_offsets: np.ndarray,
    dep_indices: np.ndarray,
    latencies: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Schedules n instructions in one pass over program order.

    core, pipe: int8 [n]. barrier: bool [n]. cycles: int64 [4, n], rows issue, head, hold, tail.
    dep_offsets int32 [n + 1], dep_indices int32: CSR of earlier instructions. latencies: int64 [3], cycles
    from a completion to a dependent start on the same pipe, another pipe of the core, another core.

    Returns times int64 [4, n] (issue start, start, release of the pipe, completion) and bound int32 [3, n]
    (which rule fixed the start as BOUND_*, the instruction behind it or -1, the wait reason).
    """
    n = core.shape[0]
    times = np.zeros((4, n), dtype=np.int64)
    bound = np.full((3, n), -1, dtype=np.int32)
    last_on_unit = np.full(UNITS, -1, dtype=np.int32)
    last_on_core = np.full(3, -1, dtype=np.int32)
    scalar_free = np.zeros(3, dtype=np.int64)
    core_done = np.zeros(3, dtype=np.int64)
    core_done_by = np.full(3, -1, dtype=np.int32)
    for i in range(n):
        c, p = core[i], pipe[i]
        unit = c * PIPES + p
        times[0, i] = scalar_free[c]
        ready = scalar_free[c] + (0 if p == _SCALAR else cycles[0, i])
        scalar_free[c] = ready
        how, who, reason = BOUND_ISSUE, last_on_core[c], _ISSUE
        until, source, why = _awaited(i, core, pipe, dep_offsets, dep_indices, times[3], latencies)
        if until > ready:
            ready, how, who, reason = until, BOUND_DEPENDENCY, source, why
        if barrier[i] and core_done[c] > ready:
            ready, how, who, reason = core_done[c], BOUND_BARRIER, core_done_by[c], _BARRIER
        start, work = ready, ready + cycles[1, i]
        ahead = last_on_unit[unit]
        if p != _SCALAR and ahead >= 0 and times[2, ahead] >= work:
            start = work = times[2, ahead]
            how, who, reason = BOUND_PIPE, ahead, _PIPE_BUSY
        free = work + cycles[2, i]
        if p == _SCALAR:
            scalar_free[c] = free
        end = free + cycles[3, i]
        times[1, i], times[2, i], times[3, i] = start, free, end
        bound[0, i], bound[1, i], bound[2, i] = how, who, reason
        last_on_unit[unit] = last_on_core[c] = i
        if end >= core_done[c]:
            core_done[c], core_done_by[c] = end, i
    return times, bound


@numba.njit(cache=True)
def account_pipes(
    core: np.ndarray, pipe: np.ndarray, issue_cycles: np.ndarray, times: np.ndarray, bound: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Splits the time of every pipe into busy and idle by reason.

    core, pipe, times, bound: as `schedule_pipes` takes and returns them. issue_cycles: int64 [n].
    Returns busy int64 [UNITS] and idle int64 [UNITS, reasons]; for every unit busy + sum(idle) is the last
    completion of all.
    A pipe is busy while any of its instructions is between start and completion; S also while it issues.
    """
    idle = np.zeros((UNITS, _REASON_COUNT), dtype=np.int64)
    covered = np.zeros(UNITS, dtype=np.int64)
    scalar_woke = np.zeros(3, dtype=np.int64)
    scalar_reason = np.full(3, _ISSUE, dtype=np.int32)
    total = 0
    for i in range(core.shape[0]):
        c, p = core[i], pipe[i]
        unit = c * PIPES + p
        issue_start, start, reason = times[0, i], times[1, i], bound[2, i]
        gap_from = issue_start if p == _SCALAR else covered[unit]
        if start > gap_from:
            if p != _SCALAR and bound[0, i] == BOUND_ISSUE and scalar_woke[c] > gap_from:
                # The scalar unit was late because it had to wait itself: that wait is the reason.
                idle[unit, scalar_reason[c]] += scalar_woke[c] - gap_from
                gap_from = scalar_woke[c]
            idle[unit, reason] += start - gap_from
            if p == _SCALAR:
                scalar_woke[c], scalar_reason[c] = start, reason
        covered[unit] = max(covered[unit], times[3, i])
        if p != _SCALAR:
            covered[c * PIPES + _SCALAR] = issue_start + issue_cycles[i]
        total = max(total, times[3, i])
    busy = np.zeros(UNITS, dtype=np.int64)
    for unit in range(UNITS):
        idle[unit, _NO_WORK] += total - covered[unit]
        busy[unit] = total - idle[unit].sum()
    return busy, idle
