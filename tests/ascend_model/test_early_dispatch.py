"""Early dispatch: schedules worked out by hand on a chip with round costs, and who is never staged early.

Rules: simpler: src/a2a3/runtime/tensormap_and_ringbuffer/runtime/scheduler/scheduler_dispatch.cpp (try_early_dispatch),
pto_scheduler.h (propagate_dispatch_fanin, try_early_dispatch_release), runtime/pto_orchestrator.cpp (wire_fanin_task).
"""

from __future__ import annotations

import pytest

from ascend_model.chip import simulate
from ascend_model.chipspec import load_chip
from ascend_model.isa import Core
from ascend_model.timeline import Timeline
from tests.ascend_model.laws import check_laws
from tests.ascend_model.round_costs import lasting, round_chip, spans, steps
from tests.ascend_model.workloads import Script

LONG, SHORT, CUBE, MIXED = (
    lasting(10),
    lasting(1),
    lasting(10, Core.AIC),
    lasting(10, Core.AIC, Core.AIV0, Core.AIV1),
)
STREAMS = (LONG, SHORT, CUBE, MIXED)


def ran(script: Script, *, cores: int = 1, threads: int = 1) -> Timeline:
    chip = round_chip(threads)
    timeline = simulate(script.build(STREAMS), chip, cores=cores)
    check_laws(timeline, cores, chip)
    return timeline


def starts(timeline: Timeline, task: int) -> list[float]:
    return sorted({round(block.start_us, 3) for block in timeline.blocks if block.task == task})


def pair(stream: int = 0, kind: str = "AIV", blocks: int = 1, *, flag: bool = True, **consumer: bool) -> Script:
    """A task of one block, and a task of `blocks` blocks that waits for it."""
    script = Script()
    first = script.task(kind, streams=(stream,), early_resolve=flag)
    script.task(kind, streams=(0 if kind == "AIV" else stream,) * blocks, needs=(first,), **consumer)
    return script


def test_a_consumer_is_staged_on_an_idle_core_and_starts_a_doorbell_after_it_is_resolved() -> None:
    """Published at 7.25, the first task ends at 17.75 and is complete at 21.25; resolved, rung and there at 22.25."""
    timeline = ran(pair())
    assert spans(steps(timeline, "early_dispatch")) == [(7.25, 11.5)]
    assert spans(steps(timeline, "dispatch")) == [(3, 7.25)]
    assert {block.core for block in timeline.blocks} == {"AIV_0", "AIV_1"}
    assert starts(timeline, 1) == [22.25]
    assert timeline.tasks[1].ready_us == pytest.approx(21.75, abs=1e-3)
    assert timeline.total_us == pytest.approx(35.75, abs=1e-3)
    staged = timeline.blocks[1]
    assert staged.dispatch_us < timeline.blocks[0].end_us and staged.received_us == pytest.approx(11.75, abs=1e-3)


def test_without_the_flag_it_is_dispatched_when_it_is_ready() -> None:
    timeline = ran(pair(flag=False))
    assert not steps(timeline, "early_dispatch") and starts(timeline, 1) == [26.5]


def test_a_pending_slot_is_staged_where_no_core_is_idle() -> None:
    """Its predecessor ends at 17.75, and it has been picked up long before the gate opens."""
    timeline = ran(pair(2, "AIC"))
    assert spans(steps(timeline, "early_dispatch")) == [(7.25, 11.5)]
    assert starts(timeline, 1) == [22.25] and {block.core for block in timeline.blocks} == {"AIC_0"}


def test_a_mixed_block_is_staged_on_every_core_of_its_cluster() -> None:
    timeline = ran(pair(3, "MIX"), cores=2)
    # Three cores are polled one after the other, and three doorbells rung.
    assert starts(timeline, 1) == [7.75 + 0.5 + 10 + 1 + 1.5 + 2 + 0.5 + 0.75 + 0.25]
    assert {block.core for block in timeline.blocks if block.task == 1} == {"AIC_1", "AIV_2", "AIV_3"}


def test_staging_that_is_under_way_when_the_producer_ends_comes_first() -> None:
    """The thread stages until 11.5, then sees the first task, which ended at 8.75: complete 14, rung 14.75."""
    timeline = ran(pair(1))
    assert spans(steps(timeline, "early_dispatch")) == [(7.25, 11.5)]
    assert spans(steps(timeline, "complete", 0)) == [(12, 14)] and starts(timeline, 1) == [15]


def test_all_threads_stage_the_blocks_of_one_task_and_one_rings_them() -> None:
    """Thread 0 has one idle core, thread 1 two; the fourth block waits behind the first task."""
    timeline = ran(pair(blocks=4), cores=2, threads=2)
    taken = sorted(steps(timeline, "early_dispatch"), key=lambda step: (step.thread, step.start_us))
    assert spans(taken) == [(7.25, 11.5), (11.5, 11.75), (7.25, 11.75)]
    assert starts(timeline, 1) == [21.75 + 4 * 0.25 + 0.25]


