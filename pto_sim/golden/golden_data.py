"""Inputs and expected outputs on disk: DIR/in/NAME.npy and DIR/out/NAME.npy, or NAME.pt as upstream's harness has them.

BF16 has no .npy type: it is stored as its 16-bit patterns (uint16) and read back by the type of its spec. A .pt file
is read without torch, and nothing that it names is run (`torch_file`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from pto_sim.golden.specs import ScalarSpec, TensorSpec
from pto_sim.golden.tensors import BF16, as_torch, numpy_dtype
from pto_sim.golden.torch_file import NotATensorFileError, read_tensor
from pto_sim.program.errors import InputError

Spec = TensorSpec | ScalarSpec


def save(directory: Path, arrays: Mapping[str, np.ndarray], in_torch: bool = False) -> None:
    """Write each array as directory/NAME.npy; in_torch: as NAME.pt, which upstream's harness reads too.

    Raises InputError (PTO016) if that fails.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for name, array in arrays.items():
            if in_torch:
                import torch

                torch.save(as_torch(array).clone(), directory / f"{name}.pt")
            else:
                np.save(directory / f"{name}.npy", array.view(np.uint16) if array.dtype == BF16 else array)
    except OSError as error:
        raise InputError(
            "PTO016", f"golden data cannot be written to {directory}", values=str(error), hint="check space and rights"
        ) from error


def load_inputs(directory: Path, specs: Sequence[Spec]) -> dict[str, np.ndarray]:
    """The value of every spec that is an input. Raises ValueError if files are missing, else as `load_array`."""
    return _load(directory / "in", [s for s in specs if isinstance(s, ScalarSpec) or s.is_input])


def load_outputs(directory: Path, specs: Sequence[Spec]) -> dict[str, np.ndarray]:
    """The expected value of every output. Raises ValueError if files are missing, else as `load_array`."""
    return _load(directory / "out", [s for s in specs if isinstance(s, TensorSpec) and s.is_output])


def check_complete(directory: Path, specs: Sequence[Spec]) -> None:
    """Raises ValueError that lists every file that a run on these specs needs and that is not there."""
    missing = []
    for spec in specs:
        folders = []
        if isinstance(spec, ScalarSpec) or spec.is_input:
            folders.append("in")
        if isinstance(spec, TensorSpec) and spec.is_output:
            folders.append("out")
        missing += [str(directory / f / f"{spec.name}.npy") for f in folders if _file(directory / f, spec.name) is None]
    if missing:
        raise ValueError(f"golden_data is missing files: {', '.join(missing)}")


def _file(folder: Path, name: str) -> Path | None:
    candidates = (folder / f"{name}.npy", folder / f"{name}.pt")
    return next((path for path in candidates if path.is_file()), None)


def _load(folder: Path, specs: Sequence[Spec]) -> dict[str, np.ndarray]:
    result = {}
    for spec in specs:
        path = _file(folder, spec.name)
        if path is None:
            raise ValueError(f"golden_data is missing files: {folder / spec.name}.npy")
        if isinstance(spec, ScalarSpec):
            result[spec.name] = load_array(path, numpy_dtype(spec.dtype, spec.name), ())
        else:
            result[spec.name] = load_array(path, spec.numpy_dtype, tuple(spec.shape))
    return result


def load_array(path: Path, dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
    """The array in a .npy or .pt file.

    Raises InputError: PTO017 if the file is damaged or holds another type or shape, PTO024 for a .pt file whose pickle
    would call something.
    """
    array = _read_torch(path) if path.suffix == ".pt" else _read_numpy(path)
    if dtype == BF16 and array.dtype == np.uint16:
        array = array.view(BF16)
    if array.dtype != dtype or array.shape != shape:
        raise InputError(
            "PTO017",
            f"{path} does not fit its spec",
            values=f"file: {array.dtype} {list(array.shape)}, spec: {dtype} {list(shape)}",
            hint="save the golden data again, or use the specs it was saved with",
        )
    return array


def _read_numpy(path: Path) -> np.ndarray:
    try:
        array: np.ndarray = np.load(path, allow_pickle=False)
        return array
    except (OSError, ValueError, EOFError) as error:
        raise _damaged(path, error) from error


def _read_torch(path: Path) -> np.ndarray:
    try:
        return read_tensor(path)
    except (OSError, NotATensorFileError) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> InputError:
    return InputError("PTO017", f"{path} cannot be read", values=str(error), hint="save the golden data again")
