"""Views, subscripts, on-chip buffers: everything that says where a value lives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pto_sim.engine.lanes import LaneScalar
from pto_sim.engine.placement import place
from pto_sim.engine.storage import Storage, Tensor, element_count, row_major
from pto_sim.engine.tile import Tile
from pto_sim.engine.valid_boxes import assemble_tile, narrowed, reshaped_box, window_box
from pto_sim.engine.windows import Window, offset_array, out_of_bounds, parse_subscript, trimmed
from pto_sim.numerics.element_types import FILL_BYTE
from pto_sim.numerics.padding import pad_number
from pto_sim.program.dtypes import DataType
from pto_sim.program.element_support import unsupported_element
from pto_sim.program.errors import KernelError, UnsupportedError
from pto_sim.program.model import OpSignature, TensorInfo, ValueType

if TYPE_CHECKING:
    from pto_sim.engine.run import Run


class Memory:
    """The memory operations of one run."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self._signatures: dict[Any, int] = {}
        self._slices = 0  # views of tensors made so far

    # -- subscripts -------------------------------------------------------------------------------

    def subscript(self, value: Tensor | Tile, index: Any) -> Any:
        """`x[index]`: a view in orchestration, a load of a tensor or a view of a tile inside a task."""
        window = parse_subscript(self.run, value.shape, index)
        if isinstance(value, Tile):
            return self.tile_window(value, window)
        if len(window.dropped) == value.ndim:
            return self.run.transfers.read(value, window.offsets)
        if self.run.core is None:
            return self.slice_view(value, window)
        tile = self.run.transfers.load(value, window.offsets, window.sizes, window.result_shape())
        if window.dropped and tile.valid is not None:
            tile.valid = tuple(extent for axis, extent in enumerate(tile.valid) if axis not in window.dropped)
        return tile

    def assign(self, target: Tensor | Tile, index: Any, value: Any) -> None:
        """`x[index] = value`: in a task a store to GM, or an update of a tile in place; outside it an assemble."""
        run = self.run
        if run.core is None and isinstance(target, Tensor) and isinstance(value, Tensor):
            window = parse_subscript(run, target.shape, index)
            if window.sizes == (1,) * (target.ndim - value.ndim) + value.shape:
                place(run, target, value, window.offsets)
                return
        run.task_core("an assignment to a tensor's elements")
        window, source = parse_subscript(run, target.shape, index), value
        if isinstance(value, Tensor):
            value = self.materialize(value)
        if not isinstance(value, Tile) or len(window.dropped) == target.ndim:
            raise KernelError(
                "PTO251",
                "an element is written with pl.write, not with a subscript",
                site=run.site(),
                values=f"{target!r}, right-hand side {value!r}",
                hint="pl.write(x, [i, j], s), or slices on the left: x[i : i + 1, j : j + 8] = tile",
            )
        self._check_level(target, value, source)
        self._check_window_shape(window, value, isinstance(target, Tile))
        if isinstance(target, Tile):
            assemble_tile(run, target, value, window)
        else:
            run.transfers.store(target, window.offsets, window.sizes, value)

    def _check_level(self, target: Tensor | Tile, value: Tile, source: Any) -> None:
        """A tensor takes tensors, a tile tiles (pypto: ast_parser.py, _parse_subscript_assignment)."""
        tile = isinstance(target, Tile) and target.explicit
        if tile == value.explicit:
            return
        raise KernelError(
            "PTO249",
            f"a window of a {'tile' if tile else 'tensor'} takes {'tiles' if tile else 'tensors'}",
            site=self.run.site(),
            values=f"{target!r}[...] = {source!r}",
            hint="pl.load the tensor first" if tile else "pl.store(tile, [row, column], tensor)",
        )

    def _check_window_shape(self, window: Window, value: Tile, of_tile: bool) -> None:
        shape = window.result_shape()
        if value.ndim != len(shape) and not (of_tile and value.ndim == 2 > len(shape)):
            raise KernelError(
                "PTO202",
                "a value has a dimension for each slice of the window that it is assigned to",
                site=self.run.site(),
                values=f"{len(shape)} slices, value {list(value.shape)}",
                hint="a plain index takes its axis away: write x[i : i + 1, :] for a value [1, n]",
            )
        if value.valid is not None and _squeezed(shape) == _squeezed(value.valid):
            return
        if shape != value.shape and _squeezed(shape) != _squeezed(value.shape):
            raise KernelError(
                "PTO202",
                "the window and the value assigned to it have different shapes",
                site=self.run.site(),
                values=f"window {list(shape)}, value {list(value.shape)}",
                hint="make the slice as large as the tile, or slice the tile",
            )

    def slice_view(self, tensor: Tensor, window: Window) -> Tensor:
        """The view that a slice in orchestration makes: as `view`, trimmed where the tensor ends."""
        inside = trimmed(self.run, tensor.shape, window)
        result = self.view(tensor, inside)
        result.sliced = None if inside is window else window.result_shape()
        return result

    def view(self, tensor: Tensor, window: Window) -> Tensor:
        """A window of a tensor without a copy. Raises KernelError (PTO203) if it leaves the tensor."""
        if tensor.storage.closed_at is not None:
            tensor.check_alive()
        for axis, (offset, size) in enumerate(zip(window.offsets, window.sizes, strict=True)):
            if offset < 0 or offset + size > tensor.shape[axis]:
                raise out_of_bounds(self.run, "a view", offset_array(window.offsets), window.sizes, tensor.shape, 0)
        start = tensor.offset + sum(o * s for o, s in zip(window.offsets, tensor.strides, strict=True))
        kept = [axis for axis in range(tensor.ndim) if axis not in window.dropped]
        self._slices += 1
        sizes, strides = tuple(window.sizes[a] for a in kept), tuple(tensor.strides[a] for a in kept)
        result = tensor.view(sizes, strides, int(start), alias=self._slices)
        result.hold()
        if tensor.valid is not None:
            valid = narrowed(tensor.valid, window.offsets, window.sizes, None)
            result.valid = tuple(valid[axis] for axis in kept)
        return result

    def materialize(self, tensor: Tensor) -> Tile:
        """The whole tensor as a tile: what an operand of a compute op inside a task becomes."""
        return self.run.transfers.load(tensor, (0,) * tensor.ndim, tensor.shape, tensor.shape)

    # -- windows of tiles ---------------------------------------------------------------------------

    def tile_window(self, tile: Tile, window: Window) -> Tile:
        """A view of a tile (a copy where the offset differs between blocks)."""
        run = self.run
        core = run.task_core("a slice of a tile")
        data = tile.resolve()
        self._check_tile_bounds(window, tile.shape)
        if any(type(offset) is LaneScalar for offset in window.offsets):
            out = self._lane_windows(data, window)
        else:
            box: Any = (slice(None), *(slice(o, o + s) for o, s in zip(window.offsets, window.sizes, strict=True)))
            out = data[box]
        kept = window.result_shape()
        # A tile has two dimensions on chip: what is left of one is a row (pypto: tile_ops/transform.cpp, tile.slice).
        units = (1,) * (2 - len(kept)) if tile.explicit and window.dropped else ()
        shape = (*units, *kept)
        if shape != window.sizes:
            out = out.reshape(out.shape[0], *shape)
        view = self._record_view("slice", core, tile, out, shape)
        if tile.space == "acc":
            view.window = (tile, window)
        if tile.valid is not None:
            box = window_box(run, tile.valid, window)
            view.valid = None if box is None else (*units, *box)
        return view

    def _record_view(self, op: str, core: Any, tile: Tile, out: np.ndarray, shape: tuple[int, ...]) -> Tile:
        type_ = ValueType(shape, tile.dtype.name, "tile")
        view = core.make_tile(out, type_, tile.dtype, root=tile.root, accumulator=tile.accumulator)
        view.explicit, view.space, view.is_slice = tile.explicit, tile.space, op == "slice"
        core.record(self.signature(op, (tile.type,), type_, ()), view.number, (tile.number,))
        return view

    def _check_tile_bounds(self, window: Window, shape: tuple[int, ...]) -> None:
        for axis, (offset, size) in enumerate(zip(window.offsets, window.sizes, strict=True)):
            if type(offset) is int and 0 <= offset <= shape[axis] - size:
                continue
            values = offset.resolve() if type(offset) is LaneScalar else np.array([offset])
            bad = np.flatnonzero((values < 0) | (values + size > shape[axis]))
            if len(bad):
                raise out_of_bounds(
                    self.run, "a slice of a tile", offset_array(window.offsets), window.sizes, shape, int(bad[0])
                )

    def _lane_windows(self, data: np.ndarray, window: Window) -> np.ndarray:
        offsets = offset_array(window.offsets)
        lanes = offsets.shape[1]
        out = np.empty((lanes, *window.sizes), data.dtype)
        for lane in range(lanes):
            box = tuple(slice(o, o + s) for o, s in zip(offsets[:, lane].tolist(), window.sizes, strict=True))
            index: Any = (lane if data.shape[0] > 1 else 0, *box)
            out[lane] = data[index]
        return out

    def update_tile(self, target: Tile, window: Window, value: Tile) -> None:
        """Write a tile into a window of another in place, on the active lanes."""
        run = self.run
        core = run.task_core("an assignment to a tile")
        drained = run.compute.drains(value, target)
        if value.dtype is not target.dtype and not drained:
            raise KernelError(
                "PTO202",
                "assembling into a tile needs the same element type",
                site=run.site(),
                values=f"tile {target.dtype.name}, value {value.dtype.name}",
                hint=f"cast it first: pl.cast(x, target_type=pl.{target.dtype.name})",
            )
        self._check_tile_bounds(window, target.shape)
        data = run.compute.narrow(value.resolve(), target.dtype) if drained else value.resolve()
        self._write_lanes(target, window, data.reshape(-1, *window.sizes))
        core.record(
            self.signature("assemble", (target.type, value.type), target.type, ()),
            target.number,
            (target.number, value.number),
        )

    def write_through(self, view: Tile) -> None:
        """Write a slice of an accumulator, whose value is new, into the accumulator."""
        while view.window is not None:
            parent, window = view.window
            self._write_lanes(parent, window, view.data.reshape(-1, *window.sizes))
            view = parent

    def _write_lanes(self, target: Tile, window: Window, source: np.ndarray) -> None:
        core = target.core
        lane_offsets = any(type(offset) is LaneScalar for offset in window.offsets)
        everywhere = core.lanes is target.lanes
        if (
            target.data.shape[0] == 1
            and len(target.lanes) > 1
            and (source.shape[0] > 1 or lane_offsets or not everywhere)
        ):
            target.data = np.repeat(target.data, len(target.lanes), axis=0)
        lanes: Any = slice(None) if everywhere else core.lanes.positions_in(target.lanes)
        if not lane_offsets:
            box = tuple(slice(o, o + s) for o, s in zip(window.offsets, window.sizes, strict=True))
            target.data[(lanes, *box)] = source
            return
        offsets = offset_array(window.offsets)
        positions = range(offsets.shape[1]) if everywhere else lanes
        for column, lane in enumerate(positions):
            box = tuple(slice(o, o + s) for o, s in zip(offsets[:, column].tolist(), window.sizes, strict=True))
            target.data[(lane, *box)] = source[column if source.shape[0] > 1 else 0]

    # -- shapes -------------------------------------------------------------------------------------

    def reshape(self, value: Tensor | Tile, shape: tuple[int, ...]) -> Tensor | Tile:
        """The same elements under another shape, without a copy. Raises KernelError (PTO202)."""
        run = self.run
        if element_count(shape) != element_count(value.shape):
            raise KernelError(
                "PTO202",
                "reshape keeps the number of elements",
                site=run.site(),
                values=f"{list(value.shape)}: {element_count(value.shape)}, {list(shape)}: {element_count(shape)}",
                hint="slice first, or correct the shape",
            )
        valid = None if value.valid is None else reshaped_box(value.shape, value.valid, shape)
        if value.valid is not None and valid is None:
            raise KernelError(
                "PTO202",
                "the valid part must stay a box at the origin in a reshape",
                site=run.site(),
                values=f"{list(value.shape)} valid {list(value.valid)} to {list(shape)}",
                hint="pl.fillpad it first",
            )
        if isinstance(value, Tile):
            core = run.task_core("a reshape of a tile")
            data = value.resolve()
            view = self._record_view("reshape", core, value, data.reshape(data.shape[0], *shape), shape)
            view.valid = valid if valid != shape else None
            assert isinstance(view, Tile)
            return view
        value.check_alive()
        if value.strides != row_major(value.shape):
            raise KernelError(
                "PTO202",
                "only a contiguous tensor can be reshaped without a copy",
                site=run.site(),
                values=f"shape {list(value.shape)}, strides {list(value.strides)}",
                hint="reshape the whole tensor first, then slice it",
            )
        result = value.view(shape, row_major(shape), value.offset, alias=-1)
        result.valid = valid
        return result

    def transpose_view(self, tile: Tile) -> Tile:
        """The tile with its last two axes exchanged, in the same buffer (pypto: tile.transpose_view)."""
        core = self.run.task_core("pl.transpose_view")
        if tile.ndim < 2:
            raise KernelError(
                "PTO202",
                "transpose_view needs two axes",
                site=self.run.site(),
                values=f"shape {list(tile.shape)}",
                hint="reshape it to [1, N] first",
            )
        swapped = np.ascontiguousarray(np.swapaxes(tile.resolve(), -1, -2))
        view = self._record_view("transpose_view", core, tile, swapped, swapped.shape[1:])
        if tile.valid is not None:
            view.valid = (*tile.valid[:-2], tile.valid[-1], tile.valid[-2])
        return view

    def with_valid(self, tile: Tile, valid: tuple[int, ...]) -> Tile:
        """The same tile with another valid shape."""
        core = self.run.task_core("pl.set_validshape")
        view = self._record_view("reshape", core, tile, tile.resolve(), tile.shape)
        view.valid = valid if valid != tile.shape else None
        return view

    def filled(self, tile: Tile, value: float) -> Tile:
        """A tile whose invalid elements hold `value` and which is valid everywhere."""
        core = self.run.task_core("pl.fillpad")
        data = tile.resolve().copy()
        if tile.valid is not None:
            keep = np.zeros(tile.shape, bool)
            keep[tuple(slice(0, extent) for extent in tile.valid)] = True
            data[:, ~keep] = pad_number(data.dtype, value)
        out = core.make_tile(data, tile.type, tile.dtype)
        out.explicit = tile.explicit
        core.record(self.signature("fillpad", (tile.type,), tile.type, ()), out.number, (tile.number,))
        return out

    # -- new buffers ----------------------------------------------------------------------------------

    def create(self, shape: tuple[int, ...], dtype: DataType, manual_dep: bool, init_value: Any) -> Tensor | Tile:
        """A GM buffer in orchestration, a scratch tile inside a task; its elements are unwritten."""
        run = self.run
        if dtype.numpy is None:
            raise unsupported_element(dtype, run.site(), "pl.create_tensor")
        if run.core is not None:
            if init_value is not None:
                raise UnsupportedError("create_tensor(init_value=) inside a task", site=run.site(), hint="use pl.full")
            return self.create_tile(shape, dtype)
        if init_value is not None:
            self._check_fill(dtype, init_value)
        return self.create_buffer(shape, dtype, manual_dep, init_value)

    def _check_fill(self, dtype: DataType, value: Any) -> None:
        """Raises KernelError (PTO205) for a number that the runtime cannot fill a buffer of `dtype` with.

        pypto: src/codegen/tensor_op_codegen.cpp, tensor.create.
        """
        narrow = dtype.kind == "float" and dtype.nbytes < 4 and value != 0
        if narrow or not np.isfinite(value) or (dtype.kind != "float" and value != int(value)):
            raise KernelError(
                "PTO205",
                "a buffer is filled with a finite number of its type, one of FP16 or BF16 with 0 only",
                site=self.run.site(),
                values=f"init_value={value!r} for {dtype.name}",
                hint="init_value=0, or fill it in a task: pl.full",
            )

    def create_buffer(
        self, shape: tuple[int, ...], dtype: DataType, manual_dep: bool = False, init_value: Any = None
    ) -> Tensor:
        """A GM buffer, owned by the innermost scope of the orchestration."""
        run = self.run
        site = run.here()
        count = element_count(shape)
        index = len(run.recorder.tensors)
        info = TensorInfo("", shape, dtype.name, count * dtype.nbytes, "alloc", "", site, manual_dep, run.scopes.depth)
        run.recorder.tensors.append(info)
        run.recorder.event("alloc", index, site)
        storage = Storage.unwritten(index, dtype, count)
        if init_value is not None:
            storage.flat[:] = init_value
        run.scopes.own(storage)
        for observer in run.observers:
            observer.on_tensor(index, storage.elements)
        tensor = Tensor(run, storage, shape)
        if init_value is not None:
            run.orchestrated(tensor, True, np.zeros(1, np.int64), shape)
        return tensor

    def create_tile(self, shape: tuple[int, ...], dtype: DataType) -> Tile:
        """An on-chip buffer whose elements are unwritten."""
        core = self.run.task_core("an on-chip buffer")
        if dtype.numpy is None:
            raise unsupported_element(dtype, self.run.site(), "an on-chip buffer")
        type_ = ValueType(shape, dtype.name, "tile")
        data = np.full((1, element_count(shape) * dtype.nbytes), FILL_BYTE, np.uint8).view(dtype.numpy)
        tile = core.make_tile(data.reshape(1, *shape), type_, dtype)
        core.record(self.signature("create_tile", (), type_, ()), tile.number, ())
        return tile

    def signature(
        self, op: str, ins: tuple[ValueType, ...], out: ValueType | None, attrs: tuple[tuple[str, object], ...]
    ) -> int:
        site = self.run.here()
        key = (op, ins, out, attrs, site)
        index = self._signatures.get(key)
        if index is None:
            index = self._signatures[key] = self.run.recorder.signature(OpSignature(op, ins, out, attrs, site))
        return index


def _squeezed(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(extent for extent in shape if extent != 1)
