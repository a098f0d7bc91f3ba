"""`pto-sim lint` and `pto-sim check`: what they print and how they end."""

from __future__ import annotations


def test_a_clean_script_has_no_problems(cli, write) -> None:
    script = write()
    assert cli("lint", script).exit_code == 0
    done = cli("check", script)
    assert done.exit_code == 0 and "no problems, no findings in 1 kernel runs" in done.stdout


def test_style_is_for_lint(cli, write) -> None:
    misplaced = (
        '    with pl.at(level=pl.Level.CORE_GROUP, name_hint="first"):',
        "    with pl.cluster():\n        pass\n" + "    with pl.at(level=pl.Level.CORE_GROUP):",
    )
    script = write(changes=[misplaced])
    linted = cli("lint", script)
    assert linted.exit_code == 1
    assert f"{script}:10: PTO234 'scratch' is declared before blocks that do not use it" in linted.stdout
    assert "declare it before line 13" in linted.stdout
    checked = cli("check", script)
    assert checked.exit_code == 0 and "no problems" in checked.stdout


def test_check_prints_problems_of_the_source(cli, write) -> None:
    script = write(changes=[('name_hint="first"', 'name_hints="first"')])
    for command in ("lint", "check"):
        done = cli(command, script)
        assert done.exit_code == 1
        assert f"{script}:11: PTO238 pl.at has no keyword 'name_hints'" in done.stdout


def test_check_shows_what_older_compilers_rejected_and_passes(cli, write) -> None:
    rebound = (
        '    with pl.at(level=pl.Level.CORE_GROUP, name_hint="first"):',
        "    with pl.scope():\n        scratch = doubled(scratch)\n" + "    with pl.at(level=pl.Level.CORE_GROUP):",
    )
    inline = (
        "@pl.jit(auto_scope=False)\n",
        "@pl.jit.inline\ndef doubled(t: pl.Tensor):\n    return t\n\n@pl.jit(auto_scope=False)\n",
    )
    script = write(changes=[rebound, inline])
    done = cli("check", script)
    assert "PTO231 'scratch' is rebound inside a scope and read after it" in done.stdout, done.stdout + done.stderr
    assert done.exit_code == 0, done.stdout + done.stderr


def test_check_prints_findings_of_the_run(cli, write) -> None:
    unread = ("pl.mul(scratch[:, :], 1.0)", "pl.add(x[:, :], 1.0)")
    done = cli("check", write(changes=[unread]))
    assert "PTO406 warning" in done.stdout and done.exit_code == 0


def test_check_names_the_rule_that_a_run_rejects(cli, write) -> None:
    done = cli("check", write(changes=[("pl.add(x[:, :], 1.0)", "pl.add(x[:, :], x[0:1, :])")]))
    assert done.exit_code == 1 and "PTO202" in done.stderr
