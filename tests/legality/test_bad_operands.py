"""No operator answers bad operands with a bare Python exception: the error has a code and names the author's line.

The calls are made from the operators of the language and from every combination of operands below; some are legal.
"""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pto_sim.language as pl
from pto_sim.engine import run_kernel
from pto_sim.numerics.optable import OP_TABLE
from pto_sim.program.errors import PtoError
from pto_sim.program.options import RunOptions
from tests.legality.rule_case import load

NOT_OPERATORS = frozenset(
    [
        "at",
        "cluster",
        "cond",
        "cross_core_slot",
        "dynamic",
        "func_attr",
        "function",
        "inline",
        "manual_scope",
        "named_calls",
        "parallel",
        "pipeline",
        "program",
        "range",
        "scope",
        "split",
        "split_aiv",
        "spmd",
        "spmd_submit",
        "static_print",
        "submit",
        "unknown_name",
        "unroll",
        "while_",
        "yield_",
    ]
)
GOOD = "t"
BAD = ("None", "'text'", "2.5", "x", "i8", "cube", "[1, 2]", "pl.INT4")
HEAD = """
import pto_sim.language as pl

F = pl.Tensor[[16, 32], pl.FP32]
"""
KERNEL = """
@pl.jit
def kernel_{number}(x: F, flat: pl.Tensor[[64], pl.INT32], out: pl.Out[F]):
    with pl.at(level=pl.Level.CORE_GROUP):
        t = pl.load(x, [0, 0], [16, 32])
        i8 = pl.create_tile([16, 32], dtype=pl.INT8)
        cube = pl.create_tile([2, 4, 8], dtype=pl.FP32)
        row = pl.create_tile([1, 32], dtype=pl.FP32)
        r = pl.{call}
        out = pl.store(t, [0, 0], out)
"""


def operators() -> list[str]:
    names = [n for n in pl.__all__ if inspect.isfunction(getattr(pl, n, None)) and n not in NOT_OPERATORS]
    return sorted({*names, *(n for n in OP_TABLE if inspect.isfunction(vars(pl).get(n)))})


def calls(name: str) -> list[str]:
    """Calls with each operand bad in turn, all of them bad, too few and too many."""
    function = getattr(pl, name)
    parameters = list(inspect.signature(function).parameters.values())
    free = any(p.kind is p.VAR_POSITIONAL for p in parameters)
    required = [p for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD and p.default is p.empty]
    count = len(OP_TABLE[name].operands) if free and name in OP_TABLE else len(required) or 1
    made = []
    for number, bad in enumerate(BAD):
        made.append(", ".join([bad] * count))
        operands = [GOOD] * count
        operands[number % count] = bad
        made.append(", ".join(operands))
    if free:
        made += ["", ", ".join([GOOD] * (count + 3))]
    return [f"{name}({operands})" for operands in dict.fromkeys(made)]


def error_of(kernel: Any) -> Exception | None:
    arguments = [np.ones((16, 32), np.float32), np.ones(64, np.int32), np.zeros((16, 32), np.float32)]
    try:
        run_kernel(kernel, arguments, RunOptions(), [])
    except Exception as error:
        return error
    return None


def complaint(error: Exception | None, path: Path, line: int) -> str:
    """What is wrong with the answer to a bad call at `line`; '' if nothing is."""
    if error is None:
        return ""
    if not isinstance(error, PtoError):
        return f"{type(error).__name__}: {error}"
    if error.site is None or error.site.file != str(path) or error.site.line not in (line, line + 1):
        return f"{error.code} at {error.site}"
    return "" if error.hint else f"{error.code} without a hint"


@pytest.mark.parametrize("name", operators())
def test_bad_operands_give_an_error_of_the_kernel(name: str, tmp_path: Path) -> None:
    texts = calls(name)
    source = HEAD + "".join(KERNEL.format(number=number, call=call) for number, call in enumerate(texts))
    module, path = load(source, tmp_path)
    lines = [number for number, line in enumerate(source.splitlines(), 1) if "        r = pl." in line]
    kernels = [getattr(module, f"kernel_{number}") for number in range(len(texts))]
    answers = [complaint(error_of(kernel), path, line) for kernel, line in zip(kernels, lines, strict=True)]
    assert [f"{call}: {answer}" for call, answer in zip(texts, answers, strict=True) if answer] == []
