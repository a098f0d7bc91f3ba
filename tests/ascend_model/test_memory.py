"""Shared L2 and HBM: fair shares, bytes conserved, more bandwidth never slower."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ascend_model.chipspec import load_chip
from ascend_model.core import time_block
from ascend_model.isa import Core, Kind, StreamBuilder
from ascend_model.memory import (
    BlockDemand,
    SharedMemory,
    block_demand,
    fair_shares,
    first_touch_share,
    progress_rates,
)

SPEC = load_chip("a2a3")
L2_PER_US = 1920 * 1850.0
HBM_PER_US = 1.6e6

rates = st.lists(st.floats(0, 1e6), min_size=1, max_size=30).map(np.array)
capacities = st.floats(1, 1e7)
blocks = st.builds(BlockDemand, st.floats(0.1, 100), st.floats(0, 5e6), st.floats(0, 5e6))
block_lists = st.lists(blocks, min_size=1, max_size=20)


@given(rates, capacities)
def test_shares_stay_within_demand_and_capacity_and_waste_nothing(demands, capacity):
    shares = fair_shares(demands, capacity)
    assert (shares <= demands).all()
    assert shares.sum() == pytest.approx(min(demands.sum(), capacity), rel=1e-9)


@given(rates, capacities)
def test_whoever_is_cut_gets_as_much_as_anyone(demands, capacity):
    shares = fair_shares(demands, capacity)
    cut = shares < demands
    if cut.any():
        assert shares[cut].min() == shares.max()


@given(rates, capacities, st.floats(1, 10))
def test_more_capacity_makes_no_share_smaller(demands, capacity, factor):
    tolerance = 1e-9 * capacity * factor
    assert (fair_shares(demands, capacity * factor) >= fair_shares(demands, capacity) - tolerance).all()


def test_fair_shares_by_hand():
    np.testing.assert_allclose(fair_shares(np.array([1.0, 10.0, 4.0]), 9.0), [1, 4, 4])
    np.testing.assert_allclose(fair_shares(np.array([8.0, 8.0]), 4.0), [2, 2])
    np.testing.assert_allclose(fair_shares(np.array([1.0, 2.0]), 4.0), [1, 2])


@given(block_lists, st.floats(1e3, 1e7), st.floats(1e3, 1e7), st.floats(1, 4), st.floats(1, 4))
def test_more_bandwidth_makes_no_running_block_slower(demands, l2, hbm, more_l2, more_hbm):
    slow = progress_rates(tuple(demands), l2, hbm)
    fast = progress_rates(tuple(demands), l2 * more_l2, hbm * more_hbm)
    assert ((slow > 0) & (slow <= 1)).all()
    assert (fast >= slow * (1 - 1e-9)).all()


@given(block_lists, st.lists(st.floats(0, 50), min_size=20, max_size=20))
def test_no_capacity_is_exceeded_and_every_byte_is_moved(demands, starts):
    """Integrates rates between events: never above a capacity, and each block gets exactly its bytes."""
    memory = SharedMemory(SPEC)
    joins = sorted(zip(starts, range(len(demands)), strict=False))
    moved = np.zeros(len(demands))
    running, now_us = [], 0.0
    while joins or running:
        end = memory.next_end()
        joining = bool(joins) and (end is None or joins[0][0] <= end[0])
        then_us = joins[0][0] if joining else end[0]
        if running:
            speeds = progress_rates(tuple(demands[i] for i in running), L2_PER_US, HBM_PER_US)
            for nbytes, capacity in (("l2_bytes", L2_PER_US), ("hbm_bytes", HBM_PER_US)):
                flow = sum(
                    getattr(demands[i], nbytes) / demands[i].alone_us * s for i, s in zip(running, speeds, strict=True)
                )
                assert flow <= capacity * (1 + 1e-9)
            moved[running] += speeds * (then_us - now_us) / [demands[i].alone_us for i in running]
        now_us = then_us
        if joining:
            _, i = joins.pop(0)
            memory.join(i, demands[i], now_us)
            running.append(i)
        else:
            assert memory.leave(end[1], now_us) == pytest.approx(0, abs=1e-6)
            running.remove(end[1])
    np.testing.assert_allclose(moved, 1, rtol=1e-6)


def finish_times(demands, spec=SPEC):
    memory = SharedMemory(spec)
    for i, demand in enumerate(demands):
        memory.join(i, demand, 0.0)
    ends = {}
    while (following := memory.next_end()) is not None:
        memory.leave(following[1], following[0])
        ends[following[1]] = following[0]
    return ends


def test_blocks_within_the_bandwidth_do_not_notice_each_other():
    ends = finish_times([BlockDemand(10.0, 1e6, 1e5)] * 24)
    assert set(ends.values()) == {10.0}


def test_equal_blocks_over_the_bandwidth_take_bytes_over_capacity():
    # 24 blocks of 4 MB HBM each in 10 us want 9.6 MB/us of 1.6 MB/us.
    ends = finish_times([BlockDemand(10.0, 4e6, 4e6)] * 24)
    assert list(ends.values()) == pytest.approx([24 * 4e6 / 1.6e6] * 24)


def test_short_block_releases_its_share():
    # Each wants all of HBM: half speed for both until the short one ends at 2 us, then full speed.
    ends = finish_times([BlockDemand(1.0, 0.0, 1.6e6), BlockDemand(3.0, 0.0, 4.8e6)])
    assert ends[0] == pytest.approx(2.0)
    assert ends[1] == pytest.approx(4.0)


@given(block_lists)
def test_bytes_over_bandwidth_is_a_lower_bound(demands):
    last = max(finish_times(demands).values())
    bounds = (
        max(d.alone_us for d in demands),
        sum(d.l2_bytes for d in demands) / L2_PER_US,
        sum(d.hbm_bytes for d in demands) / HBM_PER_US,
    )
    assert last >= max(bounds) * (1 - 1e-9)


def load_timing(nbytes):
    b = StreamBuilder()
    b.append(Kind.GM_TO_L1, Core.AIC, (1, nbytes))
    return time_block(b.build(), SPEC)


def test_first_touch_is_limited_by_one_cores_misses():
    timing = load_timing(1 << 20)
    warm, cold = block_demand(timing, SPEC, 0.0, 0.0), block_demand(timing, SPEC, 1.0, 0.0)
    assert warm.alone_us == pytest.approx(timing.total_cycles / 1850)
    assert (warm.hbm_bytes, cold.hbm_bytes) == (0, 1 << 20)
    assert cold.alone_us == pytest.approx((1 << 20) / 30.06e3)
    assert warm.l2_bytes == cold.l2_bytes == 1 << 20


def test_misses_of_the_cores_of_a_cluster_overlap():
    b = StreamBuilder()
    for core in (Core.AIV0, Core.AIV1):
        b.append(Kind.GM_TO_UB, core, (1, 1 << 20))
    demand = block_demand(time_block(b.build(), SPEC), SPEC, 1.0, 0.0)
    assert demand.alone_us == pytest.approx((1 << 20) / 30.06e3)
    assert demand.hbm_bytes == 2 << 20


def test_first_touch_share_of_a_task():
    assert first_touch_share(512, 2048) == 0.25
    assert first_touch_share(0, 0) == 0.0
    with pytest.raises(ValueError, match="512 distinct GM bytes"):
        first_touch_share(512, 511)


def test_misuse_is_refused():
    memory = SharedMemory(SPEC)
    memory.join("a", BlockDemand(1.0, 0.0, 0.0), 5.0)
    with pytest.raises(ValueError, match="in flight already"):
        memory.join("a", BlockDemand(1.0, 0.0, 0.0), 5.0)
    with pytest.raises(ValueError, match="time goes back"):
        memory.join("b", BlockDemand(1.0, 0.0, 0.0), 4.0)
