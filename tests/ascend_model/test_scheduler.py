"""A scheduler thread step by step: schedules worked out by hand on a chip with round costs.

Rules: simpler: src/a2a3/runtime/tensormap_and_ringbuffer/runtime/scheduler/scheduler_dispatch.cpp and
scheduler_completion.cpp.
"""

from __future__ import annotations

import pytest

from ascend_model.chip import simulate
from ascend_model.isa import Core
from ascend_model.ring import RingSizes
from ascend_model.timeline import Timeline
from tests.ascend_model.laws import MIX
from tests.ascend_model.round_costs import lasting, round_chip, spans, steps
from tests.ascend_model.workloads import MIB, Script

CORES = {"AIC": (Core.AIC,), "AIV": (Core.AIV0,), "MIX": MIX}


def path_names(timeline: Timeline) -> list[str]:
    """What the critical path goes through; a wait is named after the step that it ends in."""
    return list(dict.fromkeys(step.what for step in timeline.critical_path))


def test_every_step_of_a_chain() -> None:
    script = Script()
    first = script.task(streams=(0,))
    script.task(streams=(0,), needs=(first,))
    timeline = simulate(script.build((lasting(10),)), round_chip(), cores=1)
    taken = [step for step in timeline.runtime_phases if step.thread != "orchestrator"]
    assert [(step.thread, step.kind, step.task, step.count, step.reason) for step in taken] == [
        ("scheduler 0", "dispatch", 0, 1, "runtime"),
        ("scheduler 0", "complete", 0, 1, "runtime"),
        ("scheduler 0", "resolve", 0, 1, "runtime"),
        ("scheduler 0", "dispatch", 1, 1, "runtime"),
        ("scheduler 0", "complete", 1, 1, "runtime"),
    ]
    assert spans(taken) == [(3, 7.25), (19.25, 21.25), (21.25, 21.75), (21.75, 26), (38, 40)]
    assert path_names(timeline) == [
        "orchestrator: code before t0",
        "orchestrator: submit t0",
        "scheduler 0: dispatch t0 x1",
        "t0 block 0 on AIV_0",
        "scheduler 0: complete t0",
        "scheduler 0: resolve t1",
        "scheduler 0: dispatch t1 x1",
        "t1 block 0 on AIV_0",
        "scheduler 0: complete t1",
    ]
    assert timeline.total_us == pytest.approx(40, abs=1e-3)


def test_the_path_through_a_task_without_a_kernel() -> None:
    script = Script()
    first = script.task(streams=(0,))
    script.task("DUMMY", name="join", needs=(first,))
    timeline = simulate(script.build((lasting(10),)), round_chip(), cores=1)
    assert path_names(timeline)[-3:] == [
        "scheduler 0: complete t0",
        "scheduler 0: resolve join",
        "scheduler 0: complete join",
    ]
    assert spans(steps(timeline, "complete", 1)) == [(21.75, 23.75)]


def test_a_thread_prepares_a_task_once_and_publishes_to_each_core() -> None:
    """Running slot, pending slot, and the next pending slot when the first block has been seen and polled."""
    script = Script()
    script.task("AIC", streams=(0, 0, 0))
    timeline = simulate(script.build((lasting(10, Core.AIC),)), round_chip(), cores=1)
    taken = steps(timeline, "dispatch")
    assert spans(taken) == [(3, 7.25), (7.25, 7.5), (19.25, 19.5)]
    assert [step.what for step in taken] == ["scheduler 0: dispatch t0 x1"] * 3


def test_two_places_are_published_one_after_the_other() -> None:
    script = Script()
    script.task(streams=(0, 0))
    (taken,) = steps(simulate(script.build((lasting(10),)), round_chip(), cores=1), "dispatch")
    assert (spans([taken]), taken.count, taken.what) == ([(3, 7.5)], 2, "scheduler 0: dispatch t0 x2")


def test_a_block_of_three_cores_is_published_to_and_polled_on_each() -> None:
    script = Script()
    script.task("MIX", streams=(0,))
    timeline = simulate(script.build((lasting(10, *MIX),)), round_chip(), cores=1)
    assert spans(steps(timeline, "dispatch")) == [(3, 7.75)]
    assert spans(steps(timeline, "complete")) == [(20.75, 22.75)]  # 8.25 + 10, seen 1 later, polled 3 x 0.5


