"""Casts between element types.

A cast that the ISA lacks is the chain of native casts that the compiler makes of it, each step under the mode
asked for (pypto: docs/en/dev/passes/14-legalize_tile_cast.md, src/backend/910B/backend_910b_handler.cpp).
Values of a step: pto-isa: include/pto/cpu/TCvt.hpp for `cpu-sim`, include/pto/npu/a2a3/TCvt.hpp for `a2a3`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from pto_sim.numerics import cast_kernels as kernels
from pto_sim.numerics.element_types import BFLOAT16, NAMES, STORAGE, is_float
from pto_sim.numerics.profiles import CPU_SIM
from pto_sim.numerics.typing_rules import OpTypeError

if TYPE_CHECKING:
    from pto_sim.numerics.typing_rules import OperandType

MODES = ("none", "rint", "round", "floor", "ceil", "trunc", "odd")

NATIVE_CASTS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "FP32": ("FP16", "BF16", "INT16", "INT32", "INT64"),
        "FP16": ("FP32", "INT32", "INT16", "INT8", "UINT8"),
        "BF16": ("FP32", "INT32"),
        "INT16": ("FP16", "FP32"),
        "INT32": ("FP32", "INT16", "INT64", "FP16"),
        "INT64": ("FP32", "INT32"),
        "UINT8": ("FP16",),
        "INT8": ("FP16",),
    }
)

# Casts that need a chain, as the compiler's search resolves them on a2a3 (all others are native or do not exist).
CHAINS: Mapping[tuple[str, str], tuple[str, ...]] = MappingProxyType(
    {
        ("FP32", "INT8"): ("FP16", "INT8"),
        ("FP32", "UINT8"): ("FP16", "UINT8"),
        ("FP16", "BF16"): ("FP32", "BF16"),
        ("BF16", "FP16"): ("FP32", "FP16"),
        ("BF16", "INT16"): ("FP32", "INT16"),
        ("BF16", "INT8"): ("FP32", "FP16", "INT8"),
        ("BF16", "UINT8"): ("FP32", "FP16", "UINT8"),
        ("INT16", "BF16"): ("FP32", "BF16"),
        ("INT16", "INT8"): ("FP16", "INT8"),
        ("INT16", "UINT8"): ("FP16", "UINT8"),
        ("INT32", "BF16"): ("FP32", "BF16"),
        ("INT32", "INT8"): ("FP16", "INT8"),
        ("INT32", "UINT8"): ("FP16", "UINT8"),
        ("INT64", "BF16"): ("FP32", "BF16"),
        ("INT64", "FP16"): ("FP32", "FP16"),
        ("INT64", "INT16"): ("FP32", "INT16"),
        ("INT64", "INT8"): ("FP32", "FP16", "INT8"),
        ("INT64", "UINT8"): ("FP32", "FP16", "UINT8"),
        ("INT8", "UINT8"): ("FP16", "UINT8"),
        ("UINT8", "INT8"): ("FP16", "INT8"),
    }
)

# a2a3 saturates a narrowing cast to an integer, except these pairs (kIsNarrowingCvt).
_WRAPPING = frozenset({("FP16", "UINT8"), ("FP16", "INT8"), ("FP16", "INT16"), ("FP32", "INT16")})


def cast_chain(source: str, target: str) -> tuple[str, ...] | None:
    """The element types that a cast from `source` passes through, ending in `target`; None if there is no path."""
    if source == target:
        return (target,)
    if target in NATIVE_CASTS.get(source, ()):
        return (target,)
    return CHAINS.get((source, target))


def check_cast(tiles: Sequence[OperandType], attrs: Mapping[str, Any]) -> None:
    """Raise OpTypeError if no chain of native casts exists or the mode is unknown."""
    source, target = tiles[0].dtype, str(attrs["target"])
    if cast_chain(source, target) is None:
        reach = sorted({*NATIVE_CASTS.get(source, ()), *(t for s, t in CHAINS if s == source)})
        raise OpTypeError(
            "a2a3 has no cast between these types",
            f"{source} to {target}",
            f"from {source} one can cast to {', '.join(reach) or 'nothing'}",
        )
    _mode_code(attrs.get("mode", "round"))


def _mode_code(mode: object) -> int:
    if isinstance(mode, str) and mode in MODES:
        return MODES.index(mode)
    if isinstance(mode, int) and 0 <= mode < len(MODES):
        return mode
    raise OpTypeError("cast has no such rounding mode", f"mode={mode!r}", f"use one of {', '.join(MODES)}, or 0..6")


def widen_bf16(x: np.ndarray) -> np.ndarray:
    """BF16 as FP32, exact; same shape."""
    x = np.ascontiguousarray(x)
    out = np.empty(x.shape, np.float32)
    kernels.bf16_widen(x.view(np.uint16).reshape(-1), out.view(np.uint32).reshape(-1))
    return out


def narrow_bf16(x: np.ndarray) -> np.ndarray:
    """FP32 as BF16, to nearest even; same shape."""
    x = np.ascontiguousarray(x)
    out = np.empty(x.shape, BFLOAT16)
    kernels.bf16_nearest(x.view(np.uint32).reshape(-1), out.view(np.uint16).reshape(-1))
    return out


def _widen(x: np.ndarray) -> np.ndarray:
    """A float array as FP32, exact."""
    if x.dtype == BFLOAT16:
        return widen_bf16(x)
    return x if x.dtype == np.float32 else x.astype(np.float32)


def _narrow(x: np.ndarray, target: np.dtype, code: int) -> np.ndarray:
    """FP32 to FP16 or BF16 under a rounding mode."""
    if target == BFLOAT16 and code in (kernels.NONE, kernels.RINT):
        return narrow_bf16(x)
    x = np.ascontiguousarray(x)
    out = np.empty(x.shape, target)
    kernel = kernels.bf16_by_mode if target == BFLOAT16 else kernels.f16_by_mode
    kernel(x.view(np.uint32).reshape(-1), out.view(np.uint16).reshape(-1), code)
    return out


def _to_int(x: np.ndarray, target: np.dtype, code: int, profile: str) -> np.ndarray:
    pair = (NAMES[x.dtype], NAMES[target])
    if profile == CPU_SIM or pair in _WRAPPING:
        wide = target.itemsize == 8 or pair[1] in ("UINT8", "UINT32")
        overflow = kernels.WRAP64 if wide else kernels.WRAP32
    else:
        overflow = kernels.SATURATE
    if profile == CPU_SIM and code == kernels.ODD:
        code = kernels.NEAREST_ODD
    info = np.iinfo(target)
    source = np.ascontiguousarray(_widen(x))
    out = np.empty(x.shape, target)
    kernels.float_to_int(source.reshape(-1), out.reshape(-1), code, overflow, np.int64(info.min), np.int64(info.max))
    return out


def convert(x: np.ndarray, target: str, mode: str | int = "round", profile: str = "a2a3") -> np.ndarray:
    """One conversion step from x's element type to `target`, as a single TCVT computes it. Same shape.

    a2a3: floats honour the mode (`none` is `rint`); float to integer saturates, NaN to 0, except the pairs that wrap.
    cpu-sim: floats always round to nearest even; float to integer keeps low bits. Integers wrap; integer to float goes
    through a double and rounds to nearest even. Raises OpTypeError for an unknown mode.
    """
    code = _mode_code(mode)
    storage = STORAGE[target]
    if x.dtype == storage:
        return x.copy()
    with np.errstate(all="ignore"):
        if not is_float(x.dtype):
            if not is_float(storage):
                return x.astype(storage)
            if storage == np.float32:
                return x.astype(np.float64).astype(np.float32)
            return narrow_double(x.astype(np.float64), storage)
        if not is_float(storage):
            return _to_int(x, storage, code, profile)
        wide = _widen(x)
        if storage == np.float32:
            return wide
        return _narrow(wide, storage, kernels.RINT if profile == CPU_SIM else code)


def round_to_odd(x: np.ndarray) -> np.ndarray:
    """FP64 as FP32, an inexact result with its last bit set: rounding it again to 16 bits is then a single rounding."""
    with np.errstate(all="ignore"):
        nearest = x.astype(np.float32)
    bits = nearest.view(np.uint32)
    inexact = (nearest != x) & ~np.isnan(x)
    # Step back towards zero where rounding went away from it (overflow to infinity included).
    away = inexact & (np.abs(nearest.astype(np.float64)) > np.abs(x))
    return ((bits - away.astype(np.uint32)) | inexact.astype(np.uint32)).view(np.float32)


def narrow_double(x: np.ndarray, target: np.dtype) -> np.ndarray:
    """FP64 to a 16-bit float, one rounding to nearest even."""
    return _narrow(round_to_odd(x), target, kernels.RINT)


def cast(x: np.ndarray, *, target: str, mode: str | int = "round", profile: str = "a2a3") -> np.ndarray:
    """x in the element type `target`, through the compiler's chain of native casts. x: [L, *shape].

    Raises OpTypeError for a pair without a chain or an unknown mode.
    """
    chain = cast_chain(NAMES[x.dtype], target)
    if chain is None:
        raise OpTypeError("a2a3 has no cast between these types", f"{NAMES[x.dtype]} to {target}", "see CHAINS")
    for step in chain:
        x = convert(x, step, mode, profile)
    return x
