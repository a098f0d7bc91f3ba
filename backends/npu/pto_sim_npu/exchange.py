"""The author's modules once more, with `pto_sim.language` exchanged for `pypto.language`."""

from __future__ import annotations

import ast
import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, ModuleType

OURS, THEIRS = "pto_sim.language", "pypto.language"


class _Exchange(ast.NodeTransformer):
    """Rewrites the imports of one module. Line numbers stay: pypto reads the functions from the same file."""

    def visit_Import(self, node: ast.Import) -> ast.AST:
        for alias in node.names:
            alias.name = _theirs(alias.name)
        return node

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST:
        if node.level == 0 and node.module == "pto_sim":
            kept = [alias for alias in node.names if alias.name != "language"]
            moved = [alias for alias in node.names if alias.name == "language"]
            parts = [ast.ImportFrom("pto_sim", kept, 0)] if kept else []
            parts += [ast.ImportFrom("pypto", moved, 0)] if moved else []
            return [ast.copy_location(part, node) for part in parts]  # type: ignore[return-value]
        if node.level == 0 and node.module is not None:
            node.module = _theirs(node.module)
        return node


def _theirs(module: str) -> str:
    return THEIRS + module[len(OURS) :] if module == OURS or module.startswith(OURS + ".") else module


def exchanged_code(source: bytes, file: str) -> CodeType:
    """The compiled module with its imports exchanged."""
    return compile(_Exchange().visit(ast.parse(source, file)), file, "exec", dont_inherit=True)


class _Loader(importlib.abc.Loader):
    def __init__(self, file: str) -> None:
        self._file = file

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        exec(exchanged_code(Path(self._file).read_bytes(), self._file), module.__dict__)


class _Finder(importlib.abc.MetaPathFinder):
    """Finds what the path finder finds, and exchanges the imports of files that import our language."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name.partition(".")[0] in ("pto_sim", "pypto"):
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
            return None
        if b"pto_sim" not in Path(spec.origin).read_bytes():
            return None
        spec.loader = _Loader(spec.origin)
        return spec


def _uses_our_language(module: ModuleType) -> bool:
    name = getattr(module, "__name__", "") or ""
    if name.partition(".")[0] in ("pto_sim", "pto_sim_npu"):
        return False
    return any(isinstance(value, ModuleType) and value.__name__.startswith(OURS) for value in vars(module).values())


@contextmanager
def _author_modules_apart() -> Iterator[None]:
    """Import the author's modules afresh for the duration of a `with` block; ours come back at its end."""
    before = dict(sys.modules)
    for name, module in before.items():
        if name != "__main__" and isinstance(module, ModuleType) and _uses_our_language(module):
            del sys.modules[name]
    finder = _Finder()
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        for name in [name for name, module in sys.modules.items() if isinstance(_loader(module), _Loader)]:
            del sys.modules[name]
        sys.modules.update({name: module for name, module in before.items() if name not in sys.modules})


def _loader(module: object) -> object:
    return getattr(getattr(module, "__spec__", None), "loader", None)


def exchanged_module(file: str) -> ModuleType:
    """Execute `file` with its imports exchanged, under a name of its own, so that a `__main__` block stays quiet."""
    name = f"pto_sim_npu_of_{Path(file).stem}"
    spec = importlib.util.spec_from_loader(name, _Loader(file), origin=file)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    module.__file__ = file
    folder = str(Path(file).resolve().parent)
    with _author_modules_apart():
        sys.path.insert(0, folder)
        sys.modules[name] = module  # inspect.getsource asks for it
        try:
            assert spec.loader is not None
            spec.loader.exec_module(module)
        finally:
            sys.path.remove(folder)
    return module
