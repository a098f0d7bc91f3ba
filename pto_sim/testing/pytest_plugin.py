"""The pytest plugin: a fixture that runs a kernel, a marker that fails a test on findings, readable comparisons.

It is loaded by pytest wherever pto-sim is installed; `-p no:pto_sim` turns it off.

    @pytest.mark.pto_findings("warning")
    def test_my_kernel(pto_run):
        done = pto_run(my_kernel, [x, out])
        assert done.outputs["out"] == golden(expected)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pto_sim.backend import BackendRun

MARKER = "pto_findings"
_ARGUMENTS = "severity='warning', ignore=()"


def pytest_configure(config: pytest.Config) -> None:
    """Registers the marker."""
    config.addinivalue_line(
        "markers",
        f"{MARKER}({_ARGUMENTS}): fail the test if a kernel that it runs with pto_run has a finding of this severity "
        "or higher, except the codes in ignore",
    )


@pytest.fixture
def pto_run(request: pytest.FixtureRequest) -> Iterator[Callable[..., BackendRun]]:
    """A function `pto_run(kernel, args, **options)` that runs a kernel in the simulator; see `pto_sim.testing.run`."""
    from pto_sim.testing.run_invariants import no_findings
    from pto_sim.testing.runs import run

    runs: list[BackendRun] = []

    def run_and_keep(kernel: object, args: Sequence[object], **options: Any) -> BackendRun:
        runs.append(run(kernel, args, **options))
        return runs[-1]

    yield run_and_keep
    marker = request.node.get_closest_marker(MARKER)
    if marker is None:
        return
    severity, ignore = _limits(*marker.args, **marker.kwargs)
    for done in runs:
        verdict = no_findings(done, severity=severity, ignore=ignore)
        if not verdict:
            pytest.fail(f"{done.kernel}: {verdict.reason}", pytrace=False)


def _limits(severity: str = "warning", ignore: Sequence[str] = ()) -> tuple[str, Sequence[str]]:
    return severity, ignore


def pytest_assertrepr_compare(op: str, left: object, right: object) -> list[str] | None:
    """What differs, for `assert array == golden(...)`."""
    from pto_sim.testing.golden_value import Golden

    if op != "==":
        return None
    if isinstance(right, Golden):
        return [f"output == {right!r}", right.compare(left).reason]
    if isinstance(left, Golden):
        return [f"{left!r} == output", left.compare(right).reason]
    return None
