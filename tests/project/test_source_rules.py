"""Rules of CONTRIBUTING.md that a machine can hold: file size, names, and no trace of one computer."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60
SOURCE_FOLDERS = ("pto_sim", "ascend_model", "kernels", "backends", "benchmarks", "tests")
SHIPPED_FOLDERS = ("pto_sim", "ascend_model", "kernels", "backends", "benchmarks")
EMPTY_NAMES = re.compile(r"(^|_)(utils?|helpers?|common|misc|managers?|stuff)(_|$)")
UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
MACHINE_PATH = re.compile(r"(?<![\w.:/$}])/(home|root|work|Users|opt|mnt|scratch)/\w")


def python_files(root: Path, folders: tuple[str, ...] = SOURCE_FOLDERS) -> Iterator[Path]:
    for folder in folders:
        yield from sorted((root / folder).rglob("*.py"))


def text_files(root: Path) -> Iterator[Path]:
    """Files that git tracks and that hold text."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, check=True).stdout
    for name in listed.decode().split("\0"):
        path = root / name
        if path.is_file() and path.suffix not in {".npz", ".npy", ".png"}:
            yield path


def empty_names(tree: ast.AST) -> list[str]:
    """Names of classes, functions and modules that say nothing."""
    kinds = (ast.ClassDef, ast.FunctionDef)
    return [
        node.name
        for node in ast.walk(tree)
        if isinstance(node, kinds) and re.search(r"(Manager|Helper|Utils?)$", node.name)
    ]


def test_files_hold_one_idea(repository: Path) -> None:
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in python_files(repository)}
    long = [
        f"{path.relative_to(repository)}: {lines} lines" for path, lines in lengths.items() if lines > MAX_FILE_LINES
    ]
    assert not long, "\n".join(long)


def test_functions_fit_a_screen(repository: Path) -> None:
    long = []
    for path in python_files(repository, ("pto_sim", "ascend_model", "backends")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.end_lineno is not None:
                body = node.body[1:] if ast.get_docstring(node) else node.body
                lines = node.end_lineno - body[0].lineno + 1 if body else 0
                if lines > MAX_FUNCTION_LINES:
                    long.append(f"{path.relative_to(repository)}:{node.lineno}: {node.name} has {lines} lines")
    assert not long, "\n".join(long)


def test_names_say_what_is_inside(repository: Path) -> None:
    empty = [str(path.relative_to(repository)) for path in python_files(repository) if EMPTY_NAMES.search(path.stem)]
    for path in python_files(repository, SHIPPED_FOLDERS):
        names = empty_names(ast.parse(path.read_text(encoding="utf-8")))
        empty += [f"{path.relative_to(repository)}: {name}" for name in names]
    assert not empty, "\n".join(empty)


def test_nothing_is_left_unfinished(repository: Path) -> None:
    here = Path(__file__).resolve()
    marks = [
        f"{path.relative_to(repository)}:{number}: {line.strip()}"
        for path in python_files(repository)
        if path.resolve() != here
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if UNFINISHED.search(line)
    ]
    assert not marks, "\n".join(marks)


def test_no_path_of_one_computer(repository: Path) -> None:
    here = Path(__file__).resolve()
    paths = [
        f"{path.relative_to(repository)}:{number}: {line.strip()[:120]}"
        for path in text_files(repository)
        if path.resolve() != here
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if MACHINE_PATH.search(line)
    ]
    assert not paths, "\n".join(paths)


def test_every_package_says_its_job(repository: Path) -> None:
    silent = [
        str(path.relative_to(repository))
        for path in python_files(repository, SHIPPED_FOLDERS)
        if path.name == "__init__.py" and not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert not silent, "\n".join(silent)


@pytest.mark.parametrize("line", ["see /home/ada/kernel.py", "'/root/x'", "open('/work/a')"])
def test_a_machine_path_is_found(line: str) -> None:
    assert MACHINE_PATH.search(line)


@pytest.mark.parametrize("line", ["https://example.org/work/a", "src/work/a", "$HOME/opt/x", "a/root/b", "./home/a"])
def test_other_slashes_are_left_alone(line: str) -> None:
    assert not MACHINE_PATH.search(line)


def test_an_empty_name_is_found() -> None:
    assert EMPTY_NAMES.search("string_utils")
    assert EMPTY_NAMES.search("common")
    assert not EMPTY_NAMES.search("commonness")
    assert empty_names(ast.parse("class TileManager: pass")) == ["TileManager"]
