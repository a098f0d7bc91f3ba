"""`pl.tensor.view`: a tensor's memory under another shape or layout.

pypto: src/ir/op/tensor_ops/transform.cpp, DeduceTensorViewType.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pto_sim.engine.run import Run, require_run
from pto_sim.engine.storage import Tensor, element_count, row_major
from pto_sim.program.errors import KernelError, UnsupportedError

_ND, _DN = "nd", "dn"


def view(
    tensor: Any, shape: Sequence[Any] | None = None, valid_shape: Sequence[Any] | None = None, *, layout: Any = None
) -> Tensor:
    """The same memory under another shape or layout, or both. layout: pl.ND, or pl.DN, the last two axes exchanged."""
    run = require_run("pl.tensor.view")
    if not isinstance(tensor, Tensor):
        raise KernelError(
            "PTO202", "pl.tensor.view takes a tensor in GM", site=run.site(), values=f"got {tensor!r}",
            hint="use pl.reshape or pl.tile.transpose_view for a tile",
        )  # fmt: skip
    _check_request(run, tensor, shape, valid_shape, layout)
    tensor.check_alive()
    before = _layout(run, tensor)
    after = layout or before
    if shape is None:
        return tensor if after == before else tensor.transposed(-2, -1)
    extents = tuple(int(extent.__index__()) for extent in shape)
    packed = tensor if before == _ND else tensor.transposed(-2, -1)
    if packed.strides != row_major(packed.shape) or element_count(extents) != element_count(tensor.shape):
        raise KernelError(
            "PTO202", "pl.tensor.view reshapes a packed tensor and keeps its elements", site=run.site(),
            values=f"{list(tensor.shape)} with strides {list(tensor.strides)} to {list(extents)}",
            hint="reshape the whole tensor, then slice it",
        )  # fmt: skip
    if after == _ND:
        return tensor.view(extents, row_major(extents), tensor.offset, alias=-1)
    flipped = (*extents[:-2], extents[-1], extents[-2])
    return tensor.view(flipped, row_major(flipped), tensor.offset, alias=-1).transposed(-2, -1)


def _check_request(run: Run, tensor: Tensor, shape: Any, valid_shape: Any, layout: Any) -> None:
    if shape is None and layout is None:
        raise KernelError(
            "PTO206", "pl.tensor.view needs a shape or a layout", site=run.site(), hint="pl.tensor.view(x, [m, n])"
        )
    if layout not in (None, _ND, _DN):
        raise KernelError(
            "PTO206", "a tensor in GM is ND or DN", site=run.site(), values=f"layout {layout!r}", hint="layout=pl.DN"
        )
    if valid_shape is not None:
        raise UnsupportedError(
            "pl.tensor.view(valid_shape=)", site=run.site(), hint="view the whole tensor, and load with valid_shape="
        )
    if shape is not None and run.core is None and (layout == _DN or _layout(run, tensor) == _DN):
        raise KernelError(
            "PTO206", "orchestration views a tensor under another shape in layout ND only", site=run.site(),
            values=f"{list(tensor.shape)}, layout {layout!r}", hint="do it inside the task",
        )  # fmt: skip
    if (_DN in (layout, _layout(run, tensor))) and (len(shape) if shape is not None else tensor.ndim) < 2:
        raise KernelError(
            "PTO202", "layout DN has two dimensions or more", site=run.site(), values=f"{list(tensor.shape)}",
            hint="keep ND",
        )  # fmt: skip


def _layout(run: Run, tensor: Tensor) -> str:
    """ND if the last axis is contiguous, DN if the one before it is. Raises KernelError (PTO202) for neither."""
    if tensor.ndim < 2 or tensor.strides[-1] == 1 or tensor.shape[-1] == 1:
        return _ND
    if tensor.strides[-2] == 1:
        return _DN
    raise KernelError(
        "PTO202", "a view needs a tensor with a contiguous axis among its last two", site=run.site(),
        values=f"{list(tensor.shape)} with strides {list(tensor.strides)}", hint="view it before it is transposed",
    )  # fmt: skip
