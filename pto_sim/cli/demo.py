"""`pto-sim demo`: the DeepSeek-V4 sparse attention kernel of a checkout, at its real size."""

from __future__ import annotations

from pathlib import Path

from pto_sim.cli.run import run_script
from pto_sim.program.errors import InputError
from pto_sim.program.options import RunOptions

KERNEL = Path("kernels/dsv4/decode_sparse_attn.py")
SEED = 0


def run_demo(out: Path | None, json: Path | None, chip: str) -> None:
    """Run the demo kernel with every report. Raises InputError PTO055 where the kernels are not at hand."""
    run_script(find_kernel(), [], RunOptions(chip=chip, out_dir=out, json_path=json, seed=SEED))


def find_kernel() -> Path:
    """The demo kernel: of the checkout that this package runs from, or of the current directory."""
    places = (Path(__file__).resolve().parents[2] / KERNEL, Path.cwd() / KERNEL)
    for place in places:
        if place.is_file():
            return place
    raise InputError(
        "PTO055",
        "the demo kernel is not part of the installed package",
        values=f"looked for {KERNEL}",
        hint="run `pto-sim demo` in a checkout of the project: it holds kernels/dsv4",
    )
