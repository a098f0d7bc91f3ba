"""name_map_KERNEL.json: the names of kernels by their ids (simpler: docs/dfx/profiling-name-map.md)."""

from __future__ import annotations

import json

from pto_sim.report.dfx.identities import Identities


def file_name(kernel: str) -> str:
    """Where the map of a kernel goes."""
    return f"dfx_outputs/name_map_{kernel}.json"


def name_map_text(numbers: Identities) -> str:
    """The file's text."""
    names = {str(number): name for number, name in enumerate(numbers.kernel_names)}
    return json.dumps({"level": 2, "orchestrator_name": None, "callable_id_to_name": names}, indent=1) + "\n"
