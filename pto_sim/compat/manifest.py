"""What stands in the directory of a compiled program: a record of what will run, as there is no generated code.

The names of files and keys are those that pypto's own tools look for: kernel_config.py with a func_id for each task
function, orchestration/NAME.cpp, kernels/. Each file says in its first line that it is a record.
"""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

from pto_sim.frontend.kernel import KernelFunction
from pto_sim.program.errors import InputError

RUNTIME_NAME = "tensormap_and_ringbuffer"
_SAYS = "pto-sim generates no code: it runs the Python functions named here"


def write_manifest(directory: Path, entry: KernelFunction, functions: list[KernelFunction], platform: str) -> None:
    """Write the record of a program into `directory`. Raises InputError (PTO033) if that cannot be."""
    names = _task_names(entry, functions)
    config = [
        f"# {_SAYS}.",
        f"RUNTIME_CONFIG = {json.dumps({'runtime': RUNTIME_NAME, 'platform': platform})}",
        f"ORCHESTRATION = {json.dumps({'function_name': entry.name, 'source': _place(entry)})}",
        "KERNELS = [",
        *(
            f"    {json.dumps({'func_id': number, 'name': name, 'source': place})},"
            for number, (name, place) in enumerate(names)
        ),
        "]",
        "",
    ]
    files = {
        directory / "kernel_config.py": "\n".join(config),
        directory / "orchestration" / f"{entry.name}.cpp": f"// {_SAYS}.\n// {entry.name}: {_place(entry)}\n",
    }
    try:
        (directory / "kernels").mkdir(parents=True, exist_ok=True)
        for path, text in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(
            "PTO033", f"cannot write into {directory}", values=str(error), hint="name another output directory"
        ) from error


def _place(kernel: KernelFunction) -> str:
    return f"{kernel.site.file}:{kernel.site.line}"


def _task_names(entry: KernelFunction, functions: list[KernelFunction]) -> list[tuple[str, str]]:
    """Name and place of each task function and of each `name_hint=` in the source; the entry if there is none."""
    found = {kernel.name: _place(kernel) for kernel in functions if kernel is not entry and kernel.name != entry.name}
    for kernel in (entry, *functions):
        for node in ast.walk(kernel.tree):
            hint = _name_hint(node)
            if hint:
                found.setdefault(hint, f"{kernel.site.file}:{getattr(node, 'lineno', kernel.site.line)}")
    return list(found.items()) or [(entry.name, _place(entry))]


def _name_hint(node: Any) -> str:
    if not isinstance(node, ast.Call):
        return ""
    values = [keyword.value for keyword in node.keywords if keyword.arg == "name_hint"]
    return str(values[0].value) if values and isinstance(values[0], ast.Constant) else ""
