"""`pypto.runtime.golden_writer`: the golden.py and the data files that pypto's own test harness leaves beside a build.

data/in/NAME.pt holds inputs, data/out/NAME.pt expected outputs, data/actual/NAME.pt what a run gave. golden.py reads
them: it holds no arithmetic, as the expected outputs have been computed by the test itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pto_sim.compat.refusal import refuser
from pto_sim.compat.tensor_spec import ScalarSpec, TensorSpec
from pto_sim.program.errors import InputError, UnsupportedError

__path__: list[str] = []


def write_golden(
    tensor_specs: Sequence[TensorSpec],
    golden_fn: Callable[..., Any],
    output_path: Path,
    rtol: float = 1e-5,
    atol: float = 1e-5,
    scalar_specs: Sequence[ScalarSpec] | None = None,
    data_dir: Path | str | None = None,
) -> Path:
    """Make the data, unless all of it is there, and write golden.py to output_path, which is returned."""
    path = Path(output_path)
    directory = (path.parent / "data" if data_dir is None else Path(data_dir)).resolve()
    if not _data_dir_has_files(directory, tensor_specs):
        tensors = _materialize_tensors(tensor_specs)
        _save_data_files({s.name: tensors[s.name] for s in tensor_specs if s.is_input}, directory / "in")
        golden_fn(tensors, None)
        _save_data_files({s.name: tensors[s.name] for s in tensor_specs if s.is_output}, directory / "out")
    source = generate_golden_source(
        tensor_specs,
        golden_fn,
        rtol,
        atol,
        scalar_specs=scalar_specs,
        data_dir=None if data_dir is None else directory,
        use_data_files=True,
    )
    path.write_text(source, encoding="utf-8")
    return path


def generate_golden_source(
    tensor_specs: Sequence[TensorSpec],
    golden_fn: Callable[..., Any] | None,
    rtol: float,
    atol: float,
    *,
    compute_golden_src: str | None = None,
    scalar_specs: Sequence[ScalarSpec] | None = None,
    data_dir: Path | None = None,
    use_data_files: bool = False,
) -> str:
    """The text of golden.py. Raises UnsupportedError without data files: values are not written into source here."""
    if not use_data_files and data_dir is None:
        raise UnsupportedError("generate_golden_source without data files", hint="pass use_data_files=True")
    place = 'Path(__file__).parent / "data"' if data_dir is None else f"Path({str(data_dir)!r})"
    lines = [
        '"""Written by pto-sim: the arguments of a program; its expected outputs are in data/out."""',
        "",
        *(["import ctypes"] if scalar_specs else []),
        "from pathlib import Path",
        "",
        "import torch",
        "",
        f"_DATA_DIR = {place}",
        f"__outputs__ = {[spec.name for spec in tensor_specs if spec.is_output]!r}",
        f"RTOL = {rtol!r}",
        f"ATOL = {atol!r}",
        "",
        "",
        "def generate_inputs(params):",
        "    return [",
        *(f"        ({spec.name!r}, {_tensor_expression(spec)})," for spec in tensor_specs),
        *(f"        ({spec.name!r}, ctypes.c_{spec.ctype}({spec.value!r}))," for spec in scalar_specs or ()),
        "    ]",
        "",
        "",
        compute_golden_src or _extract_compute_golden(golden_fn),
        "",
    ]
    return "\n".join(lines)


def _tensor_expression(spec: TensorSpec) -> str:
    if spec.is_input:
        return f'torch.load(_DATA_DIR / "in" / "{spec.name}.pt", weights_only=True)'
    return f"torch.zeros({tuple(spec.shape)!r}, dtype={spec.dtype})"


def _extract_compute_golden(golden_fn: Callable[..., Any] | None) -> str:
    """The compute_golden of golden.py: it says where the expected outputs are."""
    name = getattr(golden_fn, "__qualname__", "the golden function")
    says = f"{name} has been called: its results are in data/out"
    return f"def compute_golden(tensors, params):\n    raise NotImplementedError({says!r})"


def _data_dir_has_files(data_dir: Path, tensor_specs: Sequence[TensorSpec]) -> bool:
    """Whether every file of these specs is there."""
    wanted = [data_dir / "in" / f"{spec.name}.pt" for spec in tensor_specs if spec.is_input]
    wanted += [data_dir / "out" / f"{spec.name}.pt" for spec in tensor_specs if spec.is_output]
    return all(path.is_file() for path in wanted)


def _materialize_tensors(tensor_specs: Sequence[TensorSpec]) -> dict[str, Any]:
    """The tensors of the specs by name."""
    return {spec.name: spec.create_tensor() for spec in tensor_specs}


def _save_data_files(data_files: Mapping[str, Any], data_dir: Path) -> None:
    """Write each tensor as data_dir/NAME.pt. Raises InputError (PTO016) if that cannot be."""
    import torch

    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        for name, tensor in data_files.items():
            torch.save(tensor, data_dir / f"{name}.pt")
    except OSError as error:
        raise InputError(
            "PTO016", f"golden data cannot be written to {data_dir}", values=str(error), hint="check space and rights"
        ) from error


__getattr__ = refuser("pypto.runtime.golden_writer", "use write_golden, or golden.run with a golden_fn")
