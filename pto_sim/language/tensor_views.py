"""`pl.tensor.view`: a tensor's memory under another shape or layout.

pypto: src/ir/op/tensor_ops/transform.cpp, DeduceTensorViewType.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from pto_sim.engine.run import Run, require_run
from pto_sim.engine.storage import Tensor, element_count, row_major
from pto_sim.program.errors import KernelError

_ND, _DN = "nd", "dn"
Box = tuple[int, ...]


def view(
    tensor: Any, shape: Sequence[Any] | None = None, valid_shape: Sequence[Any] | None = None, *, layout: Any = None
) -> Tensor:
    """The same memory under another shape or layout, or both.

    valid_shape: of the new shape, where the tensor is partly valid and its leading axes, or all, collapse to 2-D.
    layout: pl.ND, or pl.DN, the last two axes exchanged. Raises KernelError (PTO202, PTO206).
    """
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
    valid = _checked_valid(run, tensor, extents, valid_shape, before, after)
    packed = tensor if before == _ND else tensor.transposed(-2, -1)
    if packed.strides != row_major(packed.shape) or element_count(extents) != element_count(tensor.shape):
        raise KernelError(
            "PTO202", "pl.tensor.view reshapes a packed tensor and keeps its elements", site=run.site(),
            values=f"{list(tensor.shape)} with strides {list(tensor.strides)} to {list(extents)}",
            hint="reshape the whole tensor, then slice it",
        )  # fmt: skip
    if after == _ND:
        result = tensor.view(extents, row_major(extents), tensor.offset, alias=-1)
        result.valid = valid
        return result
    flipped = (*extents[:-2], extents[-1], extents[-2])
    return tensor.view(flipped, row_major(flipped), tensor.offset, alias=-1).transposed(-2, -1)


def _check_request(run: Run, tensor: Tensor, shape: Any, valid_shape: Any, layout: Any) -> None:
    if shape is None and layout is None:
        raise KernelError(
            "PTO206", "pl.tensor.view needs a shape or a layout", site=run.site(), hint="pl.tensor.view(x, [m, n])"
        )
    if valid_shape is not None and shape is None:
        raise KernelError(
            "PTO206", "valid_shape= of a view needs a shape", site=run.site(), values=f"valid_shape={valid_shape!r}",
            hint="pl.tensor.view(x, [m, n], valid_shape=[v, n])",
        )  # fmt: skip
    if layout not in (None, _ND, _DN):
        raise KernelError(
            "PTO206", "a tensor in GM is ND or DN", site=run.site(), values=f"layout {layout!r}", hint="layout=pl.DN"
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


def _checked_valid(
    run: Run, tensor: Tensor, shape: Box, valid_shape: Sequence[Any] | None, before: str, after: str
) -> Box | None:
    """The valid shape of a view under another shape, None for all of it.

    An author names it, and only for the two collapses to 2-D whose valid elements are a box again (pypto:
    IsNdLeadingCollapseTo2D). Raises KernelError (PTO202).
    """
    wanted = None if not valid_shape else tuple(int(extent.__index__()) for extent in valid_shape)
    if wanted is None and (tensor.valid is None or (tensor.valid == tensor.shape and valid_shape is None)):
        return None
    rule, hint = "", "view the whole tensor, and slice it with valid_shape="
    if wanted is None or tensor.valid is None:
        rule = "a view of a partly valid tensor under another shape names its valid_shape, any other view does not"
        if wanted is None:
            hint = "give valid_shape=: the extents that hold values"
    elif len(wanted) != len(shape) or any(not 0 < part <= extent for part, extent in zip(wanted, shape, strict=True)):
        rule, hint = "valid_shape has the rank of the shape, and lies within it", "correct valid_shape="
    elif (before, after) != (_ND, _ND) or not _collapses(tensor.shape, tensor.valid, shape, wanted):
        rule = "valid_shape is for a view in layout ND that collapses the leading axes, or all axes, to 2-D"
    if rule:
        raise KernelError(
            "PTO202", rule, site=run.site(), hint=hint,
            values=f"{list(tensor.shape)} valid {tensor.valid and list(tensor.valid)} to {list(shape)} valid "
            f"{wanted and list(wanted)}",
        )  # fmt: skip
    return wanted


def _collapses(shape: Box, valid: Box, new: Box, new_valid: Box) -> bool:
    leading = (new, new_valid) == (
        (math.prod(shape[:-1]), shape[-1]), (math.prod(valid[:-1]), valid[-1])
    )  # fmt: skip
    linear = (new, new_valid) == ((1, math.prod(shape)), (1, math.prod(valid)))
    if not (leading or linear):
        return False
    merged = list(zip(shape, valid, strict=True))[: len(shape) - (not linear)]
    cut = next((axis for axis, (_, part) in enumerate(merged) if part != 1), len(merged))
    return all(part == extent for extent, part in merged[cut + 1 :])


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
