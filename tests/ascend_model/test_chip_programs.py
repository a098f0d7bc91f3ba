"""Random programs: every run obeys the laws, and its heap lies between the timing-free readings."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ascend_model.chip import simulate
from ascend_model.chipspec import load_chip
from ascend_model.heap import read_heap
from ascend_model.ring import RingFault, RingSizes
from ascend_model.ring_advice import ring_advice
from ascend_model.timeline import Timeline
from ascend_model.workload import Workload
from tests.ascend_model.laws import AIC, MIXED, SMALL_COPY, STREAMS, check_laws
from tests.ascend_model.workloads import Script


@st.composite
def programs(draw: st.DrawFn) -> Workload:
    """Random nests of scopes with allocations, kernels, dummies, edges, early dispatch and data that is waited for."""
    script = Script()
    visible: list[list[int]] = [[]]
    for _ in range(draw(st.integers(1, 16))):
        step = draw(st.integers(0, 5))
        known = [task for level in visible for task in level]
        if step == 0 and len(visible) < 5:
            script.begin()
            visible.append([])
        elif step == 1 and len(visible) > 1:
            script.end()
            visible.pop()
        elif step == 2:
            visible[-1].append(script.alloc(draw(st.integers(0, 5000))))
        elif step == 3 and known:
            read = draw(st.lists(st.sampled_from(known), min_size=1, max_size=2, unique=True))
            script.touch(*read, consumers=draw(st.booleans()))
        else:
            needs = tuple(sorted(draw(st.sets(st.sampled_from(known), max_size=3)))) if known else ()
            kind, stream = draw(st.sampled_from([("AIV", SMALL_COPY), ("AIC", AIC), ("MIX", MIXED), ("DUMMY", -1)]))
            blocks = draw(st.integers(1, 9))
            sync = draw(st.booleans()) and kind != "DUMMY" and blocks <= 2
            retain = draw(st.booleans())
            streams = () if kind == "DUMMY" else (stream,) * blocks
            flags = {
                "sync_start": sync,
                "early_resolve": draw(st.booleans()),
                "predicated": draw(st.integers(0, 4)) == 0,
            }
            visible[-1].append(script.task(kind, streams=streams, needs=needs, retain=retain, **flags))
    for _ in visible[1:]:
        script.end()
    return script.build(STREAMS)


def check_depths(timeline: Timeline, workload: Workload) -> None:
    """A ready task waits until the first phase that has claimed its last block begins; at one moment either holds.

    A sync_start task may leave its queue before that, while dispatch is stopped for it.
    """
    claims: dict[int, list[float]] = {task.id: [] for task in workload.tasks}
    for phase in timeline.runtime_phases:
        if phase.kind in ("dispatch", "early_dispatch") and phase.task is not None:
            claims[phase.task] += [phase.start_us] * phase.count
    waiting = []
    for task, span in zip(workload.tasks, timeline.tasks, strict=True):
        if task.kind in ("AIC", "AIV", "MIX"):
            claimed = sorted(claims[task.id])
            assert len(claimed) == span.blocks
            waiting.append((span.ready_us, claimed[-1], task.sync_start))
    for phase in timeline.runtime_phases:
        if phase.thread.startswith("scheduler"):
            most = sum(ready <= phase.end_us <= claimed for ready, claimed, _ in waiting)
            least = sum(ready < phase.end_us < claimed and not sync for ready, claimed, sync in waiting)
            assert least <= sum(phase.ready) <= most


def _at_once(kind: str, clusters: int) -> int:
    return 2 * clusters if kind == "AIV" else clusters


@settings(max_examples=60, deadline=None)
@given(programs(), st.sampled_from([1, 2, 24]), st.sampled_from([12288, 2**20]))
def test_every_run_obeys_the_laws_and_lies_between_the_readings(workload: Workload, cores: int, size: int) -> None:
    chip = load_chip("a2a3")
    sizes = RingSizes(heap_bytes=(size,) * 4, task_window=(8,) * 4)
    try:
        lag = read_heap(workload, sizes, "max_lag")
    except RingFault as fault:
        with pytest.raises(RingFault) as caught:
            simulate(workload, chip, heap_bytes=sizes, cores=cores)
        assert caught.value.code == fault.code
        advice = ring_advice(fault, workload, sizes)
        assert advice.sizes is not None
        sizes = advice.sizes
        lag = read_heap(workload, sizes, "max_lag")
    if any(task.sync_start and len(task.block_streams) > _at_once(task.kind, cores) for task in workload.tasks):
        with pytest.raises(RingFault, match="REQUIRE_SYNC_START_INVALID"):
            simulate(workload, chip, heap_bytes=sizes, cores=cores)
        return
    timeline = simulate(workload, chip, heap_bytes=sizes, cores=cores)
    check_laws(timeline, cores, chip)
    check_depths(timeline, workload)
    prompt = read_heap(workload, sizes, "prompt")
    for late, actual, soon in zip(lag.scopes, timeline.heap.scopes, prompt.scopes, strict=True):
        assert late.alloc_bytes == actual.alloc_bytes == soon.alloc_bytes
        assert late.high_water_bytes >= actual.high_water_bytes >= soon.high_water_bytes
        assert late.residency_bytes >= actual.residency_bytes >= soon.residency_bytes
    for task, span in zip(workload.tasks, timeline.tasks, strict=True):
        for edge in task.edges:
            assert timeline.tasks[edge.producer].end_us <= span.ready_us


@settings(max_examples=60, deadline=None)
@given(programs(), st.sampled_from([1, 24]))
def test_the_smallest_advised_sizes_do_for_the_timed_run_too(workload: Workload, cores: int) -> None:
    """Also those of the dep pools, whose use depends on the time at which producers end."""
    tiny = RingSizes(heap_bytes=(1024,) * 4, task_window=(4,) * 4, dep_pool=(4,) * 4)
    sizes: RingSizes | None = tiny
    try:
        read_heap(workload, tiny, "max_lag")
    except RingFault as fault:
        sizes = ring_advice(fault, workload, tiny).sizes
    assert sizes is not None
    if all(not task.sync_start or len(task.block_streams) <= _at_once(task.kind, cores) for task in workload.tasks):
        check_laws(simulate(workload, load_chip("a2a3"), heap_bytes=sizes, cores=cores), cores, load_chip("a2a3"))
