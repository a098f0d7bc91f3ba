"""What a script says about the arguments of its kernel.

Field names, meanings and errors follow pypto-lib: golden/spec.py.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pto_sim.golden.tensors import BF16, as_numpy, as_torch, is_torch, numpy_dtype
from pto_sim.program.errors import UnsupportedError
from pto_sim.program.host_arrays import is_array
from pto_sim.program.stacked import StackedArray

_TORCH_FACTORIES = ("randn", "rand", "zeros", "ones")
_SCALAR_DTYPES = tuple(
    np.dtype(t) for t in (np.int8, np.int32, np.int64, np.uint8, np.bool_, np.float32, np.float16, BF16)
)


@dataclass
class TensorSpec:
    """One tensor argument, in parameter order.

    name: the parameter. shape: extents. dtype: a NumPy, ml_dtypes, torch or `pl` type.
    init_value: None for zeros, a number for a constant, a tensor, or a callable. A callable that has a parameter
    `seed` gets the seed of the run; torch.randn, rand, zeros and ones get the shape and dtype; any other is called
    without arguments. The result is cast to `dtype`.
    is_output: compared with the golden. With an init_value it is read and written (inout).
    resident: where the tensor stays between launches on several cards; only None and False can be simulated.

    Raises ValueError for a `resident` that means nothing, UnsupportedError for one that means something.
    """

    name: str
    shape: Sequence[int]
    dtype: Any
    init_value: Any = None
    is_output: bool = False
    resident: int | str | bool | None = None

    def __post_init__(self) -> None:
        resident = self.resident
        if resident is None or resident is False:
            return
        known = resident == "stacked" or (isinstance(resident, int) and resident is not True and resident >= 0)
        if not known:
            raise ValueError(
                f"TensorSpec {self.name!r}: resident={resident!r}; expected None, a card number or 'stacked'"
            )
        raise UnsupportedError(f"resident={resident!r} of TensorSpec {self.name!r}", hint="leave `resident` out")

    @property
    def numpy_dtype(self) -> np.dtype:
        """The element type as a NumPy dtype. Raises InputError (PTO014)."""
        return numpy_dtype(self.dtype, f"TensorSpec {self.name!r}")

    @property
    def is_input(self) -> bool:
        """Whether the kernel is given a value: an input, or an output with an init_value."""
        return not self.is_output or self.init_value is not None

    @property
    def is_resident(self) -> bool:
        """Whether the tensor stays on a card between launches: never, as that is refused."""
        return False

    def create_tensor(self, seed: int = 0) -> Any:
        """The initial tensor: of torch if `dtype` is, else a NumPy array. Raises as initial_array."""
        array = self.initial_array(seed)
        return as_torch(array) if is_torch(self.dtype) else array

    def initial_array(self, seed: int = 0) -> np.ndarray:
        """The initial array, C-contiguous.

        Raises ValueError if init_value has another shape, TypeError if it is none of the accepted kinds.
        """
        dtype, shape = self.numpy_dtype, tuple(self.shape)
        if self.init_value is None:
            return np.zeros(shape, dtype)
        if isinstance(self.init_value, (bool, int, float)):
            return np.full(shape, self.init_value, dtype)
        value = self._called(seed) if callable(self.init_value) else self.init_value
        if isinstance(value, StackedArray) and value.shape == shape and value.dtype == dtype:
            return value
        if not (is_array(value) or is_torch(value) or isinstance(value, (list, tuple, int, float))):
            raise TypeError(f"TensorSpec {self.name!r}: init_value gives {type(value).__name__}, not a tensor")
        array = np.ascontiguousarray(as_numpy(value).astype(dtype, copy=False))
        if array.shape != shape:
            raise ValueError(f"TensorSpec {self.name!r}: shape is {list(shape)}, init_value has {list(array.shape)}")
        return array

    def _called(self, seed: int) -> Any:
        function: Callable[..., Any] = self.init_value
        name = getattr(function, "__name__", "")
        if name in _TORCH_FACTORIES and _torch_function(function, name):
            return function(list(self.shape), dtype=self.dtype)
        return function(seed=seed) if _takes_seed(function) else function()


def _torch_function(function: object, name: str) -> bool:
    """Whether `function` is torch's own factory, told without importing torch where it cannot be."""
    import sys

    torch = sys.modules.get("torch")
    return torch is not None and getattr(torch, name, None) is function


def _takes_seed(function: Callable[..., Any]) -> bool:
    try:
        return "seed" in inspect.signature(function).parameters
    except (TypeError, ValueError):  # a builtin without a signature
        return False


@dataclass
class ScalarSpec:
    """One scalar argument, in parameter order.

    dtype: int8, int32, int64, uint8, bool, float32, float16 or bfloat16. value: a number, or a 0-d tensor of that
    type; it is kept as a 0-d array of exactly that type.

    Raises ValueError for another dtype, for a value of another kind and for an integer out of range.
    """

    name: str
    dtype: Any
    value: Any

    def __post_init__(self) -> None:
        where = f"ScalarSpec {self.name!r}"
        dtype = numpy_dtype(self.dtype, where)
        if dtype not in _SCALAR_DTYPES:
            raise ValueError(f"{where}: dtype {dtype.name}; expected one of {[d.name for d in _SCALAR_DTYPES]}")
        if is_torch(self.value) or isinstance(self.value, (np.ndarray, np.generic)):
            array = as_numpy(self.value)
            if array.ndim != 0 or array.dtype != dtype:
                raise ValueError(f"{where}: value has shape {array.shape} and type {array.dtype}, not () and {dtype}")
        else:
            _check_number(where, dtype, self.value)
            array = np.asarray(self.value).astype(dtype)
        self.value: np.ndarray = array

    def to_python(self) -> int | float | bool:
        """The value as a Python number, rounded as the type rounds it."""
        number: int | float | bool = self.value.item()
        return number


def _check_number(where: str, dtype: np.dtype, value: object) -> None:
    if dtype == np.bool_:
        kind: tuple[type, ...] = (bool,)
    elif np.issubdtype(dtype, np.integer):
        kind = (int,)
    else:
        kind = (int, float)
    if not isinstance(value, kind) or (isinstance(value, bool) and bool not in kind):
        names = " or ".join(k.__name__ for k in kind)
        raise ValueError(f"{where}: {dtype.name} needs {names}, got {type(value).__name__}")
    if kind == (int,):
        limits = np.iinfo(dtype)
        if not limits.min <= value <= limits.max:  # type: ignore[operator]
            raise ValueError(f"{where}: {value} is outside [{limits.min}, {limits.max}] of {dtype.name}")
