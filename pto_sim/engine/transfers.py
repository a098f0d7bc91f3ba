"""GM traffic of a task: loads, stores and scalar accesses, with bounds checks and recorded regions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pto_sim.engine.halves import stored_half
from pto_sim.engine.lanes import LaneScalar
from pto_sim.engine.storage import Tensor
from pto_sim.engine.tile import Tile
from pto_sim.engine.tile_scalars import scalar_values
from pto_sim.engine.valid_boxes import narrowed
from pto_sim.engine.windows import offset_array, out_of_bounds
from pto_sim.engine.written import take_host_values
from pto_sim.numerics.atomic import atomic_add
from pto_sim.numerics.boxes import box_offsets, load_boxes, store_boxes, store_elements
from pto_sim.program.dtypes import DTYPES
from pto_sim.program.errors import KernelError
from pto_sim.program.model import OpSignature, ValueType

if TYPE_CHECKING:
    from pto_sim.engine.run import Run


_ATOMIC = (("atomic", "add"),)


class Transfers:
    """Moves data between GM and a task's tiles."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self._signatures: dict[Any, int] = {}

    def _signature(self, op: str, ins: tuple[ValueType, ...], out: ValueType | None, site: int, attrs: Any = ()) -> int:
        key = (op, ins, out, site, attrs)
        index = self._signatures.get(key)
        if index is None:
            index = self._signatures[key] = self.run.recorder.signature(OpSignature(op, ins, out, attrs, site))
        return index

    def _base(self, tensor: Tensor, offsets: tuple[Any, ...], sizes: tuple[int, ...], what: str) -> np.ndarray:
        array = offset_array(offsets)
        base, bad = box_offsets(array, tensor.shape, tensor.strides, sizes)
        if bad >= 0:
            raise out_of_bounds(self.run, what, array, sizes, tensor.shape, int(bad))
        if tensor.offset:
            base += tensor.offset
        if tensor.storage.stack is not None:
            tensor.hold()
        return base

    def load(
        self,
        tensor: Tensor,
        offsets: tuple[Any, ...],
        sizes: tuple[int, ...],
        shape: tuple[int, ...],
        valid: tuple[int, ...] | None = None,
    ) -> Tile:
        """Load the box at `offsets` of `sizes` as a tile of `shape` (the sizes without dropped axes).

        Raises KernelError: PTO203 out of bounds, PTO101 after the scope closed, PTO301 too large for UB or L1.
        """
        run = self.run
        core = run.task_core("a load")
        if tensor.storage.closed_at is not None:
            tensor.check_alive()
        if tensor.valid is not None:
            valid = narrowed(tensor.valid, offsets, sizes, valid)
        read_sizes = sizes if valid is None else valid
        base = self._base(tensor, offsets, read_sizes, "a load")
        storage = tensor.storage
        out = np.empty((len(base), *read_sizes), storage.flat.dtype)
        load_boxes(storage.words, base, read_sizes, tensor.strides, out)
        if valid is not None and valid != sizes:
            # A load fills the rest of its tile with zeros (pto-isa: include/pto/cpu, TLOAD).
            padded = np.zeros((len(base), *sizes), out.dtype)
            padded[(slice(None), *(slice(0, v) for v in valid))] = out
            out = padded
        if shape != sizes:
            out = out.reshape(len(base), *shape)
        type_ = ValueType(shape, tensor.dtype.name, "tile")
        site = run.here()
        tile = core.make_tile(out, type_, tensor.dtype, valid=valid if valid != sizes else None)
        core.record(self._signature("load", (tensor.type,), type_, site), tile.number, (), storage.tensor)
        run.touch(tensor, False, site, base, read_sizes)
        return tile

    def store(
        self, tensor: Tensor, offsets: tuple[Any, ...], sizes: tuple[int, ...], tile: Tile, *, atomic: bool = False
    ) -> None:
        """Store a tile's valid region to the box at `offsets`; sizes are those of the window. atomic: add it there.

        Raises KernelError: PTO202 wrong element type or size, PTO203 out of bounds, PTO101 after the scope closed.
        """
        run = self.run
        core = run.task_core("a store")
        if tensor.storage.closed_at is not None:
            tensor.check_alive()
        if run.task is not None:
            run.task.check_path(tensor, False, whole=sizes == tensor.shape)
        data = tile.resolve()
        if core.half != "none":
            kept = stored_half(core, tile, data, offsets, sizes)
            if kept is None:
                return
            data, offsets, sizes = kept
        elif tile.valid is not None:
            if 0 in tile.valid:
                return
            data = data[(slice(None), *(slice(0, v) for v in tile.valid))]
            sizes = (1,) * (len(sizes) - len(tile.valid)) + tile.valid
        data = self._for_store(tensor, tile, data)
        base = self._base(tensor, offsets, sizes, "a store")
        if len(base) == 1 and len(core.lanes) > 1:  # every block writes the same place, one after the other
            base = np.repeat(base, len(core.lanes))
        if data.shape[1:] != sizes:
            data = data.reshape(data.shape[0], *sizes)
        same: np.ndarray | None = None
        if atomic:
            self._add(tensor, base, sizes, data)
        else:
            tensor.storage.own()
            same = store_boxes(tensor.storage.words, base, sizes, tensor.strides, data)
        site = run.here()
        core.record(
            self._signature("store", (tile.type, tensor.type), None, site, _ATOMIC if atomic else ()),
            -1,
            (tile.number,),
            tensor.storage.tensor,
        )
        if atomic:
            # An atomic addition reads what it adds to, so the task depends on whoever wrote it.
            run.touch(tensor, False, site, base, sizes, atomic=True)
        run.touch(tensor, True, site, base, sizes, same=same, atomic=atomic)

    def _add(self, tensor: Tensor, base: np.ndarray, sizes: tuple[int, ...], data: np.ndarray) -> None:
        """Add block after block, in block order: each addition rounds in the tensor's type."""
        if tensor.dtype.name not in ("FP32", "BF16", "FP16", "INT32", "INT16", "INT8"):
            raise KernelError(
                "PTO202",
                "an atomic addition needs FP32, BF16, FP16, INT32, INT16 or INT8",
                site=self.run.site(),
                values=f"tensor {tensor.name or '?'} {tensor.dtype.name}",
                hint="accumulate in FP32 or INT32",
            )
        if tensor.storage.host is not None:
            take_host_values(self.run, tensor.storage)
        tensor.storage.own()
        before = np.empty((1, *sizes), data.dtype)
        for lane in range(len(base)):
            place = base[lane : lane + 1]
            load_boxes(tensor.storage.words, place, sizes, tensor.strides, before)
            part = data[min(lane, len(data) - 1)][None]
            store_boxes(tensor.storage.words, place, sizes, tensor.strides, atomic_add(before, part))

    def _for_store(self, tensor: Tensor, tile: Tile, data: np.ndarray) -> np.ndarray:
        if tile.dtype is tensor.dtype:
            return data
        if tile.accumulator and tensor.dtype.name in ("FP16", "BF16", "FP32", "INT32") and tile.dtype.name == "FP32":
            # The fixpipe narrows round-to-nearest-even on the way to GM.
            assert tensor.dtype.numpy is not None
            return self.run.compute.narrow(data, tensor.dtype)
        raise KernelError(
            "PTO202",
            "a store needs the element type of its tensor",
            site=self.run.site(),
            values=f"tile {tile.dtype.name}, tensor {tensor.name or '?'} {tensor.dtype.name}",
            hint=f"cast it first: pl.cast(x, target_type=pl.{tensor.dtype.name})",
        )

    def read(self, tensor: Tensor, offsets: tuple[Any, ...]) -> Any:
        """One element as a scalar: int, float or bool where all blocks read the same place, else a LaneScalar."""
        run = self.run
        if tensor.storage.closed_at is not None:
            tensor.check_alive()
        sizes = (1,) * tensor.ndim
        base = self._base(tensor, offsets, sizes, "a scalar read")
        values = tensor.storage.flat[base]
        core = run.core
        if core is None:
            run.orchestrated(tensor, False, base, sizes)
            self._by_orchestrator("read", tensor)
            return values[0].item()
        site = run.here()
        core.record(self._signature("read", (tensor.type,), None, site), -1, (), tensor.storage.tensor)
        run.touch(tensor, False, site, base, sizes)
        if values.dtype.kind in "iub":
            if len(values) == 1:
                return values[0].item()
            return LaneScalar(core, values if values.dtype.kind == "b" else values.astype(np.int64), core.lanes)
        # A float scalar stays FP32, so that arithmetic on it rounds as the scalar unit does.
        return LaneScalar(core, np.broadcast_to(values.astype(np.float32), len(core.lanes)), core.lanes)

    def write(self, tensor: Tensor, offsets: tuple[Any, ...], value: Any) -> None:
        """Store one scalar. Raises KernelError as `store` does."""
        run = self.run
        if tensor.storage.closed_at is not None:
            tensor.check_alive()
        sizes = (1,) * tensor.ndim
        base = self._base(tensor, offsets, sizes, "a scalar write")
        if run.task is not None:
            run.task.check_path(tensor, not run.fills_a_run(tensor))
        tensor.storage.own()
        values = scalar_values(run, value, tensor.dtype)
        core = run.core
        count = max(len(base), values.size, 1 if core is None else len(core.lanes))
        base, values = np.repeat(base, count // len(base)), np.broadcast_to(values, count)
        same = store_elements(tensor.storage.flat, base, values)
        if core is None:
            self._by_orchestrator("write", tensor)
            run.orchestrated(tensor, True, base, sizes)
        else:
            site = run.here()
            core.record(self._signature("write", (tensor.type,), None, site), -1, (), tensor.storage.tensor)
            run.touch(tensor, True, site, base, sizes, same=same)

    def _by_orchestrator(self, kind: str, tensor: Tensor) -> None:
        """Records that the orchestrator itself touches a tensor, for which it waits; once for a run of such lines."""
        recorder = self.run.recorder
        view = (tensor.storage.tensor, tensor.offset, tensor.shape, tensor.strides)
        if not recorder.events or recorder.events[-1][:2] != (kind, view):
            recorder.event(kind, view, self.run.here())


def scalar_type(name: str) -> ValueType:
    """The recorded type of a scalar operand of dtype `name`."""
    assert name in DTYPES
    return ValueType((), name, "scalar")
