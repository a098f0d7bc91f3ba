"""Every kernel has at least ten planted faults that tests find, all but those of `LONG` in the tests of a working day.

`pytest -s` prints the table.
"""

from __future__ import annotations

import importlib
import itertools
from collections import Counter
from pathlib import Path

import pytest

from .sandbox import kernel_folder

LEAST = 10
LONG = {"decode_fwd"}  # five layers for each fault; its layers have quick ones of their own
PARTS = {"materialize_rope_rows"}  # inlined everywhere: no case of its own


def marked(function):
    """The kernel and whether it is slow, for every fault that a test plants by its mark `plants`."""
    marks = getattr(function, "pytestmark", [])
    kernels = [mark.args[0] for mark in marks if mark.name == "plants"]
    faults = [mark for mark in marks if mark.name == "parametrize"]
    if not kernels:
        return
    assert len(kernels) == len(faults) == 1, f"{function.__name__} plants one fault of one kernel at a time"
    assert "planted_fault" in function.__name__ and function.__name__.endswith("is_caught"), function.__name__
    names, values = faults[0].args[:2]
    names = [name.strip() for name in names.split(",")] if isinstance(names, str) else names
    slow = any(mark.name == "slow" for mark in marks)
    for value in values:
        if not hasattr(value, "marks"):
            value = pytest.param(*(value if len(names) > 1 else (value,)))
        kernel = kernels[0].format(**dict(zip(names, value.values, strict=True)))
        yield kernel, slow or any(mark.name == "slow" for mark in value.marks)


def test_every_kernel_has_ten_planted_faults(tmp_path):
    with kernel_folder(tmp_path):
        import entries

        kernels = set(entries.CASES) | PARTS
    names = [path.stem for path in Path(__file__).parent.glob("test_*.py")]
    modules = [importlib.import_module(f".{name}", __package__) for name in names]
    functions = itertools.chain.from_iterable(vars(module).values() for module in modules)
    found = [row for function in functions if callable(function) for row in marked(function)]
    counts = {slow: Counter(kernel for kernel, is_slow in found if is_slow == slow) for slow in (False, True)}
    print(f"\n{'kernel':32}{'quick':>6}{'slow':>6}")
    for kernel in sorted(kernels):
        print(f"{kernel:32}{counts[False][kernel]:6}{counts[True][kernel]:6}")
    assert {kernel for kernel, _ in found} <= kernels
    assert not {kernel for kernel in kernels - LONG if counts[False][kernel] < LEAST}
    assert not {kernel for kernel in LONG if counts[True][kernel] < LEAST}
