"""Every rule of the language: a minimal kernel that breaks it, the line that is named, and a fix that is silent."""

from __future__ import annotations

import ast
import functools
from pathlib import Path

import pytest

import pto_sim.language
from pto_sim.frontend.legality import module_problems
from pto_sim.frontend.reach import resolve
from pto_sim.program.errors import PtoError
from tests.legality.rule_case import Rule, load, marked_line, read_rules, run

RULES = [rule for path in sorted((Path(__file__).parent / "rules").glob("*.txt")) for rule in read_rules(path)]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.phrase)
def test_a_kernel_that_breaks_the_rule_is_rejected_at_its_line(rule: Rule, tmp_path: Path) -> None:
    source = rule.source(rule.bad)
    with pytest.raises(PtoError) as caught:
        module, _ = load(source, tmp_path)
        run(module.kernel, rule.timing)
    error = caught.value
    assert error.code == rule.code, str(error)
    assert error.hint and error.values
    assert error.site is not None and error.site.file.startswith(str(tmp_path))
    assert error.site.line == marked_line(source), str(error)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.phrase)
def test_the_fix_is_silent(rule: Rule, tmp_path: Path) -> None:
    source = rule.source(rule.fix)
    assert list(module_problems(ast.parse(source), functools.partial(resolve, pto_sim.language))) == []
    module, _ = load(source, tmp_path)
    run(module.kernel, rule.timing)


def test_every_rule_has_a_page(repository: Path) -> None:
    assert {rule.code for rule in RULES} <= {page.stem for page in (repository / "docs" / "errors").glob("PTO*.md")}
