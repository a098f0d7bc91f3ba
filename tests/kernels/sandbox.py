"""Kernel modules loaded from a copy of their folder: with other sizes, or with a fault planted in one file."""

from __future__ import annotations

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
    place: Path, *, sizes: Mapping[str, Any] | None = None, fault: tuple[str, str, str] | None = None
) -> Iterator[Path]:
    """A copy of kernels/dsv4 below `place`, first on the import path while the context lasts.

    sizes: names of `config` to set before anything else is imported. fault: (file, old, new); `old` must occur
    exactly once in the file, and `new` must differ from it.
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
    try:
        vars(importlib.import_module("config")).update(sizes or {})
        yield folder
    finally:
        sys.path[:] = path
        for name in names:
            sys.modules.pop(name, None)
        sys.modules.update(outside)


def load(
    place: Path,
    *names: str,
    sizes: Mapping[str, Any] | None = None,
    fault: tuple[str, str, str] | None = None,
) -> tuple[ModuleType, ...]:
    """The modules `names` from one such copy; they import one another, never those of another copy."""
    with kernel_folder(place, sizes=sizes, fault=fault):
        return tuple(importlib.import_module(name) for name in names)
