"""Small hand-made workloads for the runtime's tests."""

from __future__ import annotations

import numpy as np

from ascend_model.workload import Await, Edge, Event, InstructionStream, ScopeBegin, ScopeEnd, Submit, Task, Workload

MIB = 2**20


class Script:
    """Collects scopes and tasks in the order in which an orchestrator would meet them."""

    def __init__(self) -> None:
        self.tasks: list[Task] = []
        self.events: list[Event] = []
        self.sites: list[str] = ["(unknown):0"]

    def _site(self, name: str) -> int:
        self.sites.append(f"kernel.py:{name}")
        return len(self.sites) - 1

    def begin(self, name: str = "1", mode: str = "auto") -> None:
        self.events.append(ScopeBegin(self._site(name), mode))

    def end(self) -> None:
        self.events.append(ScopeEnd())

    def task(
        self,
        kind: str = "AIV",
        *,
        name: str = "",
        nbytes: tuple[int, ...] = (),
        needs: tuple[int, ...] = (),
        retain: bool = True,
        streams: tuple[int, ...] = (),
        sync_start: bool = False,
        early_resolve: bool = False,
        gm_unique_nbytes: tuple[int, int] = (0, 0),
        registered_outputs: int = 0,
        predicated: bool = False,
    ) -> int:
        index = len(self.tasks)
        self.tasks.append(
            Task(
                id=index,
                name=name or f"t{index}",
                kind=kind,
                block_streams=np.array(streams, dtype=np.int32),
                edges=tuple(Edge(producer, "creator", True, retain) for producer in needs),
                output_names=tuple(f"{name or index}_{i}" for i in range(len(nbytes))),
                output_nbytes=nbytes,
                sync_start=sync_start,
                early_resolve=early_resolve,
                gm_unique_nbytes=gm_unique_nbytes,
                site=self._site(str(100 + index)),
                registered_outputs=registered_outputs,
                predicated=predicated,
            )
        )
        self.events.append(Submit(index))
        return index

    def alloc(self, *nbytes: int, name: str = "alloc") -> int:
        return self.task("ALLOC", name=name, nbytes=nbytes, early_resolve=True)

    def touch(self, *tasks: int, name: str = "read", consumers: bool = False) -> None:
        """The orchestrator reads (or, with consumers, overwrites) what `tasks` wrote."""
        self.events.append(Await(tasks, self._site(name), consumers=consumers))

    def build(self, streams: tuple[InstructionStream, ...] = ()) -> Workload:
        return Workload(streams, tuple(self.tasks), tuple(self.events), tuple(self.sites))
