"""`pto-sim lint` and `pto-sim check`: what they print and how they end."""

from __future__ import annotations


def test_a_clean_script_has_no_problems(cli, write) -> None:
    script = write()
    assert cli("lint", script).exit_code == 0
    done = cli("check", script)
    assert done.exit_code == 0 and "no problems, no findings in 1 kernel runs" in done.stdout


def test_check_prints_problems_of_the_source(cli, write) -> None:
    misplaced = (
        '    with pl.at(level=pl.Level.CORE_GROUP, name_hint="first"):',
        "    with pl.cluster():\n        pass\n" + "    with pl.at(level=pl.Level.CORE_GROUP):",
    )
    script = write(changes=[misplaced])
    for command in ("lint", "check"):
        done = cli(command, script)
        assert done.exit_code == 1
        assert f"{script}:10: PTO234 'scratch' is declared before blocks that do not use it" in done.stdout
        assert "declare it before line 13" in done.stdout


def test_check_prints_findings_of_the_run(cli, write) -> None:
    unread = ("pl.mul(scratch[:, :], 1.0)", "pl.add(x[:, :], 1.0)")
    done = cli("check", write(changes=[unread]))
    assert "PTO406 warning" in done.stdout and done.exit_code == 0


def test_check_names_the_rule_that_a_run_rejects(cli, write) -> None:
    done = cli("check", write(changes=[("pl.add(x[:, :], 1.0)", "pl.add(x[:, :], x[0:1, :])")]))
    assert done.exit_code == 1 and "PTO202" in done.stderr
