"""L2 and HBM shared by the blocks that run at the same time.

A block alone moves its L2 bytes evenly over the time it takes alone. Two regimes: the first touch of a
task's distinct bytes comes from HBM, every re-read and every write goes through L2; written bytes leave L2
for HBM once. A core that misses L2 is limited by latency times outstanding bursts, so a block's misses need
at least `hbm read bytes / memory.miss_stream_bytes_per_s` on each core. When blocks together ask for more
than L2 or HBM gives, each of the two is shared max-min fairly and a block runs at the slower of its shares.

Limits: L2 capacity is not modelled (bytes that a later task reads again count as a first touch of that
task), nor is burstiness within a block.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np

from ascend_model.chipspec import ChipSpec
from ascend_model.core import BlockTiming


@dataclass(frozen=True)
class BlockDemand:
    """What one block asks of the shared memory.

    alone_us: its duration with the memory to itself, L2 misses included.
    l2_bytes: all GM traffic in whole lines. hbm_bytes: the part that goes on to HBM.
    """

    alone_us: float
    l2_bytes: float
    hbm_bytes: float


def first_touch_share(unique_bytes: int, total_bytes: int) -> float:
    """The share of a task's GM traffic that is a first touch.

    total_bytes: summed over the task's blocks. Raises ValueError when the task has more distinct bytes than
    traffic, which means that the two were counted over different instructions.
    """
    if unique_bytes > total_bytes:
        raise ValueError(f"{unique_bytes} distinct GM bytes, but all blocks together move only {total_bytes}")
    return unique_bytes / total_bytes if total_bytes else 0.0


def block_demand(timing: BlockTiming, spec: ChipSpec, read_share: float, write_share: float) -> BlockDemand:
    """The demand of one block of a task whose first-touch shares are `read_share` and `write_share`."""
    core_us = timing.total_cycles * spec.cycle_us
    missed_bytes = max(timing.gm_read_bytes_by_core) * read_share
    miss_us = missed_bytes / spec["memory.miss_stream_bytes_per_s"] * 1e6
    hbm_bytes = timing.gm_read_bytes * read_share + timing.gm_write_bytes * write_share
    return BlockDemand(max(core_us, miss_us), float(timing.l2_bytes), hbm_bytes)


def fair_shares(demands: np.ndarray, capacity: float) -> np.ndarray:
    """Max-min fair shares of `capacity` for float64 [n] demands (both in one unit, say bytes per us).

    No share exceeds its demand, the sum never exceeds the capacity, and whoever gets less than it asked for
    gets no less than anyone else. A larger capacity makes no share smaller.
    """
    shares = np.array(demands, dtype=np.float64)
    if shares.sum() <= capacity:
        return shares
    ascending = np.sort(shares)
    # With the k smallest demands served in full, the others split the rest equally: find the level that fits.
    served = np.concatenate(([0.0], np.cumsum(ascending)[:-1]))
    levels = (capacity - served) / np.arange(len(shares), 0, -1)
    level = levels[np.argmax(levels < ascending)] if (levels < ascending).any() else levels[-1]
    return np.minimum(shares, level)


def progress_rates(demands: tuple[BlockDemand, ...], l2_bytes_per_us: float, hbm_bytes_per_us: float) -> np.ndarray:
    """Speeds float64 [n] in (0, 1] of blocks that run together: 1 is as fast as alone.

    For a fixed set of blocks, a larger bandwidth makes no speed smaller.
    """
    speeds = np.ones(len(demands))
    for capacity, rates in (
        (l2_bytes_per_us, [d.l2_bytes / d.alone_us if d.alone_us > 0 else 0.0 for d in demands]),
        (hbm_bytes_per_us, [d.hbm_bytes / d.alone_us if d.alone_us > 0 else 0.0 for d in demands]),
    ):
        wanted = np.array(rates)
        if wanted.sum() > capacity:
            shares = fair_shares(wanted, capacity)
            speeds = np.minimum(speeds, np.divide(shares, wanted, out=np.ones(len(demands)), where=wanted > 0))
    return speeds


class SharedMemory:
    """The blocks in flight and how far each has come, as a fluid: speeds change only when a block joins or leaves.

    Times are in microseconds and must not go back. Typical use: `join` when a block starts; `next_end` to know
    when to look again; at that time `leave`.
    """

    def __init__(self, spec: ChipSpec) -> None:
        self._l2_bytes_per_us = spec["memory.l2_bytes_per_cycle"] * spec["clock.core_hz"] / 1e6
        self._hbm_bytes_per_us = spec["memory.hbm_bytes_per_s"] / 1e6
        self._now_us = 0.0
        self._keys: list[Hashable] = []
        self._demands: list[BlockDemand] = []
        self._left_us: list[float] = []
        self._speeds: list[float] = []

    def __len__(self) -> int:
        return len(self._keys)

    def join(self, key: Hashable, demand: BlockDemand, now_us: float) -> None:
        """Block `key` starts now. Raises ValueError when it is in flight already or time goes back."""
        if key in self._keys:
            raise ValueError(f"block {key!r} is in flight already")
        self._advance(now_us)
        self._keys.append(key)
        self._demands.append(demand)
        self._left_us.append(demand.alone_us)
        self._share()

    def leave(self, key: Hashable, now_us: float) -> float:
        """Block `key` ends now; returns the microseconds alone that it still lacked (0 but for rounding)."""
        self._advance(now_us)
        at = self._keys.index(key)
        del self._keys[at], self._demands[at]
        left_us = self._left_us.pop(at)
        self._share()
        return left_us

    def next_end(self) -> tuple[float, Hashable] | None:
        """When the next block ends if none joins before, and which: the one that joined first if several do."""
        if not self._keys:
            return None
        ends = [left_us / speed for left_us, speed in zip(self._left_us, self._speeds, strict=True)]
        first = min(ends)
        return self._now_us + first, self._keys[ends.index(first)]

    def _advance(self, now_us: float) -> None:
        passed_us = now_us - self._now_us
        if passed_us < 0:
            raise ValueError(f"time goes back from {self._now_us} us to {now_us} us")
        if passed_us:
            left = zip(self._left_us, self._speeds, strict=True)
            self._left_us = [max(left_us - passed_us * speed, 0.0) for left_us, speed in left]
            self._now_us = now_us

    def _share(self) -> None:
        if not self._demands:
            self._speeds = []
            return
        rates = progress_rates(tuple(self._demands), self._l2_bytes_per_us, self._hbm_bytes_per_us)
        self._speeds = rates.tolist()
