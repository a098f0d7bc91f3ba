"""Who imports whom in the source tree, read from the syntax trees: nothing is executed."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

OURS = ("pto_sim", "ascend_model")
DYNAMIC_IMPORTS = frozenset({"import_module", "__import__"})


@dataclass(frozen=True)
class Import:
    """One import: `path:line` in `unit` names `module`; at_top means it runs when the file is imported."""

    path: Path
    line: int
    unit: str
    module: str
    at_top: bool

    @property
    def target(self) -> str:
        """Unit that is imported; the first name of a module that is not ours."""
        return unit_of(self.module)

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.unit} imports {self.module}"


def unit_of(module: str) -> str:
    """`pto_sim.engine.tile` -> `engine`; `ascend_model.ring` -> `ascend_model`; `numpy.linalg` -> `numpy`."""
    parts = module.split(".")
    return parts[1] if parts[0] == "pto_sim" and len(parts) > 1 else parts[0]


def module_of(path: Path, root: Path) -> str:
    """Dotted name of a file below root."""
    parts = list(path.relative_to(root).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def read_imports(root: Path, packages: tuple[str, ...] = OURS) -> Iterator[Import]:
    """Every import of every file of the packages, at top level or inside a function or TYPE_CHECKING block."""
    for package in packages:
        for path in sorted((root / package).rglob("*.py")):
            yield from imports_of(path, root)


def imports_of(path: Path, root: Path) -> Iterator[Import]:
    """Imports of one file."""
    module = module_of(path, root)
    tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
    inner = {id(node) for scope in ast.walk(tree) if is_deferred(scope) for node in ast.walk(scope)}
    for node in ast.walk(tree):
        for name in names_in(node, module, is_package=path.name == "__init__.py"):
            yield Import(path.relative_to(root), node.lineno, unit_of(module), name, id(node) not in inner)


def is_deferred(node: ast.AST) -> bool:
    """True for code that importing the file does not run."""
    if isinstance(node, ast.If):
        return "TYPE_CHECKING" in ast.unparse(node.test)
    return isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))


def names_in(node: ast.AST, module: str, *, is_package: bool) -> Iterator[str]:
    """Modules that one statement or call imports, by absolute name."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        base = absolute_base(node, module, is_package)
        if base in OURS or (node.level and not node.module):
            yield from (f"{base}.{alias.name}" for alias in node.names)
        else:
            yield base
    elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if called in DYNAMIC_IMPORTS and isinstance(node.args[0].value, str):
            yield node.args[0].value


def absolute_base(node: ast.ImportFrom, module: str, is_package: bool) -> str:
    """Module that `from X import ...` names, relative dots resolved."""
    if not node.level:
        return node.module or ""
    parts = module.split(".")
    keep = len(parts) - node.level + (1 if is_package else 0)
    return ".".join([*parts[:keep], *([node.module] if node.module else [])])
