"""Parameter annotations: pl.Tensor, pl.TensorView, pl.Scalar, pl.Out, pl.InOut."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pto_sim.engine.lanes import LaneScalar
from pto_sim.frontend.extents import DynamicExtent
from pto_sim.program.dtypes import DataType
from pto_sim.program.errors import KernelError, UnsupportedError
from pto_sim.program.model import Site


@dataclass(frozen=True)
class TensorView:
    """`pl.TensorView(valid_shape=[...])`: an argument of which only a box at the origin is valid."""

    valid_shape: Sequence[int | DynamicExtent] | None = None
    stride: Sequence[int] | None = None
    layout: str = "nd"


@dataclass(frozen=True)
class TensorType:
    """`pl.Tensor[[d0, ...], dtype]`; shape and dtype None take whatever the argument has.

    direction: 'in', 'out' or 'inout'. view: what `pl.TensorView` says of the argument, None without one.
    """

    shape: tuple[int | DynamicExtent, ...] | None = None
    dtype: DataType | None = None
    direction: str = "in"
    view: TensorView | None = None

    def directed(self, direction: str) -> TensorType:
        """The same type as an output or an in-place argument."""
        return TensorType(self.shape, self.dtype, direction, self.view)


@dataclass(frozen=True)
class ScalarType:
    """`pl.Scalar[dtype]`."""

    dtype: DataType

    def of(self, value: Any) -> Any:
        """An argument as a scalar of this type: a number for a truth value, an integer for a float."""
        if self.dtype.kind == "bool" and isinstance(value, (int, LaneScalar)):
            return value != 0
        return float(value) if self.dtype.kind == "float" and isinstance(value, int) else value


class Tensor:
    """Annotation of a GM tensor: `pl.Tensor[[128, 512], pl.BF16]`, or bare for any shape and type."""

    def __class_getitem__(cls, item: Any) -> TensorType:
        if not isinstance(item, tuple) or len(item) not in (2, 3):
            raise wrong_annotation("pl.Tensor takes a shape and an element type", item, "pl.Tensor[[M, N], pl.FP32]")
        shape, dtype = item[:2]
        if not isinstance(dtype, DataType):
            raise wrong_annotation("pl.Tensor needs an element type", dtype, "pl.Tensor[[M, N], pl.FP32]")
        view = item[2] if len(item) == 3 else None
        if isinstance(view, str):
            view = TensorView(layout=view)
        if view is not None and not isinstance(view, TensorView):
            raise wrong_annotation("the third part of pl.Tensor is a layout", view, "leave it out: row-major")
        if view is not None and (view.layout != "nd" or view.stride is not None):
            raise UnsupportedError(
                f"a tensor in GM of layout {view.layout}" if view.layout != "nd" else "pl.TensorView(stride=)",
                hint="use the row-major layout (pl.ND)",
            )
        return TensorType(tuple(shape), dtype, view=view)


class Scalar:
    """Annotation of a scalar parameter: `pl.Scalar[pl.INT32]`."""

    def __class_getitem__(cls, item: Any) -> ScalarType:
        if not isinstance(item, DataType):
            raise wrong_annotation("pl.Scalar takes an element type", item, "pl.Scalar[pl.INT32]")
        return ScalarType(item)


class RuntimeScalar:
    """`pl.RUNTIME`: the value of a scalar parameter comes with each call."""

    def __repr__(self) -> str:
        return "pl.RUNTIME"


RUNTIME = RuntimeScalar()


class Out:
    """Annotation of an output: `pl.Out[pl.Tensor[...]]`. The kernel must write all of it."""

    def __class_getitem__(cls, item: Any) -> TensorType:
        return _tensor_type(item, "pl.Out").directed("out")


class InOut:
    """Annotation of an argument that is read and written in place."""

    def __class_getitem__(cls, item: Any) -> TensorType:
        return _tensor_type(item, "pl.InOut").directed("inout")


@dataclass(frozen=True)
class ValueAnnotation:
    """An annotation of a value that is not a tensor in GM: a tile, an array, a tuple."""

    kind: str


class Tile:
    """Annotation of an on-chip parameter: `pl.Tile[[16, 64], pl.FP32]`."""

    def __class_getitem__(cls, item: Any) -> ValueAnnotation:
        return ValueAnnotation("tile")


class Array:
    """Annotation of an array of scalars or task ids: `pl.Array[4, pl.INT32]`."""

    def __class_getitem__(cls, item: Any) -> ValueAnnotation:
        return ValueAnnotation("array")


class Tuple:
    """Annotation of several results: `pl.Tuple[pl.Tensor[...], pl.Scalar[...]]`."""

    def __class_getitem__(cls, item: Any) -> ValueAnnotation:
        return ValueAnnotation("tuple")


def caller_site() -> Site:
    """The line of the author's file that is running."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("pto_sim."):
        frame = frame.f_back
    return Site.of_frame(frame)


def wrong_annotation(rule: str, got: object, hint: str) -> KernelError:
    """The error (PTO257) for an annotation, at the line of the author's file that holds it."""
    return KernelError("PTO257", rule, site=caller_site(), values=f"got {got!r}", hint=hint)


def _tensor_type(item: Any, what: str) -> TensorType:
    if item is Tensor:
        return TensorType()
    if not isinstance(item, TensorType):
        hint = "return a scalar: a scalar parameter is an input" if isinstance(item, ScalarType) else ""
        raise wrong_annotation(f"{what} stands around a tensor", item, hint or f"{what}[pl.Tensor[[M, N], pl.FP32]]")
    return item
