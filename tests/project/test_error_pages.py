"""Every error and finding code has a page, and every page has a code."""

import ast
from pathlib import Path

import pytest

PACKAGES = ("pto_sim", "backends/npu/pto_sim_npu")


def codes(repository: Path) -> set[str]:
    """Codes that are the first argument of a call in the source."""
    found = set()
    for package in PACKAGES:
        for path in (repository / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                arguments = [*node.args[:1], *(k.value for k in node.keywords)] if isinstance(node, ast.Call) else []
                for value in arguments:
                    if isinstance(value, ast.Constant) and isinstance(value.value, str):
                        text = value.value
                        if text.startswith("PTO") and text[3:].isdigit():
                            found.add(text)
    return found


def pages(repository: Path) -> dict[str, Path]:
    return {p.stem: p for folder in ("errors", "findings") for p in (repository / "docs" / folder).glob("PTO*.md")}


def test_every_code_has_a_page(repository: Path) -> None:
    assert codes(repository) - set(pages(repository)) == set()


def test_every_page_has_a_code(repository: Path) -> None:
    runtime = {f"PTO9{code:02d}" for code in (1, 2, 3, 4, 5, 7, 8, 11)} | {"PTO100"}
    assert set(pages(repository)) - codes(repository) == runtime


def test_every_title_names_its_code(repository: Path) -> None:
    for code, path in pages(repository).items():
        title = path.read_text(encoding="utf-8").splitlines()[0]
        assert title.startswith("# ") and code in title, path


@pytest.mark.parametrize("folder", ["errors"])
def test_the_index_lists_every_page(repository: Path, folder: str) -> None:
    index = (repository / "docs" / folder / "README.md").read_text(encoding="utf-8")
    assert all(f"[{code}]" in index for code in pages(repository))
