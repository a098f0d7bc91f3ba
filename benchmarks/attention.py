"""The qk_pv stage by every program, in one run on one thread, with the results compared to each other.

128 tokens, 64 heads in tiles of 32, two blocks of 128 keys, width 512, BF16 in, FP32 out.
"""

from __future__ import annotations

from benchmarks.single_thread import blas_threads, pin

pin()

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec

from benchmarks import blas_attention, qk_pv_kernel
from benchmarks.measure import Measured, measure
from benchmarks.qk_pv_case import Case, Partial, largest_difference, make_case

AGREE = 2.0**-8
"""BF16 keeps eight bits; Triton's interpreter truncates where the others round to nearest."""


def peer_programs() -> dict[str, tuple[Callable[[Case], Partial], int]]:
    """Peers whose packages are installed: name -> (program, repeats)."""
    peers: dict[str, tuple[Callable[[Case], Partial], int]] = {}
    if find_spec("triton") and find_spec("torch"):
        peers["Triton interpreter"] = (import_module("benchmarks.triton_attention").qk_pv, 3)
    if find_spec("jax"):
        pallas = import_module("benchmarks.pallas_attention")
        peers["Pallas TPU interpreter"] = (pallas.qk_pv, 3)
        peers["Pallas, race detection"] = (lambda case: pallas.qk_pv(case, detect_races=True), 1)
    return peers


def run() -> dict[str, Measured[Partial]]:
    """Measurements by program. Raises AssertionError if a program computes something else."""
    case = make_case(qk_pv_kernel.TOKENS, qk_pv_kernel.BLOCKS)
    programs = {"BLAS program": (blas_attention.qk_pv, 9), "pto-sim": (qk_pv_kernel.qk_pv, 9)} | peer_programs()
    measured = {name: measure(lambda call=call: call(case), repeats) for name, (call, repeats) in programs.items()}
    for name, row in measured.items():
        difference = largest_difference(row.result, measured["BLAS program"].result)
        assert difference < AGREE, f"{name} differs from the BLAS program by {difference:.2g}"
    return measured


def main() -> dict[str, dict[str, float]]:
    """Print the table; return the figures by program."""
    measured = run()
    baseline, ours = measured["BLAS program"], measured["pto-sim"]
    print("qk_pv: 128 tokens, 64 heads, 2 x 128 keys, width 512; one thread, results compared")
    print(f"  {'':24s} {'best s':>8s} {'median s':>8s} {'CPU s':>8s} {'/ BLAS':>8s} {'/ pto-sim':>9s} {'differs':>9s}")
    figures = {}
    for name, row in measured.items():
        difference = largest_difference(row.result, baseline.result)
        print(
            f"  {name:24s} {row.best_s:8.3f} {row.median_s:8.3f} {row.best_cpu_s:8.3f}"
            f" {row.best_s / baseline.best_s:8.1f} {row.best_s / ours.best_s:9.1f} {difference:9.1e}"
        )
        figures[name] = {
            "best_s": row.best_s,
            "median_s": row.median_s,
            "best_cpu_s": row.best_cpu_s,
            "over_blas": row.best_s / baseline.best_s,
            "over_pto_sim": row.best_s / ours.best_s,
            "difference": difference,
        }
    print("  threads:", ", ".join(f"{name} {count}" for name, count in blas_threads().items()) or "set to 1")
    return figures


if __name__ == "__main__":
    main()
