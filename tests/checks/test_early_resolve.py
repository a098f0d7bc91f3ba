"""allow_early_resolve=True with and without an effect (PTO445)."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest

import pto_sim.language as pl
from pto_sim.program.findings import Finding
from pto_sim.testing import run

T = pl.Tensor[[16, 16], pl.FP32]
CORE = pl.Level.CORE_GROUP
X = np.arange(256, dtype=np.float32).reshape(16, 16)


@pl.jit
def one_of_two(x: T, out: pl.Out[T]):
    a = pl.create_tensor([16, 16], dtype=pl.FP32)
    b = pl.create_tensor([16, 16], dtype=pl.FP32)
    with pl.at(level=CORE, allow_early_resolve=True, name_hint="left"):  # bad
        a[:, :] = x[:, :]
    with pl.at(level=CORE, name_hint="right"):
        b[:, :] = x[:, :]
    with pl.at(level=CORE, name_hint="sum"):
        out[:, :] = pl.add(a[:, :], b[:, :])
    return out


@pl.jit
def both(x: T, out: pl.Out[T]):
    a = pl.create_tensor([16, 16], dtype=pl.FP32)
    b = pl.create_tensor([16, 16], dtype=pl.FP32)
    with pl.at(level=CORE, allow_early_resolve=True, name_hint="left"):
        a[:, :] = x[:, :]
    with pl.at(level=CORE, allow_early_resolve=True, name_hint="right"):
        b[:, :] = x[:, :]
    with pl.at(level=CORE, name_hint="sum"):
        out[:, :] = pl.add(a[:, :], b[:, :])
    return out


@pl.jit
def nobody_waits(x: T, out: pl.Out[T]):
    with pl.at(level=CORE, allow_early_resolve=True):
        out[:, :] = x[:, :]
    return out


@pl.jit
def predicated(x: T, out: pl.Out[T]):
    a = pl.create_tensor([16, 16], dtype=pl.INT32)
    with pl.at(level=CORE, allow_early_resolve=True) as made:  # bad
        a[:, :] = pl.cast(x[:, :], target_type=pl.INT32)
    with pl.spmd(2, deps=[made], predicate=(a[0, 0] >= 0)) as tid:  # noqa: F841
        b = pl.tile.get_block_idx()
        out[b * 8 : b * 8 + 8, :] = pl.cast(a[b * 8 : b * 8 + 8, :], target_type=pl.FP32)
    return out


@pl.jit
def a_chain_in_a_loop(x: T, out: pl.InOut[T]):
    for _i in pl.range(3):
        with pl.at(level=CORE, allow_early_resolve=True):
            out[:, :] = pl.add(out[:, :], x[:, :])
    return out


def found(kernel: Any) -> list[Finding]:
    done = run(kernel, [X, np.zeros_like(X)], timing=False)
    return [finding for finding in done.findings if finding.code == "PTO445"]


BAD = [
    (one_of_two, "its consumer 'sum' also waits for 'right', which is not flagged"),
    (predicated, "has a predicate"),
]


@pytest.mark.parametrize(("kernel", "message"), BAD, ids=[row[0].name for row in BAD])
def test_a_flag_without_effect_is_found_at_its_launch(kernel: Any, message: str) -> None:
    (finding,) = found(kernel)
    lines, first = inspect.getsourcelines(kernel.function)
    assert finding.severity == "info" and message in finding.message
    assert finding.site.endswith(f":{first + next(i for i, text in enumerate(lines) if '# bad' in text)}")


@pytest.mark.parametrize("kernel", [both, a_chain_in_a_loop, nobody_waits])
def test_flags_that_may_work_are_silent(kernel: Any) -> None:
    assert found(kernel) == []
