"""What a build directory says of the kernel it was made for: build.json, which `runtime_dir` reads.

pto-sim compiles nothing, so a build holds no code. Running from it skips the checks before the inputs are made, and
puts the files of the run into it, as upstream's does (pypto-lib: golden/runner.py, _setup_runtime_dir).
"""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pto_sim.golden.specs import ScalarSpec, TensorSpec
from pto_sim.program.errors import InputError
from pto_sim.report.run_directory import BUILD, write_text

_FORMAT = "pto-sim build"


def write(directory: Path, fn: Any, specs: Sequence[TensorSpec | ScalarSpec]) -> None:
    """Leave build.json in `directory`. Raises InputError (PTO033)."""
    write_text(directory / BUILD, json.dumps(_record(fn, specs), indent=2) + "\n")


def check(directory: Path, fn: Any, specs: Sequence[TensorSpec | ScalarSpec]) -> str:
    """A note to print, or nothing, on running `fn` from `directory`.

    Raises InputError (PTO025) if the directory was not made by pto-sim, or for another kernel or other arguments.
    """
    try:
        stored = json.loads((directory / BUILD).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        stored = str(error)
    if not isinstance(stored, dict) or stored.get("format") != _FORMAT:
        raise InputError(
            "PTO025",
            f"{directory} is not a build directory of pto-sim",
            values=f"{BUILD}: {stored}" if isinstance(stored, str) else f"{BUILD} has another content",
            hint="name a directory that compile_only left; what the vendor compiler left holds code for the device",
        )
    now = _record(fn, specs)
    for key in ("kernel", "arguments"):
        if stored.get(key) != now[key]:
            raise InputError(
                "PTO025",
                f"{directory} was made for another {'kernel' if key == 'kernel' else 'set of arguments'}",
                values=f"{BUILD} says {stored.get(key)!r}, the script runs {now[key]!r}",
                hint="compile again (compile_only), and run from that directory",
            )
    if stored.get("source") != now["source"]:
        return "the kernel's source has changed since the build; it runs as it is now"
    return ""


def _record(fn: Any, specs: Sequence[TensorSpec | ScalarSpec]) -> dict[str, Any]:
    arguments = [
        f"{spec.name}: scalar {spec.value.dtype}"
        if isinstance(spec, ScalarSpec)
        else f"{spec.name}: {list(spec.shape)} {spec.numpy_dtype}"
        for spec in specs
    ]
    return {"format": _FORMAT, "kernel": _name(fn), "arguments": arguments, "source": _digest(fn)}


def _name(fn: Any) -> str:
    return str(getattr(fn, "name", getattr(fn, "__name__", fn)))


def _digest(fn: Any) -> str:
    """SHA-256 of the text of the kernel's file; empty where there is none."""
    function = getattr(getattr(fn, "entry", fn), "function", None)
    try:
        path = inspect.getsourcefile(function) if function is not None else None
        return hashlib.sha256(Path(path).read_bytes()).hexdigest() if path else ""
    except OSError:
        return ""
