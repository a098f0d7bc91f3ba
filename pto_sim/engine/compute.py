"""Applying the operators of the table to tiles: checks once for each call site, then one function call."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from pto_sim.engine.lanes import LaneScalar
from pto_sim.engine.operand_rules import check_operands
from pto_sim.engine.parting import PARTING, parting
from pto_sim.engine.storage import Tensor
from pto_sim.engine.tile import Tile
from pto_sim.engine.valid_boxes import PACKED, batched_box, operand_boxes, place_packed
from pto_sim.engine.value_errors import index_error
from pto_sim.numerics.element_types import FILL_BYTE, ScalarRangeError
from pto_sim.numerics.elementwise import IntegerDivisionError
from pto_sim.numerics.index_errors import GatherIndexError, TooManyMatchesError
from pto_sim.numerics.l0_tiling import k_split
from pto_sim.numerics.optable import OP_TABLE, OpRow, OpTypeError, infer
from pto_sim.numerics.profiles import A2A3, CPU_SIM
from pto_sim.program.dtypes import DTYPES, DataType
from pto_sim.program.errors import KernelError
from pto_sim.program.events import SourceNote
from pto_sim.program.model import OpSignature, ValueType

if TYPE_CHECKING:
    from pto_sim.engine.run import Run

_INT_SCALAR = ValueType((), "INDEX", "scalar")
_FLOAT_SCALAR = ValueType((), "FP32", "scalar")
_READ_BY_INDEX = frozenset({"gather", "gather_axis", "gather_flat", "gatherb"})
# Results of every other operator are in UB (Vec).
_PLACED = frozenset({"matmul", "matmul_acc", "matmul_bias", "cast"})
_CUBE = frozenset({"matmul", "matmul_acc", "matmul_bias"})
# The compiler cuts a product whose right operand comes from L1 and whose left one from L1 or the vector core (pypto:
# docs/en/dev/passes/15-auto_tile_matmul_l0.md); what the author placed in L0 himself stays whole.
_CUT_RIGHT = frozenset({"", "mat"})
_UNCUT_LEFT = frozenset({"left", "right", "acc"})
_REPEATING = frozenset({"row_vector", "col_vector"})


class _Plan(NamedTuple):
    """What is fixed for one op at one line on given operand types."""

    signature: int
    row: OpRow
    out: ValueType
    dtype: DataType
    keywords: dict[str, Any]


class Compute:
    """The compute operators of one run."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self._plans: dict[Any, _Plan] = {}
        self._profile = run.options.numerics
        self._compares = run.options.profile_diff

    def apply(self, name: str, operands: Sequence[Any], attrs: Mapping[str, Any]) -> Tile:
        """The result of operator `name`. attrs: hashable keyword attributes of the table's row.

        Raises KernelError: PTO204 outside a task, PTO202 for shapes and types that the operator does not take,
        PTO205 for a value that it cannot take (an index outside its row, a division by zero).
        """
        run = self.run
        core = run.core or run.task_core(f"pl.{name}")
        tiles = [run.memory.materialize(x) if type(x) is Tensor else x for x in operands]
        types = tuple(x.type if type(x) is Tile else self._scalar_type(name, x) for x in tiles)
        if types and len(types[0].shape) > 2 and OP_TABLE[name].shape_rule in _REPEATING:
            return self._as_matrices(name, tiles, attrs)
        site = run.here()
        if name in _CUBE and (tiles[-1].space not in _CUT_RIGHT or tiles[-2].space in _UNCUT_LEFT):
            attrs = {**attrs, "manual": True}
        if run.chained and name in _CUBE:
            attrs = {**attrs, "chained": True}
        key = (name, types, tuple(attrs.items()), site)
        plan = self._plans.get(key)
        if plan is None:
            plan = self._plans[key] = self._plan(name, types, attrs, site, operands)
        inputs = [x for x in tiles if type(x) is Tile]
        valid = inputs[0].valid if inputs else None
        arrays = [x.resolve() if isinstance(x, (Tile, LaneScalar)) else x for x in tiles]
        if name in _CUBE and any(array.ndim != 3 for array in arrays):
            data = self._batched(plan, arrays)
            valid = batched_box(inputs, plan.out.shape, plan.keywords)
        else:
            for x in inputs:
                if x.valid is not None:
                    data, valid = self._on_valid(plan, inputs, arrays)
                    break
            else:
                data = self._call(plan, arrays)
        return self._result(core, plan, name, inputs, data, valid)

    def _as_matrices(self, name: str, tiles: list[Any], attrs: Mapping[str, Any]) -> Tile:
        """A repeated vector on tiles of higher rank, which are [rows, last axis] on chip.

        pypto: docs/en/dev/passes/13-flatten_tile_nd_to_2d.md. The vector may have fewer axes than the tile.
        """
        memory = self.run.memory
        flat = [memory.reshape(t, (math.prod(t.shape[:-1]), t.shape[-1])) if type(t) is Tile else t for t in tiles]
        result = memory.reshape(self.apply(name, flat, attrs), tiles[0].shape)
        assert isinstance(result, Tile)
        return result

    def _result(
        self, core: Any, plan: _Plan, name: str, inputs: list[Tile], data: np.ndarray, valid: tuple[int, ...] | None
    ) -> Tile:
        numbers = tuple(x.number for x in inputs)
        if name == "matmul_acc":
            # The accumulator is updated in place on chip: its old name must not be used again.
            if inputs[0].lanes is core.lanes:
                inputs[0].data = data
            tile = Tile(
                core, data, plan.out, plan.dtype, inputs[0].number, root=inputs[0].root, accumulator=True, valid=valid
            )
            tile.window = inputs[0].window
            self.run.memory.write_through(tile)
        else:
            tile = core.make_tile(data, plan.out, plan.dtype, accumulator=name in _CUBE, valid=valid)
        tile.space = self._space(name, inputs, plan.keywords) if name in _PLACED else "vec"
        core.record(plan.signature, tile.number, numbers)
        for source in inputs:
            if source.explicit:
                tile.explicit = True
                break
        return tile

    @staticmethod
    def _space(name: str, inputs: list[Tile], attrs: Mapping[str, Any]) -> str:
        if name in _CUBE:
            return "acc"
        # A rint downcast of an FP32 accumulator goes through the fixpipe to L1, where matmuls read it.
        folded = name == "cast" and inputs[0].space == "acc" and attrs["mode"] == "rint"
        return "mat" if folded and inputs[0].dtype.name == "FP32" else "vec"

    def _call(self, plan: _Plan, arrays: Sequence[Any]) -> np.ndarray:
        if self._profile == CPU_SIM and plan.row.name in _READ_BY_INDEX:
            self._note_index(plan, arrays)
        try:
            result = plan.row.function(*arrays, profile=self._profile, **plan.keywords)
            if self._compares:
                self._note_parting(plan.row.name, arrays, plan.keywords, result)
            return result
        except (ScalarRangeError, IntegerDivisionError) as error:
            raise KernelError(
                "PTO205",
                f"pl.{plan.row.name} cannot take this value",
                site=self.run.site(),
                values=str(error),
                hint="change the value or the element type",
            ) from error
        except (GatherIndexError, TooManyMatchesError) as error:
            raise index_error(self.run, plan.row.name, error) from error

    def _note_index(self, plan: _Plan, arrays: Sequence[Any]) -> None:
        """Tell the observers of an index outside: cpu-sim has a value for it, the device has none."""
        try:
            plan.row.function(*arrays, profile=A2A3, **plan.keywords)
        except GatherIndexError as error:
            self.run.tell(SourceNote("undefined index", self.run.site(), str(error)))

    def _note_parting(self, name: str, arrays: Sequence[Any], keywords: Mapping[str, Any], result: np.ndarray) -> None:
        """Tell the observers of the first operator of the run whose result the other profile does not have."""
        function = OP_TABLE[name].function
        message = parting(name, self._profile, result, lambda other: function(*arrays, profile=other, **keywords))
        if message:
            self._compares = False  # what follows has other operands in the other profile
            core = self.run.core
            block = f" of block {core.lanes.ids[0]}" if core is not None else ""
            self.run.tell(SourceNote(PARTING, self.run.site(), message + block))

    def _scalar_type(self, name: str, value: Any) -> ValueType:
        if isinstance(value, LaneScalar):
            return _FLOAT_SCALAR if value.base.dtype.kind == "f" else _INT_SCALAR
        if isinstance(value, (float, np.floating)):
            return _FLOAT_SCALAR
        if isinstance(value, (int, np.integer)):
            return _INT_SCALAR
        raise KernelError(
            "PTO202",
            f"pl.{name} takes tiles and numbers",
            site=self.run.site(),
            values=f"got {type(value).__name__}",
            hint="check the operand",
        )

    def _plan(
        self, name: str, types: tuple[ValueType, ...], attrs: Mapping[str, Any], site: int, operands: Sequence[Any]
    ) -> _Plan:
        row = OP_TABLE[name]
        check_operands(self.run, row, operands, attrs)
        batch: tuple[int, ...] = ()
        checked = types
        if name in _CUBE and any(len(t.shape) > 2 for t in types):
            batch = np.broadcast_shapes(*(t.shape[:-2] for t in types))
            checked = tuple(ValueType(t.shape[-2:], t.dtype, t.space) for t in types)
        try:
            shape, dtype = infer(row, checked, attrs)
        except OpTypeError as error:
            raise KernelError(
                "PTO202", error.rule, site=self.run.site(), values=error.values, hint=error.hint
            ) from error
        out = ValueType((*batch, *shape), dtype, "tile")
        recorded = dict(attrs)
        keywords = dict(attrs)
        if name in _CUBE:
            extent = checked[-2].shape[0 if attrs.get("a_trans") else 1]
            manual, chained = keywords.pop("manual", False), keywords.pop("chained", False)
            chain = k_split(shape[0], shape[1], extent, checked[-1].dtype, name, manual, chained)
            recorded["k_split"] = keywords["k_split"] = chain
            keywords["threads"] = self.run.options.threads
        core = self.run.task_core(f"pl.{name}")
        # A product may be cut, and a cast of one may happen on its way to L1: lowering knows where they live.
        to_l1 = (
            name == "cast" and attrs.get("mode") == "rint" and types[0].dtype == "FP32" and dtype in ("BF16", "FP16")
        )
        if name not in _CUBE and not to_l1:
            core.check_capacity(out.shape, DTYPES[dtype])
            core.check_row(name, out.shape, DTYPES[dtype])
        signature = OpSignature(name, types, out, tuple(sorted(recorded.items())), site)
        return _Plan(self.run.recorder.signature(signature), row, out, DTYPES[dtype], keywords)

    def _batched(self, plan: _Plan, arrays: list[np.ndarray]) -> np.ndarray:
        """A matmul with batch dimensions: one product for each of them, in order."""
        batch = plan.out.shape[:-2]
        lanes = max(array.shape[0] for array in arrays)
        out = np.empty((lanes, *plan.out.shape), plan.dtype.numpy)
        for index in np.ndindex(*batch):
            parts = []
            for array in arrays:
                extra = array.ndim - 3
                place = tuple(0 if array.shape[1 + a] == 1 else index[len(batch) - extra + a] for a in range(extra))
                parts.append(array[(slice(None), *place)])
            out[(slice(None), *index)] = self._call(plan, parts)
        return out

    def _on_valid(
        self, plan: _Plan, inputs: list[Tile], arrays: list[Any]
    ) -> tuple[np.ndarray, tuple[int, ...] | None]:
        """An operator on partly valid tiles: it touches the valid cells only, the others hold the fill."""
        boxes = operand_boxes(self.run, plan.row, inputs, plan.keywords)
        if 0 in boxes[0] and plan.row.name not in PACKED:
            # A lane that a ragged tile does not reach: nothing is computed, and the result is empty too.
            return self._nothing(plan, arrays, boxes[0])
        queue = iter(boxes)
        parts = []
        for array in arrays:
            if isinstance(array, np.ndarray) and array.ndim > 1:
                box = next(queue)
                array = array[(slice(None), *(slice(0, extent) for extent in box))]
            parts.append(array)
        part = self._call(plan, parts)
        if plan.row.name == "matmul_acc":
            data = np.array(np.broadcast_to(arrays[0], (max(len(part), len(arrays[0])), *plan.out.shape)))
            data[(slice(None), *(slice(0, extent) for extent in part.shape[1:]))] = part
            return data, inputs[0].valid
        if part.shape[1:] == plan.out.shape:
            return part, None
        assert plan.dtype.numpy is not None
        count = part.shape[0] * int(np.prod(plan.out.shape)) * plan.dtype.nbytes
        # A product leaves zeros where an operand was not valid: its loads were padded with zeros.
        data = (
            np.full(count, 0 if plan.row.unit == "M" else FILL_BYTE, np.uint8)
            .view(plan.dtype.numpy)
            .reshape(part.shape[0], *plan.out.shape)
        )
        if plan.row.name in PACKED:
            place_packed(plan.row.name, part, data)
            return data, None
        data[(slice(None), *(slice(0, extent) for extent in part.shape[1:]))] = part
        return data, part.shape[1:]

    def _nothing(self, plan: _Plan, arrays: list[Any], box: tuple[int, ...]) -> tuple[np.ndarray, tuple[int, ...]]:
        assert plan.dtype.numpy is not None
        lanes = max((len(a) for a in arrays if isinstance(a, np.ndarray)), default=1)
        count = lanes * int(np.prod(plan.out.shape)) * plan.dtype.nbytes
        data = np.full(count, FILL_BYTE, np.uint8).view(plan.dtype.numpy).reshape(lanes, *plan.out.shape)
        return data, tuple(min(a, b) for a, b in zip(plan.out.shape, box, strict=True))

    def drains(self, value: Tile, target: Tile) -> bool:
        """Whether the fixpipe narrows an FP32 product on its way into L1.

        pypto: src/ir/op/tile_ops/transform.cpp, tile.assemble.
        """
        narrows = value.dtype.name == "FP32" and target.dtype.name in ("BF16", "FP16")
        return narrows and value.accumulator and target.space == "mat"

    def narrow(self, data: np.ndarray, dtype: DataType) -> np.ndarray:
        """An FP32 accumulator narrowed to `dtype`, to nearest even: what the fixpipe does on a store to GM or L1.

        pto-isa: include/pto/cpu/TStore.hpp (a static_cast).
        """
        attrs = {"target": dtype.name, "mode": "rint"}
        result = OP_TABLE["cast"].function(data, profile=self._profile, **attrs)
        if self._compares:
            self._note_parting("cast", (data,), attrs, result)
        return result
