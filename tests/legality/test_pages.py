"""The example of a page of docs/errors breaks its rule at the line with `# bad`; what it says to write is silent."""

from __future__ import annotations

import ast
import functools
import re
import textwrap
from pathlib import Path

import pytest

import pto_sim.language
from pto_sim.frontend.legality import STYLE_CODES, module_problems
from pto_sim.frontend.reach import resolve
from pto_sim.program.errors import PtoError
from tests.legality.rule_case import Rule, load, marked_line, run

PAGES = Path(__file__).parents[2] / "docs" / "errors"
# PTO208 ends a batch of blocks, which then run one by one; no minimal kernel is known that it stops for good.
UNSHOWN = ("PTO100", "PTO208")
CODES = sorted(page.stem for page in PAGES.glob("PTO[123]*.md") if page.stem not in UNSHOWN)


def example(code: str, title: str) -> str:
    """The module of the first code block under a heading: the body of a kernel, or a whole module."""
    text = (PAGES / f"{code}.md").read_text(encoding="utf-8")
    section = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE)
    assert section is not None, f"{code} has no heading {title}"
    block = re.search(r"^    .*(?:\n(?:    .*|(?=\n    ))?)*", section[1], re.MULTILINE)
    assert block is not None, f"{code} shows no kernel under {title}"
    body = textwrap.dedent(block[0]).strip("\n")
    return Rule("", code, body, body).source(body)


def problems(source: str) -> list[tuple[str, int]]:
    found = module_problems(ast.parse(source), functools.partial(resolve, pto_sim.language))
    return [(problem.code, problem.line) for problem in found]


@pytest.mark.parametrize("code", CODES)
def test_the_example_of_a_page_breaks_its_rule(code: str, tmp_path: Path) -> None:
    source = example(code, "Example")
    if code in STYLE_CODES:
        assert problems(source) == [(code, marked_line(source))]
        return
    with pytest.raises(PtoError) as caught:
        module, _ = load(source, tmp_path)
        run(module.kernel)
    error = caught.value
    assert error.code == code, str(error)
    assert error.site is not None and error.site.line == marked_line(source), str(error)
    assert error.values and error.hint


@pytest.mark.parametrize("code", CODES)
def test_what_a_page_says_to_write_instead_is_silent(code: str, tmp_path: Path) -> None:
    source = example(code, "Instead")
    assert problems(source) == []
    module, _ = load(source, tmp_path)
    run(module.kernel)
