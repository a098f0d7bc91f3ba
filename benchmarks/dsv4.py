"""Every DeepSeek-V4 kernel of one card at flash size, beside its NumPy reference on the same inputs.

Each kernel runs in a process of its own, so that its peak memory is its own, with BLAS on one thread. "whole run" is
what `pto-sim run` does: values, lowering, heap readings, simulated time and findings; "execute" stops at values and the
recorded Program. Memory is the peak of inputs, one run and one reference, as in a script, without what a process takes
that has run a kernel of 2 MiB; it is compared with what cannot be spared, the arguments and the rings' high water.
"""

from __future__ import annotations

from benchmarks.single_thread import pin

pin()

import argparse
import json
import subprocess
import sys
from importlib import import_module
from typing import Any

import numpy as np

from benchmarks.measure import measure, peak_rss_bytes
from pto_sim.backend import select
from pto_sim.engine import run_kernel
from pto_sim.program.forks import forkable, private_copy
from pto_sim.program.options import RunOptions

MIB = 2**20
RINGS = (1024 * MIB,) * 4
SMALLEST = "rms_norm"


def names() -> list[str]:
    """The kernels, in the order of their listing."""
    import_module("kernels.dsv4")
    return [name for name in import_module("entries").CASES if name != "decode_fwd"]


def heap_bytes(heap: dict[str, Any]) -> int:
    """High waters of all rings together, in the reading without early frees."""
    return sum(high_water for _, high_water in heap["max_lag"].rings.values())


def run_one(name: str) -> dict[str, float]:
    """All figures of one kernel. The peak is that of one run and one reference, as in a script."""
    import_module("kernels.dsv4")
    case = import_module("entries").case(name)
    outputs = {spec.name for spec in case.specs if getattr(spec, "is_output", False)}
    values: dict[str, Any] = {}
    for spec in case.specs:
        made = spec.initial_array(0) if hasattr(spec, "shape") else spec.to_python()
        values[spec.name] = forkable(made) if spec.name in outputs else made
    arguments = list(values.values())
    options = RunOptions(ring_heap_bytes=RINGS)
    sim = select("sim")

    def reference() -> None:
        case.golden(values | {output: private_copy(values[output]) for output in outputs})

    reference()
    sim.run(case.kernel, arguments, options)
    rss = peak_rss_bytes()
    whole = measure(lambda: sim.run(case.kernel, arguments, options), 1)
    executed = measure(lambda: run_kernel(case.kernel, arguments, options, ()).program.name, 1)
    golden = measure(reference, 1)
    nbytes = sum(value.nbytes for value in arguments if isinstance(value, np.ndarray))
    return {
        "whole_run_s": whole.best_s,
        "execute_s": executed.best_s,
        "reference_s": golden.best_s,
        "peak_rss_bytes": rss,
        "arguments_bytes": nbytes,
        "heap_bytes": heap_bytes(whole.result.heap),
    }


def run(chosen: list[str] | None = None) -> dict[str, dict[str, float]]:
    """Figures of the kernels, each from a process of its own, printed as they come."""
    print("DeepSeek-V4 kernels at flash size; seconds (second call), one BLAS thread; memory in MiB")
    titles = ("whole run", "execute", "reference", "whole/ref", "exec/ref", "peak", "least", "ratio")
    print(f"  {'':28s}" + "".join(f"{title:>11s}" for title in titles))
    small = in_a_process(SMALLEST)
    interpreter_bytes = small["peak_rss_bytes"] - least_bytes(small)
    figures = {}
    for name in chosen or names():
        figures[name] = row = in_a_process(name)
        row["peak_rss_bytes"] -= interpreter_bytes
        print_row(name, row)
    print(f"  a process that has run {SMALLEST} takes {interpreter_bytes / MIB:.0f} MiB, which the peaks are without")
    return figures


def in_a_process(name: str) -> dict[str, float]:
    """`run_one` in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.dsv4", "--one", name]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    if finished.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{finished.stderr}")
    row: dict[str, float] = json.loads(finished.stdout.splitlines()[-1])
    return row


def least_bytes(row: dict[str, float]) -> float:
    """What a run cannot do without."""
    return row["arguments_bytes"] + row["heap_bytes"]


def print_row(name: str, row: dict[str, float]) -> None:
    """One line of the table."""
    least = least_bytes(row)
    cells = (
        f"{row['whole_run_s']:11.2f}{row['execute_s']:11.2f}{row['reference_s']:11.2f}"
        f"{row['whole_run_s'] / row['reference_s']:10.1f}x{row['execute_s'] / row['reference_s']:10.1f}x"
        f"{row['peak_rss_bytes'] / MIB:11.0f}{least / MIB:11.0f}{row['peak_rss_bytes'] / least:10.1f}x"
    )
    print(f"  {name:28s}{cells}", flush=True)


def main() -> dict[str, dict[str, float]]:
    """Print and return the figures of all kernels."""
    return run()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="kernels to run, default all")
    parser.add_argument("--one", help="run this kernel here and print its figures as JSON")
    args = parser.parse_args()
    if args.one:
        print(json.dumps(run_one(args.one)))
    else:
        run(args.names)
