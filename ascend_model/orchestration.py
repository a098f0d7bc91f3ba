"""What the orchestrator changes as it runs: open scopes, the four rings, pins on producers, scope samples.

No time passes here. `heap.read_heap` replays a workload over it without a clock; `aicpu` drives it with one.
A task is consumed, and may be retired when it is the oldest of its ring, once it has completed, its scope has
closed and every consumer that retains it has released it.
Source: simpler: src/a2a3/runtime/tensormap_and_ringbuffer/runtime/pto_orchestrator.cpp, docs/MULTI_RING.md.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from ascend_model.dep_pool import DepListPool, SpillPool, no_room
from ascend_model.map_entries import MapEntries
from ascend_model.ring import (
    DEP_POOL_OVERFLOW,
    FLOW_CONTROL_DEADLOCK,
    HEAP_RING_DEADLOCK,
    INVALID_ARGS,
    RING_COUNT,
    SCOPE_DEADLOCK,
    TENSORMAP_OVERFLOW,
    Allocation,
    Blocked,
    OpenScope,
    RingFault,
    RingSizes,
    RingState,
    TaskRing,
    block_nbytes,
)
from ascend_model.ring_faults import heap_is_full, scope_is_full, tensormap_is_full, window_is_full
from ascend_model.timeline import HeapBlock, HeapReading, ScopeReading
from ascend_model.workload import Edge, ScopeBegin, Workload

MAX_SCOPE_DEPTH = 64
ROOT_SITE = "(unknown):0"
"""The executor opens the root scope itself, so scope_stats has no source line for it."""


@dataclass
class _Scope:
    site: str
    mode: str
    depth: int
    ring: int
    row: int
    begin: dict[str, object]
    tasks: list[int] = field(default_factory=list)


class Orchestration:
    """State of one run of `workload`. Tasks are named by their index in `workload.tasks`.

    prompt_samples: scope samples show reclamation as it happens, instead of the orchestrator's last look.
    Raises RingFault with the runtime's error codes.
    """

    def __init__(self, workload: Workload, sizes: RingSizes, *, prompt_samples: bool = False) -> None:
        count = len(workload.tasks)
        self.workload = workload
        self.sizes = sizes
        self.rings = tuple(
            TaskRing(i, window=sizes.task_window[i], heap_bytes=sizes.heap_bytes[i]) for i in range(RING_COUNT)
        )
        self.completed = bytearray(count)
        self._prompt_samples = prompt_samples
        self._pools = tuple(DepListPool(capacity) for capacity in sizes.dep_pool)
        self._spills = tuple(SpillPool(capacity) for capacity in sizes.dep_pool)
        self._claimed: tuple[int, tuple[Edge, ...]] = (-1, ())
        self._waits_for_entries = -1
        self._members: tuple[list[int], ...] = tuple([] for _ in range(RING_COUNT))  # local id -> task
        self._ring_of = [-1] * count
        self._local = [-1] * count
        self._scope_open = bytearray(count)
        self._consumers = [0] * count
        self._released = [0] * count
        self._pins: list[tuple[int, ...]] = [()] * count
        self._map = MapEntries(sizes.tensormap)
        self._scopes: list[_Scope] = []
        self._rows: list[ScopeReading | None] = []
        self.samples: list[dict[str, object]] = []
        self._blocks: list[HeapBlock] = []
        self._open(ROOT_SITE, "auto")

    # -- scopes -------------------------------------------------------------------------------------------

    @property
    def depth(self) -> int:
        """Depth of the innermost open scope; the root scope has depth 0."""
        return len(self._scopes) - 1

    @property
    def ring(self) -> TaskRing:
        """The ring in which the innermost scope allocates."""
        return self.rings[min(self.depth, RING_COUNT - 1)]

    def begin_scope(self, event: ScopeBegin) -> None:
        """Opens a scope. Error 5: an AUTO scope inside a MANUAL one. ValueError: more than 64 levels."""
        if event.mode == "auto" and any(scope.mode == "manual" for scope in self._scopes):
            raise self._fault(
                INVALID_ARGS, f"{self._site(event.site)}: an auto scope inside a manual scope is not supported"
            )
        if len(self._scopes) >= MAX_SCOPE_DEPTH:
            raise ValueError(f"{self._site(event.site)}: scopes nest deeper than {MAX_SCOPE_DEPTH} levels")
        self._open(self._site(event.site), event.mode)

    def _open(self, site: str, mode: str) -> None:
        depth = len(self._scopes)
        ring = min(depth, RING_COUNT - 1)
        scope = _Scope(site, mode, depth, ring, len(self._rows), {})
        self._scopes.append(scope)
        self._rows.append(None)
        scope.begin = self._sample("begin")

    def end_scope(self) -> None:
        """Samples the scope as it closes, then drops its hold on its tasks."""
        if self.depth == 0:
            raise ValueError("the workload closes more scopes than it opens")
        self._close()

    def _close(self) -> None:
        end = self._sample("end")
        scope = self._scopes.pop()
        begin = scope.begin
        head, tail = int(str(end["heap_end"])), int(str(begin["heap_start"]))
        self._rows[scope.row] = ScopeReading(
            site=scope.site,
            depth=scope.depth,
            ring=scope.ring,
            alloc_bytes=head - int(str(begin["heap_end"])),
            high_water_bytes=head - tail,
            residency_bytes=head - int(str(end["heap_start"])),
        )
        for task in scope.tasks:
            self._scope_open[task] = 0

    def _sample(self, phase: str) -> dict[str, object]:
        """One record of scope_stats.jsonl version 6. simpler: docs/dfx/scope-stats.md."""
        scope = self._scopes[-1]
        ring, pool = self.rings[scope.ring], self._pools[scope.ring]
        if self._prompt_samples:
            ring.refresh()
            self._map.free_retired(ring)
        record: dict[str, object] = {
            "site": os.path.basename(scope.site),
            "phase": phase,
            "depth": scope.depth,
            "ring": scope.ring,
            "task_window_start": ring.last_alive,
            "task_window_end": ring.next_id,
            "heap_start": ring.heap.tail_bytes,
            "heap_end": ring.heap.head_bytes,
            "dep_pool_start": pool.tail,
            "dep_pool_end": pool.top,
            "tensormap": self._map.used,
        }
        self.samples.append(record)
        return record

    # -- submission ---------------------------------------------------------------------------------------

    def allocate(self, task: int) -> Blocked | None:
        """Slot and heap block of the next task, in the innermost scope. Returns what is missing, or None.

        Error 1: the scope already holds all the slots that its ring can give. Error 2: the block is larger than
        the heap. Whether waiting can help is for `deadlocked` to say.
        """
        scope, ring = self._scopes[-1], self.ring
        if self._ring_of[task] >= 0:
            raise ValueError(f"task {task} ({self.workload.tasks[task].name}) is submitted twice")
        if len(scope.tasks) >= ring.window - 1:
            raise self.fault(task, Blocked.WINDOW, code=SCOPE_DEADLOCK)
        outputs = self.workload.tasks[task].output_nbytes
        nbytes = block_nbytes(outputs)
        if nbytes > ring.heap.size_bytes:
            raise self.fault(task, Blocked.HEAP)
        result = ring.try_allocate(nbytes)
        if not isinstance(result, Allocation):
            return result
        self._map.allocated(ring, result.local_id)
        if self.workload.tasks[task].kind != "ALLOC":
            self._map.look(ring, result.local_id)
        self._ring_of[task], self._local[task] = ring.index, result.local_id
        self._members[ring.index].append(task)
        self._blocks.append(
            HeapBlock(task, ring.index, result.local_id, result.begin, result.end, ring.last_alive, outputs)
        )
        self._scope_open[task] = 1
        scope.tasks.append(task)
        return None

    def wire(self, task: int) -> Blocked | None:
        """Edges and TensorMap entries of an allocated task. Returns what is missing, or None.

        Producers that have been consumed give no edge. An ALLOC task completes here.
        """
        record = self.workload.tasks[task]
        ring = self.rings[self._ring_of[task]]
        pool = self._pools[ring.index]
        for edge in record.edges:
            if not 0 <= edge.producer < task or self._ring_of[edge.producer] < 0:
                raise ValueError(
                    f"task {task} ({record.name}) depends on task {edge.producer}, not submitted before it"
                )
        edges = self._claim(task)
        spill = self._spills[ring.index]
        if not spill.has_room(len(edges), ring.last_alive):
            return Blocked.DEP_POOL
        if not self._map.has_room(record.registered_outputs, self.rings):
            return Blocked.TENSORMAP
        waits = [edge.producer for edge in edges if edge.wait]
        live = sum(1 for producer in waits if not self.completed[producer])
        # Who has begun to wait for entries needs them, even if the producers complete meanwhile.
        if (live or self._waits_for_entries == task) and not pool.has_room(len(waits), ring.last_alive):
            self._waits_for_entries = task
            return Blocked.DEP_POOL
        spill.add(len(edges))
        pool.add(live)
        self._map.add(ring, self._local[task], record.registered_outputs)
        self._pins[task] = tuple(edge.producer for edge in edges if edge.retain)
        for edge in edges:
            self._consumers[edge.producer] -= not edge.retain
        if record.kind == "ALLOC":
            self.complete(task)
            self.release(task)
        return None

    def claimed(self, task: int) -> tuple[int, ...]:
        """The producers that the task that was wired last waits for; those consumed before are none."""
        return tuple(edge.producer for edge in self._claim(task) if edge.wait)

    def _claim(self, task: int) -> tuple[Edge, ...]:
        """The edges of a task to producers that are not consumed; until it is wired each of them stays."""
        if self._claimed[0] != task:
            edges = tuple(edge for edge in self.workload.tasks[task].edges if not self.consumed(edge.producer))
            for edge in edges:
                self._consumers[edge.producer] += 1
            self._claimed = (task, edges)
        return self._claimed[1]

    # -- retirement ---------------------------------------------------------------------------------------

    def complete(self, task: int) -> None:
        """Every block of the task has run."""
        self.completed[task] = 1

    def release(self, task: int) -> None:
        """The completed task lets go of the producers that it retained."""
        for producer in self._pins[task]:
            self._released[producer] += 1

    def retired(self, task: int) -> bool:
        """The task has given back its slot and block. False for one that has not been submitted."""
        ring = self._ring_of[task]
        return ring >= 0 and self._local[task] < self.rings[ring].last_alive

    def consumed(self, task: int) -> bool:
        """Completed, its scope closed, and released by every consumer that retained it."""
        return bool(
            self.completed[task] and not self._scope_open[task] and self._released[task] == self._consumers[task]
        )

    def scope_open(self, task: int) -> bool:
        """The scope that the task was submitted in has not closed."""
        return bool(self._scope_open[task])

    def let_go(self, task: int) -> bool:
        """Every consumer that retained the task has released it."""
        return self._released[task] == self._consumers[task]

    def pins(self, task: int) -> tuple[int, ...]:
        """The producers that a submitted task retains until it has completed."""
        return self._pins[task]

    def head_of(self, ring: TaskRing) -> int | None:
        """The oldest live task of a ring."""
        members = self._members[ring.index]
        return members[ring.last_alive] if ring.last_alive < len(members) else None

    def retire_head(self, ring: TaskRing) -> bool:
        """Retires the oldest task of the ring if it is consumed; says whether it was."""
        head = self.head_of(ring)
        if head is None or not self.consumed(head):
            return False
        ring.retire_head()
        return True

    def advance(self, ring: TaskRing) -> int:
        """Retires consumed tasks from the head on; returns how many."""
        before = ring.last_alive
        while self.retire_head(ring):
            pass
        return ring.last_alive - before

    def deadlocked(self, blocked: Blocked) -> bool:
        """The orchestrator waits for a head whose scope only the orchestrator can close."""
        rings = self.rings if blocked is Blocked.TENSORMAP else (self.ring,)
        heads = [head for head in map(self.head_of, rings) if head is not None]
        return all(self._scope_open[head] for head in heads)

    # -- faults and readings ------------------------------------------------------------------------------

    def _site(self, index: int) -> str:
        return self.workload.sites[index]

    def _open_scope(self, scope: _Scope) -> OpenScope:
        held = sum(block_nbytes(self.workload.tasks[task].output_nbytes) for task in scope.tasks)
        return OpenScope(scope.site, scope.depth, len(scope.tasks), held)

    def state(self, requested_bytes: int = 0) -> RingState:
        """The dump of the ring of the innermost scope."""
        ring, head = self.ring, self.head_of(self.ring)
        pool = self._pools[ring.index]
        facts: dict[str, object] = {}
        if head is not None:
            task = self.workload.tasks[head]
            state = "CONSUMED" if self.consumed(head) else "COMPLETED" if self.completed[head] else "PENDING"
            facts = {
                "head_name": f"{task.name} at {self._site(task.site)}",
                "head_state": state,
                "head_consumers": (self._released[head], self._consumers[head]),
                "head_scope_released": not self._scope_open[head],
            }
        return RingState(
            ring=ring.index,
            scope_depth=self.depth,
            window_slots=ring.window,
            next_task=ring.next_id,
            last_task_alive=ring.last_alive,
            top_bytes=ring.heap.top,
            tail_bytes=ring.heap.tail,
            size_bytes=ring.heap.size_bytes,
            used_bytes=ring.heap.used_bytes,
            available_bytes=ring.heap.available_bytes,
            requested_bytes=requested_bytes,
            dep_pool_used=pool.used,
            dep_pool_capacity=pool.capacity,
            dep_pool_high_water=pool.high_water,
            open_scopes=tuple(self._open_scope(scope) for scope in self._scopes if scope.ring == ring.index),
            **facts,  # type: ignore[arg-type]
        )

    def fault(self, task: int, blocked: Blocked, code: int | None = None) -> RingFault:
        """The runtime error of a task that can never be submitted."""
        record, ring, scope = self.workload.tasks[task], self.ring, self._scopes[-1]
        who = f"{self._site(record.site)}: task {record.name!r} in the scope of {scope.site} (depth {scope.depth})"
        nbytes = block_nbytes(record.output_nbytes)
        if code == SCOPE_DEADLOCK:
            text = scope_is_full(who, len(scope.tasks), ring)
        elif blocked is Blocked.HEAP:
            code, text = HEAP_RING_DEADLOCK, heap_is_full(who, nbytes, record.output_names, ring)
        elif blocked is Blocked.WINDOW:
            code, text = FLOW_CONTROL_DEADLOCK, window_is_full(who, ring)
        elif blocked is Blocked.DEP_POOL:
            edges = self._claim(task)
            needed = no_room(self._pools[ring.index], self._spills[ring.index], len(edges), sum(e.wait for e in edges))
            code, text = DEP_POOL_OVERFLOW, f"{who}: ring {ring.index}: {needed}"
        else:
            code = TENSORMAP_OVERFLOW
            text = tensormap_is_full(who, self._map.used, self.sizes.tensormap, record.registered_outputs)
        return self._fault(code, text, self.state(nbytes))

    def _fault(self, code: int, text: str, state: RingState | None = None) -> RingFault:
        return RingFault(code, text, state, tuple(self.samples))

    def finish(self, reading: str, frame_depth: int) -> HeapReading:
        """Closes the root scope and returns the reading. The frame is the first scope of `frame_depth`."""
        if self.depth:
            raise ValueError(
                f"the workload leaves {self.depth} scopes open, the innermost from {self._scopes[-1].site}"
            )
        self._close()
        rows = tuple(row for row in self._rows if row is not None)
        high = {
            ring: (self.sizes.heap_bytes[ring], max((r.high_water_bytes for r in rows if r.ring == ring), default=0))
            for ring in range(RING_COUNT)
        }
        return HeapReading(
            reading=reading,
            rings=high,
            scopes=rows,
            samples=tuple(self.samples),
            frame_residency_bytes=next(row.residency_bytes for row in rows if row.depth == frame_depth),
            max_scope_depth=max(row.depth for row in rows),
            blocks=tuple(self._blocks),
        )
