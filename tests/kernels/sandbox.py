"""Kernel modules loaded from a copy of their folder: with other sizes, or with a fault planted in one file."""

from __future__ import annotations

import ast
import importlib
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from kernels.dsv4 import config

FOLDER = Path(config.__file__).parent
COMPILED = {"fp4_grid"}  # modules that know no size and compile for a second: loaded once


@contextmanager
def kernel_folder(
    place: Path,
    *,
    sizes: Mapping[str, Any] | None = None,
    fault: tuple[str, str, str] | None = None,
    kept: Mapping[str, ModuleType] | None = None,
) -> Iterator[Path]:
    """A copy of kernels/dsv4 below `place`, first on the import path while the context lasts.

    sizes: names of `config` to set before anything else is imported. fault: (file, old, new); `old` must occur
    exactly once in the file, and `new` must differ from it. kept: modules of an earlier copy with the same sizes by
    name, which are used again unless they are the faulty file or import it.
    """
    folder = place / "dsv4"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(FOLDER, folder, ignore=shutil.ignore_patterns("__pycache__"))
    if fault is not None:
        file, old, new = fault
        source = (folder / file).read_text()
        assert source.count(old) == 1, f"{old!r} occurs {source.count(old)} times in {file}"
        assert new != old, f"the fault leaves {old!r} in {file} as it is"
        (folder / file).write_text(source.replace(old, new))
    names = {path.stem for path in folder.glob("*.py")} - COMPILED
    outside = {name: sys.modules.pop(name) for name in names if name in sys.modules}
    path = list(sys.path)
    sys.path[:] = [str(folder), *(entry for entry in path if entry != str(FOLDER))]
    importlib.invalidate_caches()
    stale = {} if fault is None else importers(folder, Path(fault[0]).stem)
    sys.modules.update({name: module for name, module in (kept or {}).items() if name not in stale})
    try:
        vars(importlib.import_module("config")).update(sizes or {})
        yield folder
    finally:
        sys.path[:] = path
        for name in names:
            sys.modules.pop(name, None)
        sys.modules.update(outside)


def importers(folder: Path, name: str) -> set[str]:
    """`name` and all modules of the folder that import it, directly or not."""
    imported = {
        path.stem: {node.module for node in ast.parse(path.read_text()).body if isinstance(node, ast.ImportFrom)}
        for path in folder.glob("*.py")
    }
    found, more = set(), {name}
    while more:
        found |= more
        more = {module for module, names in imported.items() if names & found} - found
    return found


def load(
    place: Path,
    *names: str,
    sizes: Mapping[str, Any] | None = None,
    fault: tuple[str, str, str] | None = None,
    kept: Mapping[str, ModuleType] | None = None,
) -> tuple[ModuleType, ...]:
    """The modules `names` from one such copy; they import one another, never those of another copy but the `kept`."""
    with kernel_folder(place, sizes=sizes, fault=fault, kept=kept):
        return tuple(importlib.import_module(name) for name in names)


def load_all(place: Path, *names: str, sizes: Mapping[str, Any] | None = None) -> dict[str, ModuleType]:
    """The modules `names` from one such copy and all of the copy that they import, by name."""
    with kernel_folder(place, sizes=sizes) as folder:
        for name in names:
            importlib.import_module(name)
        return {path.stem: sys.modules[path.stem] for path in folder.glob("*.py") if path.stem in sys.modules}
