"""Which task a thread claims next and which cores it may take, without a clock or with one thread alone."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest
import simpy

from ascend_model.clusters import Cluster, Device, Early, TaskRun, build_clusters, task_runs
from ascend_model.isa import Core
from ascend_model.orchestration import Orchestration
from ascend_model.ready_queue import EarlyQueues, ReadyQueues, free_places
from ascend_model.ring import RingSizes
from ascend_model.runtime_costs import runtime_costs
from ascend_model.runtime_state import RuntimeState
from ascend_model.scheduler import Scheduler
from ascend_model.steps import Step
from tests.ascend_model.laws import MIX, STREAMS
from tests.ascend_model.round_costs import lasting, round_chip
from tests.ascend_model.workloads import Script

AIV_STREAM, AIC_STREAM, MIX_STREAM = range(3)
PAIR_STREAM = 3  # both AIV of a cluster


def run_of(kind: str, stream: int, blocks: int = 1, *, sync_start: bool = False) -> TaskRun:
    """A task on its way that has been submitted and not claimed."""
    script = Script()
    streams = () if kind == "DUMMY" else (stream,) * blocks
    script.task(kind, name=f"{kind.lower()}{blocks}", streams=streams, sync_start=sync_start)
    pair = lasting(10, Core.AIV0, Core.AIV1)
    (run,) = task_runs(script.build((*STREAMS[:3], pair)), round_chip(), {})
    return run


def test_a_queue_for_each_shape_first_come_first_served() -> None:
    queues = ReadyQueues()
    first, second = run_of("AIC", AIC_STREAM, 2), run_of("AIC", AIC_STREAM)
    vector, mix = run_of("AIV", AIV_STREAM), run_of("MIX", MIX_STREAM)
    for run in (first, vector, second, mix):
        queues.push(run)
    assert (queues.head("AIC"), queues.head("AIV"), queues.head("MIX")) == (first, vector, mix)
    first.next_block = 1
    assert queues.head("AIC") is first  # one block is left
    first.next_block = 2
    assert queues.head("AIC") is second
    second.next_block = 1
    assert queues.head("AIC") is None and queues.head("AIV") is vector
    assert not queues.dummies and not queues.sync


def test_two_vector_cores_of_a_cluster_are_claimed_as_mix() -> None:
    queues = ReadyQueues()
    pair = run_of("AIV", PAIR_STREAM)
    queues.push(pair)
    assert queues.head("MIX") is pair and queues.head("AIV") is None


def test_tasks_without_a_kernel_and_tasks_that_start_together_queue_apart() -> None:
    queues = ReadyQueues()
    dummy, alone = run_of("DUMMY", -1), run_of("AIC", AIC_STREAM, 1, sync_start=True)
    together, many = (run_of("AIC", AIC_STREAM, count, sync_start=True) for count in (2, 3))
    for run in (dummy, together, alone, many):
        queues.push(run)
    assert list(queues.dummies) == [dummy]
    assert list(queues.sync) == [together, many]
    assert queues.head("AIC") is alone  # sync_start means nothing for one block


def test_a_task_counts_in_its_queue_until_its_last_block_is_claimed() -> None:
    queues = ReadyQueues()
    cube, vector = run_of("AIC", AIC_STREAM, 2), run_of("AIV", AIV_STREAM)
    together = run_of("MIX", MIX_STREAM, 2, sync_start=True)
    for run in (cube, vector, run_of("DUMMY", -1), together):
        queues.push(run)
    assert queues.depths == (1, 1, 1)
    cube.next_block = 1
    queues.claimed(cube)
    assert queues.depths == (1, 1, 1)
    cube.next_block = 2
    queues.claimed(cube)
    assert queues.depths == (0, 1, 1)
    assert queues.next_together() is together and queues.depths == (0, 1, 0)
    together.next_block = 2
    queues.claimed(together)  # it has left its queue before
    assert queues.depths == (0, 1, 0)


def test_a_task_is_staged_until_it_is_ready_or_all_its_blocks_are_placed() -> None:
    queues = EarlyQueues()
    first, second = run_of("AIC", AIC_STREAM, 2), run_of("AIC", AIC_STREAM, 2)
    for run in (first, second):
        run.early = Early.STAGING
        queues.push(run)
    assert queues.head("AIC") is first and not queues.empty
    first.early = Early.READY  # with both blocks left: they are claimed as those of any ready task
    assert queues.head("AIC") is second
    second.next_block = 2
    assert queues.head("AIC") is None and queues.empty


def names(clusters: tuple[Cluster, ...], run: TaskRun, *, pending: bool) -> list[str]:
    return names_of_first(3 * len(clusters), clusters, run, pending=pending)


def names_of_first(most: int, clusters: tuple[Cluster, ...], run: TaskRun, *, pending: bool) -> list[str]:
    return ["+".join(core.name for core in cores) for cores in free_places(clusters, run, most, pending=pending)]


def test_free_places_by_the_slots_in_use() -> None:
    """Slots in use, by cluster: AIC, AIV, AIV. Idle places need 0 on each, pending ones 1 at most and somewhere."""
    clusters = build_clusters(4, 2, 1)
    for cluster, slots in zip(clusters, ((0, 0, 0), (1, 0, 1), (2, 1, 2), (0, 0, 2)), strict=True):
        for core, count in zip(cluster.cores, slots, strict=True):
            core.slots = count
    cube, vector = run_of("AIC", AIC_STREAM), run_of("AIV", AIV_STREAM)
    mix, pair = run_of("MIX", MIX_STREAM), run_of("AIV", PAIR_STREAM)
    assert names(clusters, cube, pending=False) == ["AIC_0", "AIC_3"]
    assert names(clusters, cube, pending=True) == ["AIC_1"]
    assert names(clusters, vector, pending=False) == ["AIV_0", "AIV_1", "AIV_2", "AIV_6"]
    assert names(clusters, vector, pending=True) == ["AIV_3", "AIV_4"]
    assert names(clusters, mix, pending=False) == ["AIC_0+AIV_0+AIV_1"]
    assert names(clusters, mix, pending=True) == ["AIC_1+AIV_2+AIV_3"]
    assert names(clusters, pair, pending=False) == ["AIV_0+AIV_1"]
    assert names(clusters, pair, pending=True) == ["AIV_2+AIV_3"]
    assert names_of_first(3, clusters, vector, pending=False) == ["AIV_0", "AIV_1", "AIV_2"]


class Alone:
    """One scheduler thread of several, over a device of three clusters, with every task of a script ready."""

    def __init__(self, script: Script, index: int, threads: int = 3) -> None:
        chip = round_chip(threads)
        streams = (lasting(10), lasting(10, Core.AIC), lasting(10, *MIX))
        workload = script.build(streams)
        self.env = simpy.Environment()
        runs = task_runs(workload, chip, {})
        self.state = RuntimeState(self.env, runtime_costs(chip), runs, Orchestration(workload, RingSizes()))
        grid = build_clusters(3, 2, threads)
        self.device = Device(self.env, chip, self.state.costs, grid, lambda block: self.scheduler.saw(block))
        self.scheduler = Scheduler(self.state, self.device, index)
        for run in runs:
            assert self.state.orchestration.allocate(run.index) is None
            assert self.state.orchestration.wire(run.index) is None
            self.state.submitted(run, Step(f"submit {run.task.name}", run.index, "runtime", 0.0, 0.0))
        self.env.process(self.scheduler.schedule())

    def dispatched(self) -> list[str]:
        return [phase.what.split(": ")[1] for phase in self.state.phases if phase.kind == "dispatch"]


@pytest.mark.parametrize(("index", "order"), [(0, ("AIC", "AIV")), (1, ("AIV", "AIC")), (2, ("AIC", "AIV"))])
@pytest.mark.parametrize("busy", [False, True])
def test_even_threads_look_at_cube_tasks_first_and_odd_ones_at_vector_tasks(
    index: int, order: tuple[str, str], busy: bool
) -> None:
    """simpler: scheduler_dispatch.cpp, kAicAivOrder[thread_idx & 1], for idle and for pending slots alike."""
    script = Script()
    script.task("AIC", name="cube", streams=(1,))
    script.task("AIV", name="vector", streams=(0,))
    alone = Alone(script, index)
    for cluster in alone.device.clusters:
        for core in cluster.cores:
            core.slots = int(busy)
    alone.env.run(until=9)  # a dispatch takes 4.25
    assert alone.dispatched() == [f"dispatch {({'AIC': 'cube', 'AIV': 'vector'})[shape]} x1" for shape in order]


def test_a_mix_block_that_arrives_during_a_dispatch_keeps_pending_slots_for_itself() -> None:
    """The thread looks at the MIX queue again before it gives pending slots to vector tasks."""
    script = Script()
    script.task("AIC", name="cube", streams=(1,))
    script.task("AIV", name="vector", streams=(0,))
    alone = Alone(script, 0)
    for cluster in alone.device.clusters:
        for core in cluster.cores:
            core.slots = 1
    own = alone.device.clusters[0].cores
    own[Core.AIC].slots, own[Core.AIV0].slots = 0, 2  # no place for MIX; a pending one for vector on AIV1

    def arrive() -> Generator[simpy.Event, Any, None]:
        yield alone.env.timeout(1)
        alone.state.queues.push(run_of("MIX", MIX_STREAM))

    alone.env.process(arrive())
    alone.env.run(until=9)
    assert alone.dispatched() == ["dispatch cube x1"]


def test_a_pending_slot_is_left_alone_while_another_thread_has_an_idle_core() -> None:
    script = Script()
    script.task("AIC", name="cube", streams=(1,))
    alone = Alone(script, 0)
    alone.device.clusters[0].cores[Core.AIC].slots = 1
    alone.env.run(until=20)
    assert alone.dispatched() == []
    for other in alone.device.clusters[1:]:
        other.cores[Core.AIC].slots = 1
    alone.state.wake_all()
    alone.env.run(until=30)
    assert alone.dispatched() == ["dispatch cube x1"]


def test_nothing_is_staged_while_a_ready_block_waits_for_a_core() -> None:
    script = Script()
    script.task("AIC", name="cube", streams=(1,))
    alone = Alone(script, 0)
    for cluster in alone.device.clusters:
        cluster.cores[Core.AIC].slots = 2
    early = run_of("AIV", AIV_STREAM)
    early.early = Early.STAGING
    alone.state.early_queues.push(early)
    alone.env.run(until=6)
    assert alone.state.phases == []
    alone.device.clusters[0].cores[Core.AIC].slots = 0
    alone.state.wake_all()
    alone.env.run(until=16)
    assert [phase.kind for phase in alone.state.phases] == ["dispatch", "early_dispatch"]
    assert early.blocks[0].held


def test_a_mix_block_that_is_staged_in_pending_slots_waits_behind_its_gate() -> None:
    alone = Alone(Script(), 0)
    for cluster in alone.device.clusters:
        for core in cluster.cores:
            core.slots = 1
    early = run_of("MIX", MIX_STREAM)
    early.early = Early.STAGING
    alone.state.early_queues.push(early)
    alone.env.run(until=10)
    assert [phase.kind for phase in alone.state.phases] == ["early_dispatch"]
    assert early.blocks[0].held and [core.taken for core in alone.device.clusters[0].cores] == [2, 2, 2]


def test_a_thread_without_work_says_what_it_waits_for() -> None:
    alone = Alone(Script(), 1)
    alone.env.run(until=1)
    who = "a core, the orchestrator or another scheduler"
    assert alone.state.waits == {"scheduler 1": ("a finished block or a ready task", who)}


def test_a_drain_says_what_it_waits_for() -> None:
    script = Script()
    script.task("AIC", name="together", streams=(1, 1), sync_start=True)
    alone = Alone(script, 0)
    alone.device.clusters[2].cores[Core.AIC].slots = 1
    alone.device.clusters[1].cores[Core.AIC].slots = 1
    alone.env.run(until=1)
    assert alone.state.waits["scheduler 0"][0] == "2 idle cores for together"
    assert alone.state.draining is alone.state.runs[0]
    alone.device.clusters[1].cores[Core.AIC].slots = 0
    alone.state.wake_all()
    alone.env.run(until=14)  # 8 + 4 + 2 x 0.25
    assert alone.state.draining is None and alone.dispatched() == ["dispatch together x2"]
    assert [core.slots for cluster in alone.device.clusters for core in cluster.cores[:1]] == [1, 1, 1]