def test_what_was_not_staged_waits_with_the_ready_blocks() -> None:
    """Of three blocks one is staged behind the producer. Its gate opens at 22.25, and the core takes a second."""
    timeline = ran(pair(2, "AIC", 3))
    assert spans(steps(timeline, "early_dispatch")) == [(7.25, 11.5)]
    assert spans(steps(timeline, "dispatch", 1)) == [(22.25, 22.5), (33.75, 34)]
    assert starts(timeline, 1) == [22.25, 32.5, 42.75]
    assert timeline.total_us == pytest.approx(56.25, abs=1e-3)


def test_a_chain_pays_a_doorbell_for_each_link_instead_of_a_dispatch() -> None:
    times = {}
    for flag in (True, False):
        script = Script()
        last: tuple[int, ...] = ()
        for _ in range(6):
            last = (script.task(streams=(0,), needs=last, early_resolve=flag),)
        times[flag] = ran(script).total_us
    see_and_resolve = 10 + 1 + 0.5 + 2 + 0.5
    assert times[True] == pytest.approx(7.75 + 5 * (see_and_resolve + 0.5) + 13.5, abs=1e-3)
    assert times[False] == pytest.approx(7.75 + 5 * (see_and_resolve + 4.75) + 13.5, abs=1e-3)


def test_a_consumer_waits_for_the_publication_of_every_block_of_its_producers() -> None:
    """Six blocks on two cores: four are published at once, the last two when the first are seen."""
    script = Script()
    first = script.task(streams=(0,) * 6, early_resolve=True)
    script.task(streams=(0,), needs=(first,))
    timeline = ran(script)
    (staged,) = steps(timeline, "early_dispatch")
    published = max(step.end_us for step in steps(timeline, "dispatch", 0))
    assert published > 20 and staged.start_us >= published
    assert starts(timeline, 1) == [round(timeline.tasks[1].ready_us + 0.5, 3)]


def test_every_producer_has_to_allow_it() -> None:
    for flags in ((True, True), (True, False), (False, True)):
        script = Script()
        first = script.task(streams=(0,), early_resolve=flags[0])
        second = script.task(streams=(0,), early_resolve=flags[1])
        script.task(streams=(0,), needs=(first, second))
        assert bool(steps(ran(script, cores=2), "early_dispatch")) == all(flags)


def test_an_allocation_never_stands_in_the_way() -> None:
    script = Script()
    block = script.alloc(1024)
    first = script.task(streams=(0,), needs=(block,), early_resolve=True)
    script.task(streams=(0,), needs=(block, first))
    assert len(steps(ran(script), "early_dispatch")) == 1


def test_a_producer_that_has_published_before_its_consumer_is_submitted() -> None:
    """The consumer is the third task, submitted at 9; the first has published at 7.25."""
    script = Script()
    first = script.task(streams=(0,), early_resolve=True)
    script.task("DUMMY")
    script.task(streams=(0,), needs=(first,))
    timeline = ran(script)
    assert len(steps(timeline, "early_dispatch")) == 1
    assert steps(timeline, "early_dispatch")[0].start_us >= 9


def test_who_depends_on_completed_tasks_alone_is_ready_at_once() -> None:
    script = Script()
    first = script.task(streams=(1,), early_resolve=True)
    script.touch(first)
    script.task(streams=(0,), needs=(first,))
    assert not steps(ran(script), "early_dispatch")


@pytest.mark.parametrize("consumer", [{"predicated": True}, {"sync_start": True}])
def test_predicates_and_blocks_that_start_together_are_not_staged(consumer: dict[str, bool]) -> None:
    timeline = ran(pair(blocks=2, **consumer), cores=2)
    assert not steps(timeline, "early_dispatch")


def test_a_task_without_a_kernel_is_not_staged() -> None:
    script = Script()
    first = script.task(streams=(0,), early_resolve=True)
    script.task("DUMMY", needs=(first,))
    assert not steps(ran(script), "early_dispatch")


def test_a_staged_task_lets_its_own_consumers_be_staged_only_once_it_has_been_rung() -> None:
    script = Script()
    last: tuple[int, ...] = ()
    for _ in range(3):
        last = (script.task(streams=(0,), needs=last, early_resolve=True),)
    timeline = ran(script, cores=2)
    first, second = steps(timeline, "early_dispatch")
    assert (first.task, second.task) == (1, 2)
    assert second.start_us >= timeline.tasks[1].ready_us > first.end_us


def test_nothing_is_staged_while_ready_blocks_wait_for_a_core() -> None:
    """The one AIC has a running and a pending block until the producer is seen; two more wait for it."""
    for others in (0, 3):
        script = Script()
        first = script.task("AIC", streams=(2,), early_resolve=True)
        for _ in range(others):
            script.task("AIC", streams=(2,))
        script.task("AIC", streams=(2,), needs=(first,))
        assert len(steps(ran(script), "early_dispatch")) == (0 if others else 1)


def test_the_flag_shortens_a_chain_on_the_real_chip_by_dispatch_and_pickup() -> None:
    chip = load_chip("a2a3")
    times = {}
    for flag in (True, False):
        script = Script()
        last: tuple[int, ...] = ()
        for _ in range(5):
            last = (script.task(streams=(0,), needs=last, early_resolve=flag),)
        timeline = simulate(script.build(STREAMS), chip)
        check_laws(timeline, 24, chip)
        times[flag] = timeline.total_us
    assert 3.0 < times[False] - times[True] < 4 * (1.0 + 0.3 + 2.0)
