"""Vector loads of a GM tensor that the cube has stored: which of them the compiler orders with a token.

It sends a token through the pipe right after the store, and takes it before the first load that follows in the store's
own statement list or in a loop of it. It does so only where the tensor, as the list knows it, has that one store
(pypto: src/ir/transforms/expand_mixed_kernel_pass.cpp, CollectGmCrossLaneSyncs; its page says less than its code). A
loop that stores to a tensor carries it, so that inside the loop and behind it the tensor has another name.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from pto_sim.lowering.loops import LoopNest
from pto_sim.lowering.opclass import LOADS, Role
from pto_sim.lowering.places import Place
from pto_sim.program.model import TileOp

AIC, AIV = 1, 2


class Fence(NamedTuple):
    """Ops: the cube's store and the vector load that waits for its token; in a region each lane has a load."""

    store: int
    load: int


class _Name(NamedTuple):
    """A tensor as a statement list knows it. body: the list that carries it; after: the last loop in it that stored."""

    tensor: int
    body: int
    after: tuple[object, ...] | None


def gm_fences(
    ops: Sequence[TileOp], roles: Sequence[Role], units: Sequence[int], places: Sequence[Place], nest: LoopNest
) -> list[Fence]:
    """The fences of a stream, in the order of the loads. units: bit mask of AIC and AIV that runs each op."""
    stores = [index for index, role in enumerate(roles) if role is Role.STORE]
    if not any(units[index] == AIC and not places[index].unit for index in stores):
        return []
    names = _Names(ops, stores, nest)
    code: dict[tuple[object, ...], set[tuple[object, ...]]] = defaultdict(set)
    found: list[tuple[Fence, tuple[object, ...]]] = []
    waiting: dict[_Name, int] = {}
    taken: set[tuple[_Name, str]] = set()
    for index, role in enumerate(roles):
        if role is Role.STORE:
            name = names.of(index)
            code[names.in_code(name)].add((ops[index].signature, nest.bodies[nest.body_of[index]].statement))
            if units[index] == AIC and not places[index].unit:
                waiting[name] = index
                taken -= {(name, unit) for unit in ("", "aiv0", "aiv1")}
            names.stored(index)
        elif role in LOADS and units[index] == AIV and ops[index].gm >= 0:
            name = names.of(index)
            key = name, places[index].unit
            if name in waiting and key not in taken:
                taken.add(key)
                found.append((Fence(waiting[name], index), names.in_code(name)))
    return [fence for fence, name in found if len(code[name]) == 1]


class _Names:
    """What each op calls the tensor that it accesses."""

    def __init__(self, ops: Sequence[TileOp], stores: Sequence[int], nest: LoopNest) -> None:
        self.ops, self.nest = ops, nest
        self._after: dict[tuple[int, int], tuple[object, ...]] = {}
        self._storing: set[tuple[int, tuple[object, ...]]] = set()
        for index in stores:
            for body in self._chain(index):
                self._storing.add((ops[index].gm, nest.bodies[body].statement))

    def of(self, index: int) -> _Name:
        """The name at an op."""
        tensor = self.ops[index].gm
        body = next((b for b in self._chain(index) if (tensor, self.nest.bodies[b].statement) in self._storing), 0)
        return _Name(tensor, body, self._after.get((tensor, body)))

    def in_code(self, name: _Name) -> tuple[object, ...]:
        """The same for every execution of the statement list."""
        return name.tensor, self.nest.bodies[name.body].statement, name.after

    def stored(self, index: int) -> None:
        """An op has stored: behind each loop around it the tensor has a new name."""
        chain = self._chain(index)
        for inner, outer in pairwise(chain):
            self._after[self.ops[index].gm, outer] = self.nest.bodies[inner].statement

    def _chain(self, index: int) -> list[int]:
        """The statement lists around an op, innermost first; the iterations of an unrolled loop are part of theirs."""
        bodies = self.nest.bodies
        return [body for body in self.nest.chain(self.nest.body_of[index]) if bodies[body].kind != "unroll"]
