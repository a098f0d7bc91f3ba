"""The documentation holds: links lead somewhere, examples run, options exist, tables agree with the code."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.project.test_import_arrows import ARROWS, TIER, USES_THE_MODEL

MAX_PAGE_LINES = 100
TABLES = ("operators.md", "upstream_scripts.md", "upstream_tests.md")
"""Pages made from a table: as long as it is."""
LINK = re.compile(r"\[[^\]]+\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"^    (?:\$ )?(?:\.venv/bin/)?pto-sim ([a-z]+)(.*)$", re.MULTILINE)
TIER_ROW = re.compile(r"^\| (\d) \| (.+) \|$", re.MULTILINE)


def documents(root: Path) -> list[Path]:
    return [root / "README.md", root / "CONTRIBUTING.md", root / "CHANGELOG.md", *sorted((root / "docs").rglob("*.md"))]


def pages(root: Path) -> list[Path]:
    """The pages that answer a question; the short page of each error code has a form of its own."""
    return [
        path for path in sorted((root / "docs").rglob("*.md")) if path.parent.name != "errors" or path.stem == "README"
    ]


def examples(root: Path) -> list[tuple[str, str]]:
    """(document, source) of each Python block."""
    return [(path.name, block) for path in documents(root) for block in FENCE.findall(path.read_text(encoding="utf-8"))]


def read_tiers(text: str) -> tuple[dict[str, int], dict[str, set[str]]]:
    """Tier of each package and the arrows within a tier, from the table of the architecture page.

    An arrow chain a → b → c lets a import b and c.
    """
    tiers: dict[str, int] = {}
    arrows: dict[str, set[str]] = {}
    for tier, cell in TIER_ROW.findall(text):
        for chain in re.split(r"[;,]", cell):
            names = re.findall(r"`(\w+)`", chain)
            tiers |= dict.fromkeys(names, int(tier))
            arrows |= {name: set(names[i + 1 :]) for i, name in enumerate(names[:-1])}
    return tiers, arrows


def test_every_relative_link_leads_to_a_file(repository: Path) -> None:
    broken = [
        f"{path.relative_to(repository)}: {target}"
        for path in documents(repository)
        for target in LINK.findall(path.read_text(encoding="utf-8"))
        if not re.match(r"[a-z]+:", target) and not (path.parent / target.split("#")[0]).exists()
    ]
    assert not broken, "\n".join(broken)


def test_the_readme_leads_to_every_page(repository: Path) -> None:
    text = (repository / "README.md").read_text(encoding="utf-8")
    assert [path.name for path in (repository / "docs").glob("*.md") if f"docs/{path.name}" not in text] == []


@pytest.mark.parametrize("rule", ["title", "length", "limits"])
def test_every_page_answers_a_question_and_says_its_limits(repository: Path, rule: str) -> None:
    wrong = []
    for path in pages(repository):
        lines = path.read_text(encoding="utf-8").splitlines()
        headings = [line for line in lines if line.startswith("## ")]
        holds = {
            "title": lines[0].startswith("# ") and lines[0].endswith("?"),
            "length": len(lines) < MAX_PAGE_LINES or path.name in TABLES or path.parent.name == "errors",
            "limits": bool(headings) and headings[-1] == "## Limits",
        }
        if not holds[rule]:
            wrong.append(str(path.relative_to(repository)))
    assert not wrong, "\n".join(wrong)


def test_there_is_an_example(repository: Path) -> None:
    assert any(name == "README.md" for name, _ in examples(repository))


def test_every_example_runs(repository: Path, tmp_path: Path) -> None:
    for number, (document, source) in enumerate(examples(repository)):
        script = tmp_path / f"example_{number}.py"
        script.write_text(source, encoding="utf-8")
        plain = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True)
        assert plain.returncode == 0, f"{document}: {plain.stderr}"
        if "pto_sim.testing" in source or "jit" not in source:
            continue  # it runs kernels many times, or none, and leaves no report of one run
        command = [sys.executable, "-m", "pto_sim.cli", "run", "--out", str(tmp_path / f"run_{number}"), str(script)]
        reported = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert reported.returncode == 0, f"{document}: {reported.stderr}"
        assert "PASSED" in reported.stdout
        written = {path.name for path in (tmp_path / f"run_{number}").rglob("*") if path.is_file()}
        assert {"report.html", "trace.json", "report.json", "scope_stats.jsonl", "program.pto"} == written


def test_every_command_and_option_in_the_documents_exists(repository: Path) -> None:
    used: dict[str, set[str]] = {}
    for path in documents(repository):
        for command, rest in COMMAND.findall(path.read_text(encoding="utf-8")):
            used.setdefault(command, set()).update(re.findall(r"--[a-z-]+", rest.split(".py")[0]))
    assert {"run", "report", "compare", "demo"} <= used.keys()
    for command, options in used.items():
        shown = subprocess.run(
            [sys.executable, "-m", "pto_sim.cli", command, "--help"], capture_output=True, text=True, cwd=repository
        )
        assert shown.returncode == 0, f"there is no command {command}"
        assert {option for option in options if option not in shown.stdout} == set(), command


def test_the_architecture_page_has_the_tiers_that_are_enforced(repository: Path) -> None:
    text = (repository / "docs" / "architecture.md").read_text(encoding="utf-8")
    assert read_tiers(text) == (TIER, ARROWS)
    (users,) = re.findall(r"Only (.+?) import it", text)
    assert set(re.findall(r"`(\w+)`", users)) == USES_THE_MODEL


def test_every_package_of_the_tree_is_described(repository: Path) -> None:
    text = (repository / "docs" / "architecture.md").read_text(encoding="utf-8")
    folders = {path.parent.name for path in (repository / "pto_sim").glob("*/__init__.py")}
    assert {name for name in folders if f"| `{name}` |" not in text} == set()


def test_the_numerics_page_names_every_operator_whose_profiles_differ(repository: Path) -> None:
    from pto_sim.numerics.optable import OP_TABLE

    text = (repository / "docs" / "numerics.md").read_text(encoding="utf-8")
    differing = {name for name, row in OP_TABLE.items() if row.profiles_differ}
    assert {name for name in differing if f"`{name}`" not in text} == set()


def test_the_operator_page_is_that_of_the_table(repository: Path) -> None:
    from pto_sim.cli.operator_page import page_lines

    text = (repository / "docs" / "operators.md").read_text(encoding="utf-8")
    assert text == "\n".join(page_lines()) + "\n", "python -m pto_sim.cli.operator_page > docs/operators.md"


def test_the_language_page_names_every_exported_statement(repository: Path) -> None:
    import pto_sim.language as pl

    text = (repository / "docs" / "language.md").read_text(encoding="utf-8")
    assert {name for name in pl.__all__ if not re.search(rf"\b{name}\b", text)} == set()


def test_deviation_numbers_are_unique_and_ascending(repository: Path) -> None:
    numbers = re.findall(r"^\| D(\d+) \|", (repository / "docs" / "deviations.md").read_text(), re.MULTILINE)
    assert numbers == sorted(set(numbers), key=int)
