"""Outputs of the entry that were not, or not completely, written (PTO401, PTO402)."""

from __future__ import annotations

import numpy as np

from pto_sim.checks.catalogue import OUTPUT_NEVER_WRITTEN, OUTPUT_PARTLY_WRITTEN
from pto_sim.checks.check import Check, site_text
from pto_sim.program.events import RunEnd
from pto_sim.program.findings import Finding
from pto_sim.program.model import TensorInfo


class OutputCoverage(Check):
    """Compares what was written with the declared `pl.Out` parameters; an InOut parameter keeps its old values."""

    def __init__(self) -> None:
        self._findings: list[Finding] = []

    def on_run_end(self, end: RunEnd) -> None:
        """See `Observer`."""
        for tensor in end.program.tensors:
            written = end.written.get(tensor.name)
            if tensor.origin == "entry" and tensor.direction == "out" and written is not None:
                self._judge(tensor, written, site_text(end.program, tensor.site))

    def _judge(self, tensor: TensorInfo, written: np.ndarray, site: str) -> None:
        count = int(np.count_nonzero(written))
        if count == written.size:
            return
        first = [int(i) for i in np.unravel_index(int(written.argmin()), written.shape)]
        kind = OUTPUT_PARTLY_WRITTEN if count else OUTPUT_NEVER_WRITTEN
        message = f"{tensor.name}: {count} of {written.size} elements written"
        self._findings.append(kind.at(site, f"{message}, the first unwritten is {first}" if count else message))

    def findings(self) -> list[Finding]:
        """See `Check`."""
        return self._findings
