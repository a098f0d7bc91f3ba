"""A decode step through all layers at flash size, beside its NumPy reference.

All layers' weights are larger than memory, so each layer's are made when the kernel comes to it; the reference goes
along on the same ones, and they go when the layer is over. "run" is values and findings, as with `pto-sim run
--no-timing`, without the reference's steps and the making of the inputs, which stand beside it.
"""

from __future__ import annotations

from benchmarks.single_thread import pin

pin()

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from typing import Any

import numpy as np

from benchmarks.measure import peak_rss_bytes
from pto_sim.backend import select
from pto_sim.program.options import RunOptions

LAYERS = 43


class Clock:
    """Seconds that calls took, together."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def timed(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """The same call, counted."""

        def counted(*args: Any) -> Any:
            start = time.perf_counter()
            try:
                return call(*args)
            finally:
                self.seconds += time.perf_counter() - start

        return counted


def run_one(layers: int) -> dict[str, Any]:
    """All figures of a pass through `layers` layers, in this process."""
    import_module("kernels.dsv4")
    # The kernel and its stacks have as many layers as the script's command line says.
    sys.argv = ["decode_fwd.py", "--layers", str(layers)]
    kernel, script = import_module("decode_fwd").decode_fwd, import_module("decode_fwd_script")
    forward = script.Forward(layers)
    making, reference = Clock(), Clock()

    draw = making.timed(lambda spec, seed: spec.initial_array(seed))

    def timed_inputs(layer: int) -> dict[str, Any]:
        return {
            name: replace(spec, init_value=lambda seed, spec=spec: draw(spec, seed))
            for name, spec in forward.inputs(layer).items()
        }

    forward.stacks = type(forward.stacks)(timed_inputs, reference.timed(forward.step))
    specs = forward.specs([parameter.name for parameter in kernel.parameters])
    start, start_cpu = time.perf_counter(), time.process_time()
    values = {spec.name: spec.initial_array(0) for spec in specs}
    forward.begin(values)
    done = select("sim").run(kernel, list(values.values()), RunOptions(timing=False))
    wall_s, cpu_s = time.perf_counter() - start, time.process_time() - start_cpu
    failed = [
        verdict[1]
        for name, compare in forward.tolerance(specs).items()
        if not (verdict := compare(done.outputs[name], done.outputs[name]))[0]
    ]
    streams = [np.reshape(x, (len(x), -1)) for x in (done.outputs["x_next"], forward.streams)]
    return {
        "layers": layers,
        "run_s": wall_s - making.seconds - reference.seconds,
        "reference_s": reference.seconds,
        "inputs_s": making.seconds,
        "cpu_s": cpu_s,
        "peak_rss_bytes": peak_rss_bytes(),
        "median_relative_error": float(np.median(script.relative_errors(*streams))),
        "failed": failed,
    }


def main(layers: int = LAYERS) -> dict[str, Any]:
    """Run in a process of its own; print and return its figures."""
    command = [sys.executable, "-m", "benchmarks.decode_fwd", "--one", str(layers)]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    if finished.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{finished.stderr}")
    row: dict[str, Any] = json.loads(finished.stdout.splitlines()[-1])
    print(f"decode_fwd, {layers} layers at flash size: outputs {'; '.join(row['failed']) or 'within their tolerances'}")
    ratio = row["run_s"] / row["reference_s"]
    print(
        f"  run {row['run_s']:.0f} s, reference {row['reference_s']:.0f} s, ratio {ratio:.1f}x; "
        f"inputs {row['inputs_s']:.0f} s; all three {row['cpu_s']:.0f} s of processor"
    )
    print(
        f"  peak {row['peak_rss_bytes'] / 2**30:.1f} GiB; median relative error of the streams "
        f"{row['median_relative_error']:.3f}"
    )
    return row


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layers", type=int, default=LAYERS)
    parser.add_argument("--one", type=int, help="run so many layers here and print the figures as JSON")
    args = parser.parse_args()
    if args.one:
        print(json.dumps(run_one(args.one)))
    else:
        main(args.layers)