@pytest.mark.parametrize(
    ("fillers", "gate_us", "other_us", "completions"),
    [
        (0, 10, 10, [(19.25, 21.25), (21.75, 23.75), (24.25, 26.25)]),
        # The gate is seen at 48.75 and polled; nine consumers are told, and eight of them fill one look at the queue.
        (8, 40, 59.5, [(49.25, 51.25), (71.75, 73.75), (74.25, 76.25)]),
    ],
)
def test_producers_are_released_when_the_thread_has_nothing_else_to_do(
    fillers: int, gate_us: float, other_us: float, completions: list[tuple[float, float]]
) -> None:
    """K ends while the thread completes D, so D's room is given back only after K."""
    script = Script()
    gate = script.task(name="gate", streams=(0,))
    other = script.task(name="K", streams=(1,))
    for _ in range(fillers):
        script.task("DUMMY", needs=(gate,))
    script.begin()
    last = script.task("DUMMY", name="D", needs=(gate,), nbytes=(4096,))
    script.end()
    script.begin()
    script.alloc(8192)
    script.end()
    workload = script.build((lasting(gate_us), lasting(other_us)))
    timeline = simulate(workload, round_chip(), heap_bytes=(MIB, 8192, MIB, MIB), cores=1)
    assert spans([*steps(timeline, "complete", gate), *steps(timeline, "complete", last)]) == completions[:2]
    assert spans(steps(timeline, "complete", other)) == completions[2:]
    (wait,) = [step for step in timeline.runtime_phases if step.reason == "capacity"]
    assert wait.what == "orchestrator: alloc waits for ring heap"
    assert spans([wait]) == [(10 + 3 * fillers, completions[2][1])]
    assert path_names(timeline)[-3:] == [
        "K block 0 on AIV_1",
        "scheduler 0: complete K",
        "orchestrator: submit alloc",
    ]


def test_a_block_that_is_seen_is_progress_even_if_its_task_goes_on() -> None:
    """simpler: scheduler_completion.cpp sets made_progress for each; 12 s without any would be error 100."""
    script = Script()
    script.task("AIC", streams=(0, 1))
    timeline = simulate(script.build((lasting(6e6, Core.AIC), lasting(12e6, Core.AIC))), round_chip(), cores=2)
    assert timeline.total_us == pytest.approx(12e6, rel=1e-5)


def test_a_thread_that_is_never_idle_releases_after_256_tasks() -> None:
    """The gate and 255 dummies of 2 us each; three of the dummies are of ring 0, so 252 slots of ring 1 are freed.

    A window of 256 holds 255 tasks, so the 256th task of ring 1 waits. PTO2_DEFERRED_RELEASE_CAP is 256.
    """
    script = Script()
    gate = script.task(name="gate", streams=(0,))
    for _ in range(3):
        script.task("DUMMY", needs=(gate,), retain=False)
    for count in (128, 127):
        script.begin()
        for _ in range(count):
            script.task("DUMMY", needs=(gate,), retain=False)
        script.end()
    script.begin()
    script.task("DUMMY", name="late")
    script.end()
    workload = script.build((lasting(2000),))
    timeline = simulate(workload, round_chip(), heap_bytes=RingSizes(task_window=(1024, 256, 1024, 1024)), cores=1)
    gate_told = 7.75 + 2000 + 1 + 0.5 + 2 + 258 * 0.5
    (wait,) = [step for step in timeline.runtime_phases if step.reason == "capacity"]
    assert wait.what == "orchestrator: late waits for task window"
    assert wait.end_us == pytest.approx(gate_told + 255 * 2, abs=1e-2)


