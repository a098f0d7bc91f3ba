"""A rule of the language as a pair of kernels: one that breaks it, and its fix, which must run and be silent."""

from __future__ import annotations

import importlib.util
import itertools
import re
import textwrap
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from pto_sim.engine import run_kernel
from pto_sim.lowering import lower
from pto_sim.program.options import RunOptions

_HEAD = """
import pto_sim.language as pl

F = pl.Tensor[[16, 32], pl.FP32]
"""
_numbers = itertools.count()


@dataclass(frozen=True)
class Rule:
    """phrase: of the language's description. code: of the error. bad, fix: the body of a kernel (x: F, out: Out[F]).

    The bad body marks the line that the error must name with `# bad`. before: module-level source; options: of @pl.jit.
    timing: lower what ran, too, as a run with the cycle model does.
    A body that holds its own `def kernel` is a whole module instead.
    """

    phrase: str
    code: str
    bad: str
    fix: str
    before: str = ""
    options: str = ""
    timing: bool = True

    def source(self, body: str) -> str:
        """The module that holds the kernel."""
        text, head = body.strip("\n"), _HEAD + self.before
        if "def kernel" in text or "class kernel" in text:
            return f"{head}\n{text}\n"
        signature = f"@pl.jit{self.options}\ndef kernel(x: F, out: pl.Out[F]):\n"
        return f"{head}\n{signature}{textwrap.indent(text, '    ')}\n"


def read_rules(path: Path) -> list[Rule]:
    """The rules of a file: `=== phrase`, lines `key: value`, then the sections `--- before`, `--- bad`, `--- fix`."""
    rules = []
    for block in path.read_text(encoding="utf-8").split("=== ")[1:]:
        head, *sections = re.split(r"^--- (\w+)$", block, flags=re.MULTILINE)
        phrase, *keys = head.strip().splitlines()
        facts = dict(line.split(": ", 1) for line in keys)
        texts = dict(zip(sections[::2], (text.strip("\n") for text in sections[1::2]), strict=True))
        before, options = texts.get("before", ""), facts.get("options", "")
        timing = facts.get("timing", "yes") == "yes"
        rules.append(Rule(phrase, facts["code"], texts["bad"], texts["fix"], before, options, timing))
    return rules


def marked_line(source: str) -> int:
    """The line with `# bad`."""
    return next(i for i, line in enumerate(source.splitlines(), 1) if "# bad" in line)


def load(source: str, folder: Path) -> tuple[ModuleType, Path]:
    """Import a source text as a module of its own file."""
    number = next(_numbers)
    path = folder / f"case_{number}.py"
    path.write_text(source, encoding="utf-8")
    spec = importlib.util.spec_from_file_location(f"pto_case_{number}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module, path


def run(kernel: Any, timing: bool = True) -> None:
    """Run a kernel on ones of its parameters' shapes, and lower what it did."""
    entry = getattr(kernel, "entry", kernel)
    arguments: list[Any] = []
    for parameter in entry.parameters:
        shape, dtype = getattr(parameter.type, "shape", None), getattr(parameter.type, "dtype", None)
        arguments.append(1 if shape is None else np.ones(shape, dtype.numpy))
    program = run_kernel(entry, arguments, RunOptions(), []).program
    if timing:
        lower(program)
