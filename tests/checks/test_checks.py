"""Each check on a minimal bad kernel and on its one-line fix, which must be silent."""

from pathlib import Path

import numpy as np
import pytest

from pto_sim import language as pl
from pto_sim.checks import CATALOGUE, new_checks
from pto_sim.engine import run_kernel
from pto_sim.program.options import RunOptions

N = 16
DOCS = Path(__file__).resolve().parents[2] / "docs" / "findings"


def findings(kernel, *args):
    checks = new_checks()
    run_kernel(kernel, args, RunOptions(), checks)
    return [finding for check in checks for finding in check.findings()]


def line_of(kernel, text):
    """'file:line' of the only line of `kernel` that contains `text`."""
    lines, start = kernel.function.__code__, kernel.site.line
    source = Path(lines.co_filename).read_text().splitlines()
    (number,) = [n for n in range(start, start + 20) if text in source[n - 1]][:1]
    return f"{lines.co_filename}:{number}"


@pl.jit
def copies(x: pl.Tensor[[N, N], pl.FP32], out: pl.Out[pl.Tensor[[N, N], pl.FP32]]):
    for _i in pl.spmd(2):
        i = pl.tile.get_block_idx()
        out[i * 8 : i * 8 + 8, :] = x[i * 8 : i * 8 + 8, :]


@pl.jit
def copies_half(x: pl.Tensor[[N, N], pl.FP32], out: pl.Out[pl.Tensor[[N, N], pl.FP32]]):
    for _i in pl.spmd(1):
        i = pl.tile.get_block_idx()
        out[i * 8 : i * 8 + 8, :] = x[i * 8 : i * 8 + 8, :]


@pl.jit
def leaves(x: pl.Tensor[[N, N], pl.FP32], out: pl.Out[pl.Tensor[[N, N], pl.FP32]]):
    with pl.at(level=pl.Level.CORE_GROUP):
        pl.add(x[:, :], 1.0)


@pl.jit
def drops(x: pl.Tensor[[N, N], pl.FP32], out: pl.Out[pl.Tensor[[N, N], pl.FP32]]):
    with pl.at(level=pl.Level.CORE_GROUP):
        out[:, :] = x[:, :]
        out = pl.add(x[:, :], 1.0)


@pl.jit
def rebinds_to_itself(x: pl.Tensor[[N, N], pl.FP32], out: pl.Out[pl.Tensor[[N, N], pl.FP32]]):
    with pl.at(level=pl.Level.CORE_GROUP):
        whole = pl.store(pl.load(x, [0, 0], [N, N]), [0, 0], out)
        out = whole


@pl.jit
def doubles_input(x: pl.Tensor[[N, N], pl.FP32], out: pl.Out[pl.Tensor[[N, N], pl.FP32]]):
    with pl.at(level=pl.Level.CORE_GROUP):
        out[:, :] = x[:, :]
        x[:, :] = pl.add(x[:, :], x[:, :])


@pl.jit
def doubles_inout(x: pl.InOut[pl.Tensor[[N, N], pl.FP32]], out: pl.Out[pl.Tensor[[N, N], pl.FP32]]):
    with pl.at(level=pl.Level.CORE_GROUP):
        out[:, :] = x[:, :]
        x[:, :] = pl.add(x[:, :], x[:, :])


@pl.jit
def copies_to_itself(x: pl.Tensor[[N, N], pl.FP32], out: pl.Out[pl.Tensor[[N, N], pl.FP32]]):
    with pl.at(level=pl.Level.CORE_GROUP):
        out[:, :] = x[:, :]
        x[0:1, :] = x[0:1, :]


@pl.jit
def never_uses(x: pl.Tensor[[N, N], pl.FP32], out: pl.Out[pl.Tensor[[N, N], pl.FP32]]):
    spare = pl.create_tensor([N, N], dtype=pl.FP32)  # noqa: F841 - the fault under test
    with pl.at(level=pl.Level.CORE_GROUP):
        out[:, :] = x[:, :]


@pl.jit
def never_reads(x: pl.Tensor[[N, N], pl.FP32], out: pl.Out[pl.Tensor[[N, N], pl.FP32]]):
    half = pl.create_tensor([N, N], dtype=pl.FP32)
    with pl.at(level=pl.Level.CORE_GROUP):
        half[:, :] = x[:, :]
        out[:, :] = x[:, :]


@pl.jit
def reads(x: pl.Tensor[[N, N], pl.FP32], out: pl.Out[pl.Tensor[[N, N], pl.FP32]]):
    half = pl.create_tensor([N, N], dtype=pl.FP32)
    with pl.at(level=pl.Level.CORE_GROUP):
        half[:, :] = x[:, :]
    with pl.at(level=pl.Level.CORE_GROUP):
        out[:, :] = half[:, :]


def arguments():
    return np.ones((N, N), np.float32), np.zeros((N, N), np.float32)


BAD = [
    (
        copies_half,
        "PTO402",
        "warning_or_info",
        "def copies_half",
        "128 of 256 elements written, the first unwritten is [8, 0]",
    ),
    (leaves, "PTO401", "warning", "def leaves", "out: 0 of 256 elements written"),
    (doubles_input, "PTO403", "warning", "x[:, :] = pl.add", "x is declared as an input"),
    (copies_to_itself, "PTO404", "info", "x[0:1, :] = x[0:1, :]", "x is declared as an input"),
    (never_uses, "PTO405", "warning", "spare = pl.create_tensor", "spare: 1,024 bytes"),
    (drops, "PTO407", "warning", "out = pl.add", "'out' of 'drops' is only rebound"),
    (never_reads, "PTO406", "warning", "half = pl.create_tensor", "half: 1,024 bytes"),
]


@pytest.mark.parametrize(("kernel", "code", "severity", "line", "message"), BAD, ids=[row[1] for row in BAD])
def test_bad_kernel_is_found_once_at_its_line(kernel, code, severity, line, message):
    (finding,) = findings(kernel, *arguments())
    assert finding.code == code and finding.severity in severity
    assert finding.hint == CATALOGUE[code].hint and message in finding.message
    if "def " not in line:  # a parameter is reported at its kernel
        assert finding.site == line_of(kernel, line)


@pytest.mark.parametrize("kernel", [copies, doubles_inout, reads, rebinds_to_itself])
def test_the_fix_is_silent(kernel):
    assert findings(kernel, *arguments()) == []


@pytest.mark.parametrize("code", sorted(CATALOGUE))
def test_every_code_has_a_page_and_a_bad_kernel(code):
    page = (DOCS / f"{code}.md").read_text(encoding="utf-8")
    title = page.splitlines()[0]
    assert code in title and title.endswith("?")
    assert CATALOGUE[code].title in page and CATALOGUE[code].severity in page
    assert "## Limits" in page and len(page.splitlines()) < 100
    others = [
        p.read_text(encoding="utf-8") for p in Path(__file__).parent.glob("test_*.py") if p.name != "test_checks.py"
    ]
    assert code in [row[1] for row in BAD] or any(f'"{code}"' in text for text in others)
