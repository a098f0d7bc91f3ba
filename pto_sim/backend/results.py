"""From a finished run to its report and its files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pto_sim.backend.session import SessionResult
from pto_sim.program.options import RunOptions
from pto_sim.program.ring_environment import with_ring_sizes
from pto_sim.report.build import build_report
from pto_sim.report.dfx.files import DfxRequest
from pto_sim.report.model import RunReport
from pto_sim.report.products import products_of
from pto_sim.report.run_directory import Artifacts

if TYPE_CHECKING:
    from pto_sim.program.findings import Finding


def report_of(result: SessionResult, options: RunOptions) -> RunReport:
    """The report of one finished run, as `--json` writes it. `options` are the caller's; those of the run go first."""
    run = result.run
    options = run.options or options
    failing = failing_findings(run.findings, options.fail_on)
    failed = f"finding {failing[0].code} at {failing[0].site}: {failing[0].message}" if failing else None
    return build_report(
        kernel=run.kernel,
        backend=options.backend,
        numerics=options.numerics,
        variant=run.program.variant if run.program is not None else options.scopes,
        pipe_slots=options.pipe_slots,
        passed=result.passed and not failing,
        compared=result.compared,
        error=result.error or failed,
        fault=run.fault,
        outputs=run.outputs,
        written=run.written,
        heap=run.heap,
        timeline=run.timeline,
        findings=run.findings,
        products=products_of(run.program) if run.program is not None else (),
        wall_s=run.host_wall_s,
    )


def failing_findings(findings: Sequence[Finding], fail_on: tuple[str, ...] | None) -> list[Finding]:
    """The findings that fail a run: those with a code in `fail_on`, or of severity error if it is None."""
    if fail_on is None:
        return [finding for finding in findings if finding.severity == "error"]
    return [finding for finding in findings if finding.code in fail_on]


def artifacts_of(result: SessionResult, report: RunReport, options: RunOptions) -> Artifacts:
    """What goes into the run directory. `options` are the caller's; those of the run go first."""
    run, options = result.run, with_ring_sizes(result.run.options or options)
    return Artifacts(
        report=report,
        program=run.program,
        timeline=run.timeline,
        scope_samples=run.scope_reading(),
        capacities_bytes=options.ring_heap_bytes,
        task_windows=options.ring_task_window,
        dep_pools=options.ring_dep_pool,
        lowered=run.lowered,
        dfx=None if run.fault is not None else DfxRequest.of(dict(options.runtime_cfg)),
        dump=run.dump,
    )