def test_a_task_that_has_run_empties_a_full_list_before_it_joins() -> None:
    """The gate and 254 dummies are put off, then two tasks that ran are seen: the second finds the list full.

    simpler: scheduler_completion.cpp; a dummy (scheduler_dispatch.cpp) empties the list that it has filled itself.
    """
    script = Script()
    gate = script.task("AIC", name="gate", streams=(0,))
    script.begin()
    script.task(name="first", streams=(1,))
    script.end()
    script.task(name="second", streams=(1,))
    script.begin()
    for count in (127, 127):
        for _ in range(count):
            script.task("DUMMY", needs=(gate,), retain=False)
        script.end()
        script.begin()
    script.task("DUMMY", name="late")
    script.end()
    sizes = RingSizes(task_window=(1024, 256, 1024, 1024))
    workload = script.build((lasting(2000, Core.AIC), lasting(2630)))
    timeline = simulate(workload, round_chip(), heap_bytes=sizes, cores=1)
    ended = {step.what: step.end_us for step in timeline.runtime_phases}
    (wait,) = [step for step in timeline.runtime_phases if step.reason == "capacity"]
    assert wait.what == "orchestrator: late waits for task window"
    assert ended["scheduler 0: complete first"] > ended["scheduler 0: complete t256"]
    assert wait.end_us == ended["scheduler 0: complete second"] > ended["scheduler 0: complete first"]


@pytest.mark.parametrize(
    ("clusters", "busy", "kind", "sync"),
    [
        (2, "AIC", "MIX", False),  # an idle cluster
        (2, "AIC", "AIC", False),
        (2, "AIC", "AIV", False),
        (2, "AIC", "AIV", True),
        (1, "AIC", "MIX", False),  # pending slots
        (1, "AIC", "AIC", False),
        (1, "AIV", "AIV", False),
    ],
)
def test_a_block_that_ends_during_a_dispatch_is_seen_right_after_it(
    clusters: int, busy: str, kind: str, sync: bool
) -> None:
    """The dispatch of the last task starts at 9 + 3 x 2 = 15 and takes 4.25 or more; the short block is seen at 17."""
    script = Script()
    script.task(busy, name="busy", streams=(0,))
    script.task(name="short", streams=(1,))
    for _ in range(3):
        script.alloc(64)
    script.task(kind, name="last", streams=(2,) * (2 if sync else 1), sync_start=sync)
    # The short task is dispatched from 7.25 to 11.5 and starts at 12.
    streams = (lasting(200, *CORES[busy]), lasting(4), lasting(10, *CORES[kind]))
    timeline = simulate(script.build(streams), round_chip(), cores=clusters)
    (last,) = steps(timeline, "dispatch", 5)
    cost = 4 + 0.25 * (3 if kind == "MIX" else 2 if sync else 1)
    assert spans([last]) == [(15, 15 + cost)]
    assert spans(steps(timeline, "complete", 1)) == [(15 + cost + 0.5, 15 + cost + 2.5)]


@pytest.mark.parametrize(("vector_cores_busy", "vector_dispatch"), [(False, (64, 68.25)), (True, (116.25, 120.5))])
def test_vector_blocks_wait_while_a_mix_block_is_left_over(
    vector_cores_busy: bool, vector_dispatch: tuple[float, float]
) -> None:
    """Both slots of the AIC are taken, so the MIX block has no place; idle or pending AIV slots are kept for it."""
    script = Script()
    script.task("AIC", name="cube", streams=(0, 0))
    if vector_cores_busy:
        script.task("AIV", name="vectors", streams=(3, 3))  # dispatched after the cube: 12.25 to 112.25
    for _ in range(3):
        script.alloc(64)
    mix = script.task("MIX", name="mix", streams=(1,))
    vector = script.task("AIV", name="vector", streams=(2,))
    streams = (lasting(50, Core.AIC), lasting(10, *MIX), lasting(10), lasting(100))
    timeline = simulate(script.build(streams), round_chip(), cores=1)
    (mix_step,), (vector_step,) = steps(timeline, "dispatch", mix), steps(timeline, "dispatch", vector)
    # 7.75 + 50, seen 1 later, polled 0.5: the pending block of the AIC has started and a slot is free again.
    assert spans([mix_step]) == [(59.25, 64)]
    # After it a pending slot is free at once, or when both vectors have been seen at 113.25 and completed.
    assert spans([vector_step]) == [vector_dispatch]


