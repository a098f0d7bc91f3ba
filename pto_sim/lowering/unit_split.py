"""Which unit runs each op of a block, where its tiles live, and what crosses between cube and vector.

The rules are those of the compiler's memory inference and mixed-kernel expansion (pypto:
docs/en/dev/passes/17-infer_tile_memory_space.md, 21-expand_mixed_kernel.md): a matmul result is in Acc, other
results in Vec, a load goes where its consumers are, a store follows its source, and an operand on the wrong
side is moved through GM just before its consumer, as the view that is consumed.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import NamedTuple

from pto_sim.lowering.dtypes import nbytes
from pto_sim.lowering.gm_fences import AIC, AIV, gm_fences
from pto_sim.lowering.loops import LoopNest, scan_loops
from pto_sim.lowering.lowered import CUBE_TO_VECTOR, VECTOR_TO_CUBE
from pto_sim.lowering.opclass import LOADS, Role, role_of
from pto_sim.lowering.places import Place, places_of
from pto_sim.program.errors import UnsupportedError
from pto_sim.program.model import OpSignature, Program, Site, Stream, ValueType

BOTH = AIC | AIV

VEC, MAT, ACC = "vec", "mat", "acc"
SLOT = "slot"
"""A slot of a pipe in GM, which takes no on-chip memory."""


class Transfer(NamedTuple):
    """A tile that crosses through a GM slot just before op `at`.

    value: the tile or view that crosses (for a fence: the tile stored to GM). fence: pure synchronisation of a
    cube store with a vector load of the same GM tensor; it occupies a slot but moves no tile.
    """

    at: int
    value: int
    direction: str
    nbytes: int
    body: int
    fence: bool = False


@dataclass(frozen=True)
class UnitSplit:
    """Placement of one stream. All tuples are indexed by op, all mappings by value number.

    roles: role of each op. units: bit mask of AIC, AIV that runs the op (0: no instruction). root: value -> the
    value that owns its storage. homes: root -> set of memories of that storage. types: value -> its type.
    transfers: in program order. crossing_of: (op, value) -> index into transfers for an operand that arrives
    through a pipe. needs: bit mask of units that the stream's own ops require. places: where each op was recorded.
    crossings: transfers that are ops of the stream, for the size of the pipe.
    """

    roles: tuple[Role, ...]
    units: tuple[int, ...]
    root: dict[int, int]
    homes: dict[int, frozenset[str]]
    types: dict[int, ValueType]
    transfers: tuple[Transfer, ...]
    crossing_of: dict[tuple[int, int], int]
    needs: int
    nest: LoopNest
    places: tuple[Place, ...]
    crossings: tuple[Transfer, ...] = ()


def task_kind(units: int) -> str:
    """'AIC', 'AIV' or 'MIX' of a task whose ops require `units`; shared-only tasks run on AIV."""
    if units == BOTH:
        return "MIX"
    return "AIC" if units == AIC else "AIV"


def split_units(stream: Stream, program: Program) -> UnitSplit:
    """Place the ops and values of a stream.

    Raises UnsupportedError (with the author's line) for a data path that a2a3 does not have.
    """
    return _Splitter(stream, program.signatures, program.sites).run()


_ALWAYS_LIVE = frozenset(
    {
        Role.STORE, Role.SCATTER, Role.WRITE, Role.READ, Role.LOOP, Role.SCALAR, Role.MARK, Role.PUSH, Role.POP,
        Role.FREE, Role.SYNC,
    }
)  # fmt: skip


class _Splitter:
    def __init__(self, stream: Stream, signatures: list[OpSignature], sites: list[Site]) -> None:
        self.ops = stream.ops
        self.signatures = [signatures[op.signature] for op in stream.ops]
        self.sites = sites
        self.nest = scan_loops(stream, signatures)
        self.roles = tuple(self._role(index) for index in range(len(self.ops)))
        self.places = places_of(stream, signatures)
        self.root: dict[int, int] = {}
        self.types: dict[int, ValueType] = {}
        self.definition: dict[int, int] = {}
        self.homes: dict[int, frozenset[str]] = {}
        self.live: list[bool] = []

    def run(self) -> UnitSplit:
        self._bind_values()
        self.live = self._live_ops()
        self._infer_homes()
        units = [self._unit(index) if self.live[index] else 0 for index in range(len(self.ops))]
        transfers, crossing_of = self._cross(units)
        needs = 0
        for unit in units:
            needs |= unit
        for index, role in enumerate(self.roles):
            placed = self._placed(index)
            if placed and role in (Role.READ, Role.WRITE, Role.SYNC):
                units[index] = placed
            elif role is Role.SYNC:
                units[index] = self._sync_unit(index, needs)
            elif role is Role.READ:
                units[index] = needs or AIV
            elif role is Role.WRITE:
                units[index] = AIC if needs == AIC else AIV
            elif role is Role.CREATE and self.live[index]:
                units[index] = AIV if VEC in self.homes[self.root[self.ops[index].out]] else AIC
        if not needs and any(units):
            needs = AIV
        return UnitSplit(
            self.roles,
            tuple(units),
            self.root,
            self.homes,
            self.types,
            transfers,
            crossing_of,
            needs,
            self.nest,
            self.places,
            self._crossings(),
        )

    def _crossings(self) -> tuple[Transfer, ...]:
        """Tiles that cross through the compiler's pipe because a pl.split_aiv region says so."""
        found = []
        for index, role in enumerate(self.roles):
            signature = self.signatures[index]
            if role is not Role.PUSH and role is not Role.POP:
                continue
            attrs, whole = dict(signature.attrs), signature.ins[0] if role is Role.PUSH else signature.out
            # A slot holds the whole tile: what the cube pushes, or what it pops.
            by_cube = (role is Role.PUSH) == (attrs["direction"] == CUBE_TO_VECTOR)
            if attrs["pipe"] == -1 and by_cube and whole is not None:
                body = self.nest.body_of[index]
                found.append(Transfer(index, self.ops[index].out, str(attrs["direction"]), nbytes(whole), body))
        return tuple(found)

    def _placed(self, index: int) -> int:
        """The unit on which the op was recorded, 0 if lowering decides."""
        unit = self.places[index].unit
        return 0 if not unit else AIC if unit == "aic" else AIV

    def _sync_unit(self, index: int, needs: int) -> int:
        """Units that execute a synchronisation outside every placed part."""
        attrs = dict(self.signatures[index].attrs)
        units = attrs.get("units")
        if isinstance(units, tuple):
            return (AIC if "aic" in units else 0) | (AIV if any(str(u).startswith("aiv") for u in units) else 0)
        return {"aic_only": AIC, "aiv_only": AIV}.get(str(attrs.get("core_type")), needs or AIV)

    def _role(self, index: int) -> Role:
        try:
            return role_of(self.signatures[index].op)
        except UnsupportedError as error:
            raise UnsupportedError(error.construct, site=self.sites[self.signatures[index].site]) from None

    def _unsupported(self, index: int, construct: str, hint: str) -> UnsupportedError:
        return UnsupportedError(construct, site=self.sites[self.signatures[index].site], hint=hint)

    def _bind_values(self) -> None:
        for index, op in enumerate(self.ops):
            if op.out < 0 or op.out in self.definition:
                continue
            self.definition[op.out] = index
            out = self.signatures[index].out
            assert out is not None
            self.types[op.out] = out
            self.root[op.out] = self.root[op.ins[0]] if self.roles[index] is Role.VIEW else op.out

    def _live_ops(self) -> list[bool]:
        """Ops whose result reaches GM or a scalar; the compiler removes the others from both bodies."""
        needed: set[int] = set()
        live = [False] * len(self.ops)
        for index in range(len(self.ops) - 1, -1, -1):
            op, role = self.ops[index], self.roles[index]
            if role in _ALWAYS_LIVE or (op.out >= 0 and self.root[op.out] in needed):
                live[index] = True
                needed.update(self.root[value] for value in op.ins)
        return live

    def _uses(self) -> dict[int, list[tuple[int, int]]]:
        uses: dict[int, list[tuple[int, int]]] = defaultdict(list)
        for index, op in enumerate(self.ops):
            if self.live[index] and self.roles[index] is not Role.VIEW:
                for position, value in enumerate(op.ins):
                    uses[self.root[value]].append((index, position))
        return uses

    def _infer_homes(self) -> None:
        uses = self._uses()
        roots = [value for value, root in self.root.items() if value == root]
        for root in roots:
            role = self.roles[self.definition[root]]
            if role is Role.CUBE:
                self.homes[root] = frozenset({ACC})
            elif role is Role.VECTOR:
                self.homes[root] = frozenset({MAT if self._folds_to_mat(root, uses) else VEC})
            elif role is Role.GATHER:
                memory = dict(self.signatures[self.definition[root]].attrs)["memory"]
                self.homes[root] = frozenset({MAT if memory == "mat" else VEC})
            elif role is Role.PUSH:
                self.homes[root] = frozenset({SLOT})
            elif role is Role.POP:
                self.homes[root] = frozenset({VEC if self._direction(self.definition[root]) == CUBE_TO_VECTOR else MAT})
        for wanted in (Role.CREATE, Role.LOAD):  # a destination of an assemble is placed before its sources
            for root in roots:
                if self.roles[self.definition[root]] is wanted:
                    self.homes[root] = self._home_by_demand(root, uses)

    def _folds_to_mat(self, root: int, uses: dict[int, list[tuple[int, int]]]) -> bool:
        """A rint downcast of an FP32 accumulator that only feeds matmuls happens in FIXPIPE on its way to L1.

        pypto: docs/en/dev/passes/15-auto_tile_matmul_l0.md, "Fits-L0c chained cast-fold".
        """
        index = self.definition[root]
        signature = self.signatures[index]
        if signature.op != "cast" or dict(signature.attrs).get("mode") != "rint":
            return False
        source = self.root[self.ops[index].ins[0]]
        if self.homes.get(source) != {ACC} or self.types[source].dtype != "FP32":
            return False
        narrow = signature.out is not None and signature.out.dtype in ("BF16", "FP16")
        return narrow and bool(uses[root]) and all(self._is_cube_operand(i, p) for i, p in uses[root])

    def _direction(self, index: int) -> str:
        """Direction of a push or pop."""
        return str(dict(self.signatures[index].attrs)["direction"])

    def _is_cube_operand(self, index: int, position: int) -> bool:
        return self.roles[index] is Role.CUBE and not self._is_accumulator(index, position)

    def _is_accumulator(self, index: int, position: int) -> bool:
        op = self.ops[index]
        return self.roles[index] is Role.CUBE and position == 0 and op.out >= 0 and op.ins[0] == op.out

    def _home_by_demand(self, root: int, uses: dict[int, list[tuple[int, int]]]) -> frozenset[str]:
        """Memory of a load or a create_tile: where its consumers are, Vec if only stores consume it."""
        demand: set[str] = set()
        for index, position in uses[root]:
            role = self.roles[index]
            if self._is_accumulator(index, position):
                demand.add(ACC)
            elif role is Role.CUBE:
                demand.add(MAT)
            elif role in (Role.VECTOR, Role.GATHER, Role.SCATTER) or (
                role is Role.PUSH and self._direction(index) == VECTOR_TO_CUBE
            ):
                demand.add(VEC)
            elif role is Role.PUSH and self.roles[self.definition[root]] is Role.LOAD:
                demand.add(MAT)
            elif role is Role.ASSEMBLE and position == 1:
                demand |= self.homes.get(self.root[self.ops[index].ins[0]], frozenset({VEC}))
        definition = self.definition[root]
        if ACC in demand:
            if self.roles[definition] is not Role.CREATE or demand - {ACC, VEC}:
                raise self._unsupported(
                    definition, "an accumulator that does not come from a matmul", "start the chain with pl.matmul"
                )
            return frozenset({ACC})
        if self.roles[definition] is Role.CREATE:
            return frozenset({MAT}) if demand == {MAT} else frozenset({VEC})
        placed = self._placed(definition)
        if placed:
            return frozenset({MAT if placed == AIC else VEC})
        return frozenset(demand or {VEC})

    def _unit(self, index: int) -> int:
        op, role = self.ops[index], self.roles[index]
        if role is Role.CUBE:
            return AIC
        if role is Role.VECTOR:
            return AIC if op.out >= 0 and self.homes[self.root[op.out]] == {MAT} else AIV
        if role in LOADS:
            homes = self.homes[self.root[op.out]]
            return (AIC if MAT in homes else 0) | (AIV if VEC in homes else 0)
        if role is Role.STORE:
            if self._placed(index):
                return self._placed(index)
            return AIV if VEC in self.homes[self.root[op.ins[0]]] else AIC
        if role is Role.ASSEMBLE:
            return self._assemble_unit(index)
        if role in (Role.SCALAR, Role.SCATTER):
            return AIV
        if role in (Role.PUSH, Role.POP, Role.FREE):
            return AIC if (self._direction(index) == CUBE_TO_VECTOR) == (role is Role.PUSH) else AIV
        return 0

    def _is_load(self, value: int) -> bool:
        return self.roles[self.definition[self.root[value]]] in LOADS

    def _assemble_unit(self, index: int) -> int:
        target = self.homes[self.root[self.ops[index].ins[0]]]
        if VEC in target:
            return AIV
        source = self.homes[self.root[self.ops[index].ins[1]]]
        if target == {MAT} and (ACC in source or self._is_load(self.ops[index].ins[1])):
            return AIC  # a load goes straight to its window in L1
        raise self._unsupported(
            index,
            f"pl.assemble from {'/'.join(sorted(source))} into {'/'.join(sorted(target))}",
            "assemble into a tile that vector ops or stores consume, or a matmul result into a matmul operand",
        )

    def _cross(self, units: list[int]) -> tuple[tuple[Transfer, ...], dict[tuple[int, int], int]]:
        transfers: list[Transfer] = []
        crossing_of: dict[tuple[int, int], int] = {}
        arrived: dict[tuple[int, int], int] = {}  # (value, body) -> transfer
        fences = self._fences(units)
        for index, op in enumerate(self.ops):
            body = self.nest.body_of[index]
            if index in fences:
                value = fences[index]
                crossing_of[index, value] = len(transfers)
                size = nbytes(self.types[value])
                transfers.append(Transfer(index, value, CUBE_TO_VECTOR, size, body, fence=True))
            for value in op.ins:
                direction = self._crossing_direction(index, value, units[index])
                if direction is None:
                    continue
                known = next((arrived[value, b] for b in self.nest.chain(body) if (value, b) in arrived), None)
                if known is None:
                    known = len(transfers)
                    arrived[value, body] = known
                    transfers.append(Transfer(index, value, direction, nbytes(self.types[value]), body))
                crossing_of[index, value] = known
        return tuple(transfers), crossing_of

    def _crossing_direction(self, index: int, value: int, unit: int) -> str | None:
        if self.roles[index] not in (Role.CUBE, Role.VECTOR, Role.ASSEMBLE, Role.GATHER, Role.SCATTER):
            return None
        homes = self.homes[self.root[value]]
        if unit == AIV and VEC not in homes:
            return CUBE_TO_VECTOR
        if unit == AIC and homes == {VEC}:
            return VECTOR_TO_CUBE
        return None

    def _fences(self, units: list[int]) -> dict[int, int]:
        """Vector loads that wait for the cube's store of the tensor: op -> stored value. Regions are left out."""
        fences = gm_fences(self.ops, self.roles, units, self.places, self.nest)
        return {fence.load: self.ops[fence.store].ins[0] for fence in fences if not self._placed(fence.load)}
