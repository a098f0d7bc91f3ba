"""Parameter annotations: pl.Tensor, pl.Scalar, pl.Out, pl.InOut, pl.dynamic."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pto_sim.program.dtypes import DataType


class DynVar:
    """A dimension whose extent comes from the argument. The same object means the same extent."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"pl.dynamic({self.name!r})"


@dataclass(frozen=True)
class TensorType:
    """`pl.Tensor[[d0, ...], dtype]`; shape and dtype None take whatever the argument has.

    direction: 'in', 'out' or 'inout'.
    """

    shape: tuple[int | DynVar, ...] | None = None
    dtype: DataType | None = None
    direction: str = "in"

    def directed(self, direction: str) -> TensorType:
        """The same type as an output or an in-place argument."""
        return TensorType(self.shape, self.dtype, direction)


@dataclass(frozen=True)
class ScalarType:
    """`pl.Scalar[dtype]`."""

    dtype: DataType


class Tensor:
    """Annotation of a GM tensor: `pl.Tensor[[128, 512], pl.BF16]`, or bare for any shape and type."""

    def __class_getitem__(cls, item: Any) -> TensorType:
        if not isinstance(item, tuple) or len(item) != 2:
            raise TypeError(f"pl.Tensor takes a shape and an element type, pl.Tensor[[M, N], pl.FP32]; got {item!r}")
        shape, dtype = item
        if not isinstance(dtype, DataType):
            raise TypeError(f"pl.Tensor: {dtype!r} is no element type; use pl.FP32, pl.BF16, ...")
        return TensorType(tuple(shape), dtype)


class Scalar:
    """Annotation of a scalar parameter: `pl.Scalar[pl.INT32]`."""

    def __class_getitem__(cls, item: Any) -> ScalarType:
        if not isinstance(item, DataType):
            raise TypeError(f"pl.Scalar: {item!r} is no element type; use pl.INT32, pl.FP32, ...")
        return ScalarType(item)


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


def _tensor_type(item: Any, what: str) -> TensorType:
    if item is Tensor:
        return TensorType()
    if not isinstance(item, TensorType):
        raise TypeError(f"{what} takes a tensor annotation, {what}[pl.Tensor[[M, N], pl.FP32]]; got {item!r}")
    return item