def test_a_drain_looks_again_after_each_block_that_it_sees() -> None:
    """Cores are free at 18.25 and 28.25; the third block of the same task still runs, so nothing completes."""
    script = Script()
    script.task("AIC", name="long", streams=(0, 1, 2))
    script.task("AIC", name="together", streams=(0, 0), sync_start=True)
    streams = tuple(lasting(duration, Core.AIC) for duration in (10, 20, 100))
    timeline = simulate(script.build(streams), round_chip(), cores=3)
    assert spans(steps(timeline, "dispatch", 1)) == [(29.75, 29.75 + 8 + 4 + 0.5)]
    assert timeline.tasks[1].start_us == pytest.approx(42.75, abs=1e-3)


def test_the_path_of_a_drain_leads_through_the_block_that_it_waited_for() -> None:
    script = Script()
    script.task(name="first", streams=(0,))
    script.task(name="together", streams=(0, 0), sync_start=True)
    timeline = simulate(script.build((lasting(10),)), round_chip(), cores=1)
    assert spans(steps(timeline, "dispatch", 1)) == [(21.25, 33.75)]
    names = path_names(timeline)
    assert names[3:5] == ["first block 0 on AIV_0", "scheduler 0: dispatch together x2"]
    assert timeline.total_us == pytest.approx(48.25, abs=1e-3)


def test_one_block_that_starts_together_with_itself_needs_no_drain() -> None:
    """simpler: pto_orchestrator.cpp: sync_start is only meaningful for tasks with block_num > 1."""
    script = Script()
    script.task("AIC", streams=(0,))
    script.task("AIC", name="alone", streams=(0,), sync_start=True)
    timeline = simulate(script.build((lasting(10, Core.AIC),)), round_chip(), cores=1)
    assert spans(steps(timeline, "dispatch", 1)) == [(7.25, 11.5)]  # the pending slot


def test_the_path_of_a_read_leads_through_the_completion_that_it_waited_for() -> None:
    script = Script()
    first = script.task(streams=(0,))
    script.touch(first)
    script.task(streams=(0,))
    timeline = simulate(script.build((lasting(10),)), round_chip(), cores=1)
    assert path_names(timeline)[3:7] == [
        "t0 block 0 on AIV_0",
        "scheduler 0: complete t0",
        "orchestrator: code before t1",
        "orchestrator: submit t1",
    ]
    assert spans(steps(timeline, "dispatch", 1)) == [(24.25, 28.5)]  # completed at 21.25, then 1 + 2 to submit


def test_the_path_of_a_staged_block_leads_through_the_completion_that_opened_its_gate() -> None:
    """Staged from 7.25 to 11.5; the gate's doorbell is rung after the resolution and there at 22.25."""
    script = Script()
    first = script.task(streams=(0,), early_resolve=True)
    script.task(streams=(0,), needs=(first,))
    timeline = simulate(script.build((lasting(10),)), round_chip(), cores=1)
    assert spans(steps(timeline, "early_dispatch", 1)) == [(7.25, 11.5)]
    assert path_names(timeline)[3:] == [
        "t0 block 0 on AIV_0",
        "scheduler 0: complete t0",
        "scheduler 0: resolve t1",
        "t1 block 0 on AIV_1",
        "scheduler 0: complete t1",
    ]
    assert timeline.tasks[1].start_us == pytest.approx(22.25, abs=1e-3)
    assert timeline.total_us == pytest.approx(35.75, abs=1e-3)


def test_a_block_whose_producers_end_while_it_is_staged_starts_without_another_thread() -> None:
    """Thread 1 stages from 7.25 to 12; thread 0 resolves at 11.85, sees no staged block and leaves it to thread 1.

    That publishes to three cores (0.75) and rings (0.25).
    """
    script = Script()
    first = script.task(streams=(0,), early_resolve=True)
    script.task("MIX", streams=(1,), needs=(first,))
    timeline = simulate(script.build((lasting(0.1), lasting(10, *MIX))), round_chip(threads=2), cores=2)
    (staged,) = steps(timeline, "early_dispatch", 1)
    assert (staged.thread, spans([staged])) == ("scheduler 1", [(7.25, 12)])
    assert timeline.tasks[1].ready_us == pytest.approx(11.85, abs=1e-3)
    assert timeline.tasks[1].start_us == pytest.approx(13, abs=1e-3)
    assert path_names(timeline)[2:] == [
        "scheduler 0: dispatch t0 x1",
        "scheduler 1: early_dispatch t1 x1",
        "t1 block 0 on AIC_1",
        "scheduler 1: complete t1",
    ]
