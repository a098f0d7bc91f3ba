"""Pipes between the cube and the vector cores of a block: FIFO rings of slots in GM.

A push waits for a free slot, a pop for a full one; a slot is free again when every consumer has said so
(pypto: docs/en/reference/pto-isa/01-tpush_tpop.md). A split pipe carries a whole tile, of which each of two vector
lanes has its half: rows (split 1 or 3) or columns (2 or 4).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from pto_sim.engine.halves import MODE_OF_CODE, half_box, joined
from pto_sim.engine.tile import Tile
from pto_sim.program.dtypes import DataType
from pto_sim.program.errors import KernelError
from pto_sim.program.model import OpSignature, ValueType

if TYPE_CHECKING:
    from pto_sim.engine.cluster import Cluster
    from pto_sim.engine.core import CoreState
    from pto_sim.engine.run import Run

C2V, V2C = "c2v", "v2c"
_MASK = {C2V: 1, V2C: 2}
ONE_WAY_SLOTS, TWO_WAY_SLOTS = 8, 4
"""Slots of a ring when initialize_pipe gives none; pypto: include/pypto/codegen/gm_pipe_layout.h."""


@dataclass
class _Part:
    """What one core put into a slot. valid: extents of its valid box, None for all."""

    data: np.ndarray
    valid: tuple[int, ...] | None
    number: int


@dataclass
class _Slot:
    """One filling of a slot. split: mode. parts: by producing core."""

    split: str
    shape: tuple[int, ...]
    dtype: DataType
    parts: dict[str, _Part] = field(default_factory=dict)
    freed: set[str] = field(default_factory=set)
    site: int = -1


@dataclass
class _Ring:
    """One direction of a pipe. pushed, popped: how many slots each core has gone through."""

    direction: str
    slots: int
    slot_bytes: int
    filled: list[_Slot] = field(default_factory=list)
    pushed: dict[str, int] = field(default_factory=dict)
    popped: dict[str, int] = field(default_factory=dict)


class Pipes:
    """The pipes of one block."""

    def __init__(self, run: Run, cluster: Cluster) -> None:
        self.run, self.cluster = run, cluster
        self._rings: dict[tuple[int, str], _Ring] = {}
        self._opened: dict[tuple[str, int], int] = {}
        self._reserved: set[tuple[str, str]] = set()
        self._expected: dict[tuple[str, str], int] = {}
        self._held: dict[tuple[str, int], tuple[int, _Ring, _Slot]] = {}

    def _error(self, rule: str, values: str, hint: str) -> KernelError:
        return KernelError("PTO262", rule, site=self.run.site(), values=values, hint=hint)

    # -- set up -----------------------------------------------------------------------------------

    def open(self, core: CoreState, number: int, mask: int, slot_bytes: int, slots: int | None) -> None:
        """aic_initialize_pipe or aiv_initialize_pipe on `core`. Raises KernelError (PTO262) if the sides differ."""
        if mask not in (1, 2, 3):
            raise self._error(
                "a pipe has a direction", f"dir_mask={mask}", "1: cube to vector, 2: vector to cube, 3: both"
            )
        count = slots or (TWO_WAY_SLOTS if mask == 3 else ONE_WAY_SLOTS)
        self._opened[core.unit, number] = mask
        for direction, bit in _MASK.items():
            if not mask & bit:
                continue
            ring = self._rings.setdefault((number, direction), _Ring(direction, count, slot_bytes))
            if (ring.slots, ring.slot_bytes) != (count, slot_bytes):
                raise self._error(
                    "both sides of a pipe have the same slots",
                    f"pipe {number}: {count} of {slot_bytes} bytes here, {ring.slots} of {ring.slot_bytes} there",
                    "give both initialize_pipe the same slot_size= and slot_num=",
                )
            self._record(core, "pipe", (), None, number, ring)

    def reserve(self, core: CoreState, function: str, name: str) -> None:
        """A function reserves a named buffer."""
        self._reserved.add((function, name))

    def expect(self, core: CoreState, function: str, name: str) -> None:
        """A function names the buffer of another one, which may reserve it later."""
        self._expected.setdefault((function, name), self.run.here())

    def _ring(self, core: CoreState, number: int, direction: str) -> _Ring:
        if not self._opened.get((core.unit, number), 0) & _MASK[direction]:
            raise self._error(
                "a pipe is set up before it is used",
                f"pipe {number}, direction {direction}, not opened on {core.unit or 'this core'}",
                "call pl.aic_initialize_pipe / pl.aiv_initialize_pipe with the direction's bit in dir_mask=",
            )
        return self._rings[number, direction]

    def _mode(self, code: Any) -> str:
        mode = MODE_OF_CODE.get(code)
        if mode is None:
            raise self._error("a pipe's split is 0 to 4", f"split={code!r}", "0: whole, 1 or 3: rows, 2 or 4: columns")
        return mode

    def _record(
        self, core: CoreState, op: str, ins: tuple[Any, ...], out: ValueType | None, number: int, ring: _Ring,
        numbers: tuple[int, ...] = (), split: str = "none",
    ) -> int:  # fmt: skip
        attrs = (
            ("direction", ring.direction), ("pipe", number), ("slot_bytes", ring.slot_bytes), ("slots", ring.slots),
            ("split", split),
        )  # fmt: skip
        signature = self.run.recorder.signature(OpSignature(op, ins, out, attrs, self.run.here()))
        value = core.recorder.value() if out is not None else -1
        core.record(signature, value, numbers)
        return value

    # -- transfers ----------------------------------------------------------------------------------

    def push(self, core: CoreState, tile: Tile, direction: str, code: Any, number: int) -> None:
        """Put a tile into the next slot, once it is free."""
        ring, mode = self._ring(core, number, direction), self._mode(code)
        place = ring.pushed.get(core.unit, 0)
        if place >= ring.slots:
            old = ring.filled[place - ring.slots]
            self.cluster.wait(
                lambda: self._free(ring, old),
                f"a free slot of pipe {number} {direction}: all {ring.slots} are full, and a pl.tfree on "
                f"{'each vector core' if direction == C2V else 'the cube core'} frees one",
            )
        shape = self._whole_shape(core, tile.shape, mode)
        size = int(np.prod(shape)) * tile.dtype.nbytes
        if size > ring.slot_bytes:
            raise self._error(
                "a tile fits the slots of its pipe",
                f"{list(shape)} {tile.dtype.name} = {size} bytes, slot_size={ring.slot_bytes}",
                "give initialize_pipe a larger slot_size=",
            )
        if place == len(ring.filled):
            ring.filled.append(_Slot(mode, shape, tile.dtype, site=self.run.here()))
        slot = ring.filled[place]
        if (slot.split, slot.shape, slot.dtype) != (mode, shape, tile.dtype):
            raise self._error(
                "both lanes push the same kind of tile",
                f"{list(shape)} {tile.dtype.name} split {mode}, and {list(slot.shape)} {slot.dtype.name} {slot.split}",
                "push halves of one tile on both lanes",
            )
        data = tile.resolve().copy()
        value = self._record(core, "tpush", (tile.type,), tile.type, number, ring, (tile.number,), mode)
        slot.parts[core.unit] = _Part(data, tile.valid, value)
        ring.pushed[core.unit] = place + 1

    def _whole_shape(self, core: CoreState, shape: tuple[int, ...], mode: str) -> tuple[int, ...]:
        """A lane that works on half tiles pushes half of what the slot holds."""
        if mode == "none" or not core.unit.startswith("aiv") or core.half != "none":
            return shape
        axis = 0 if mode == "up_down" else len(shape) - 1
        return tuple(extent * 2 if a == axis else extent for a, extent in enumerate(shape))

    def _free(self, ring: _Ring, slot: _Slot) -> bool:
        consumers = self.cluster.units("aiv" if ring.direction == C2V else "aic")
        return bool(consumers) and slot.freed.issuperset(consumers)

    def _full(self, ring: _Ring, place: int) -> bool:
        if place >= len(ring.filled):
            return False
        producers = self.cluster.units("aic" if ring.direction == C2V else "aiv")
        return all(unit in ring.filled[place].parts for unit in producers)

    def pop(self, core: CoreState, direction: str, code: Any, number: int, shape: Any, dtype: Any, valid: Any) -> Tile:
        """Take the next tile, once it is there. shape, dtype, valid: what the author declares, or None."""
        ring, mode = self._ring(core, number, direction), self._mode(code)
        place = ring.popped.get(core.unit, 0)
        source = "the cube" if direction == C2V else "the vector cores"
        self.cluster.wait(lambda: self._full(ring, place), f"a tile in pipe {number} from {source}")
        ring.popped[core.unit] = place + 1
        slot = ring.filled[place]
        if slot.split != mode:
            raise self._error(
                "a tile is popped with the split that it was pushed with",
                f"pushed with {slot.split}, popped with {mode}",
                "give both the same split=",
            )
        data, box = self._contents(core, slot)
        if direction == C2V and mode != "none" and core.half == "none":
            data, box = half_box(data, box, mode, core.subblock)
        type_ = ValueType(data.shape[1:], slot.dtype.name, "tile")
        self._check_declared(type_, shape, dtype)
        if valid is not None:
            box = tuple(min(int(a), b) for a, b in zip(valid, box or type_.shape, strict=True))
        parts = tuple(slot.parts.values())
        sources = (type_,) * len(parts)
        value = self._record(core, "tpop", sources, type_, number, ring, tuple(p.number for p in parts), mode)
        tile = Tile(core, data, type_, slot.dtype, value, valid=box if box != type_.shape else None)
        tile.explicit = True
        self._held[core.unit, value] = (number, ring, slot)
        return tile

    def _contents(self, core: CoreState, slot: _Slot) -> tuple[np.ndarray, tuple[int, ...] | None]:
        parts = slot.parts
        if len(parts) == 1:
            part = next(iter(parts.values()))
            return part.data, part.valid
        first, second = parts["aiv0"], parts["aiv1"]
        if slot.split == "none":
            same = np.array_equal(first.data.view(np.uint8), second.data.view(np.uint8)) and first.valid == second.valid
            if not same:
                raise KernelError(
                    "PTO263",
                    "both vector lanes push into one slot, so they push one value",
                    site=self.run.recorder.sites[slot.site],
                    values="the lanes hold different tiles, and the cube would get either",
                    hint="push with split=1 or 2, or make the value the same on both lanes",
                )
            return first.data, first.valid
        whole = first.data.shape[1:] == slot.shape
        return joined(self.run, slot.split, slot.shape, (first.data, second.data), (first.valid, second.valid), whole)

    def _check_declared(self, type_: ValueType, shape: Any, dtype: Any) -> None:
        wrong = (shape is not None and tuple(int(x) for x in shape) != type_.shape) or (
            dtype is not None and dtype.name != type_.dtype
        )
        if wrong:
            raise self._error(
                "a popped tile is declared as it was pushed",
                f"declared {list(shape or type_.shape)} {getattr(dtype, 'name', type_.dtype)}, "
                f"pushed {list(type_.shape)} {type_.dtype}",
                "correct the annotation, or shape= and dtype=",
            )

    def free(self, core: CoreState, tile: Tile, direction: str, number: int | None) -> None:
        """Give the slot of a popped tile back."""
        held = self._held.get((core.unit, tile.number))
        if held is None:
            raise self._error("pl.tfree takes the tile that a pop gave", repr(tile), "pass the result of pl.tpop_*")
        found, ring, slot = held
        if ring.direction != direction or (number is not None and number != found):
            raise self._error(
                "a slot goes back to the pipe that it came from",
                f"popped from pipe {found} {ring.direction}, freed to {direction}, id={number}",
                "pl.tfree_to_aic frees what pl.tpop_from_aic gave, pl.tfree_to_aiv what pl.tpop_from_aiv gave",
            )
        if core.unit in slot.freed:
            raise self._error("a slot is freed once", repr(tile), "remove the second pl.tfree")
        slot.freed.add(core.unit)
        self._record(core, "tfree", (tile.type,), None, found, ring, (tile.number,), slot.split)

    def check_empty(self) -> None:
        """Raises KernelError (PTO262) for a tile that was never popped, or a buffer that nobody reserved."""
        for (function, name), site in self._expected.items():
            if (function, name) not in self._reserved:
                raise KernelError(
                    "PTO262",
                    "an imported buffer is reserved by its peer",
                    site=self.run.recorder.sites[site],
                    values=f"'{name}' of '{function}'",
                    hint="pl.reserve_buffer(name=...) in that function of the group",
                )
        for (number, direction), ring in self._rings.items():
            taken = min(
                (ring.popped.get(u, 0) for u in self.cluster.units("aiv" if direction == C2V else "aic")), default=0
            )
            if taken < len(ring.filled):
                raise KernelError(
                    "PTO262",
                    "every pushed tile is popped",
                    site=self.run.recorder.sites[ring.filled[taken].site],
                    values=f"pipe {number} {direction}: {len(ring.filled)} pushed, {taken} popped",
                    hint="pop it on the other core, or do not push it",
                )
