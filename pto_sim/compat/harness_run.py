"""Running what pypto's own test harness has prepared: golden.py beside a build, outputs compared with data/out."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from pto_sim.compat.golden_writer import _save_data_files
from pto_sim.compat.run_config import RunConfig, swimlane_level
from pto_sim.program.errors import InputError

_SHOWN = 20


@dataclass(frozen=True)
class DfxOpts:
    """The five diagnostics of the runtime that a harness run asks for."""

    enable_chip_swimlane: int | bool = 0
    enable_dump_args: int = 0
    enable_pmu: int = 0
    enable_dep_gen: bool = False
    enable_scope_stats: bool = False

    def __post_init__(self) -> None:
        level = swimlane_level(self.enable_chip_swimlane, "enable_chip_swimlane")
        object.__setattr__(self, "enable_chip_swimlane", level)

    def any(self) -> bool:
        """Whether one of them is on."""
        return any(vars(self).values())

    @classmethod
    def from_run_config(cls, config: RunConfig) -> DfxOpts:
        """Those of a RunConfig."""
        return cls(**{name: getattr(config, name) for name in cls.__dataclass_fields__})

    def run_config(self, platform: str, device_id: int) -> RunConfig:
        """A RunConfig with these diagnostics."""
        return RunConfig(platform=platform, device_id=device_id, **vars(self))


def execute_on_device(  # the signature is that of pypto's runner
    work_dir: Path,
    golden_path: Path,
    chip_callable: Any,
    runtime_name: str,
    platform: str,
    device_id: int,
    *,
    dfx: DfxOpts | None = None,
    enable_sdma: bool = False,
    validate: bool = True,
    actual_out_dir: Path | None = None,
) -> None:
    """Run a program on the inputs that golden.py gives and compare the outputs.

    Raises AssertionError for outputs that differ, InputError (PTO017) for a golden.py or data that cannot be read, and
    whatever the run raises.
    """
    module = _golden_module(Path(golden_path))
    arguments = list(module.generate_inputs({}))
    chip_callable(*(value for _, value in arguments), config=(dfx or DfxOpts()).run_config(platform, device_id))
    outputs = {name: value for name, value in arguments if name in module.__outputs__}
    if actual_out_dir is not None:
        _save_data_files(outputs, Path(actual_out_dir))
    if validate:
        compare_with_golden(outputs, _stored(Path(work_dir) / "data" / "out", outputs), module.RTOL, module.ATOL)


def validate_persisted_outputs(work_dir: Path, rtol: float, atol: float) -> None:
    """Compare data/actual with data/out below work_dir. Raises AssertionError, or InputError (PTO017)."""
    module = _golden_module(Path(work_dir) / "golden.py")
    names = dict.fromkeys(module.__outputs__)
    data = Path(work_dir) / "data"
    compare_with_golden(_stored(data / "actual", names), _stored(data / "out", names), rtol, atol)


def compare_with_golden(
    outputs: Mapping[str, Any], golden: Mapping[str, Any], rtol: float = 1e-5, atol: float = 1e-5
) -> None:
    """Compare torch tensors as torch.isclose does; where the golden is NaN any value passes.

    Raises AssertionError with the first values that differ. Rule: pypto, runtime/device_runner.py, validate_golden.
    """
    import torch

    for name, actual in outputs.items():
        expected = golden[name]
        passes = torch.isclose(actual, expected, rtol=rtol, atol=atol) | torch.isnan(expected)
        if bool(passes.all()):
            continue
        places = torch.where(~passes.flatten())[0]
        lines = [
            f"    [{place}] actual={actual.flatten()[place].item()}, expected={expected.flatten()[place].item()}"
            for place in places[:_SHOWN].tolist()
        ]
        raise AssertionError(
            "\n".join(
                [
                    f"Output '{name}' does not match golden.",
                    f"Mismatched elements: {places.numel()}/{actual.numel()}  rtol={rtol}, atol={atol}",
                    f"First {len(lines)} mismatches:",
                    *lines,
                ]
            )
        )


def _golden_module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("_golden", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise InputError("PTO017", f"{path} cannot be read", hint="write it with golden_writer.write_golden")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _stored(directory: Path, names: Mapping[str, Any]) -> dict[str, Any]:
    import torch

    missing = [str(directory / f"{name}.pt") for name in names if not (directory / f"{name}.pt").is_file()]
    if missing:
        raise InputError("PTO017", f"{', '.join(missing)} is missing", hint="run the test again, it makes the data")
    return {name: torch.load(directory / f"{name}.pt", weights_only=True) for name in names}
