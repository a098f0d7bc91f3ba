"""A small model of an orchestration: tensors, launches, scopes and loops, and the kernel source that says it.

A `TaskProgram` is data: a strategy can draw it, Hypothesis can shrink it, and a failing one prints the kernel that an
author could have written. Tensors are INT32, 16 columns wide, and counted in chunks of 8 rows. A launch writes
`constant + sum of scale * input` into a view, in place if it says so; with several blocks each takes one chunk.
"""

from __future__ import annotations

import linecache
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

ROWS, COLUMNS = 8, 16
INPUT, OUTPUT = "x", "out"
_FILE = "task_program.py"


@dataclass(frozen=True)
class View:
    """Chunks [chunk, chunk + count) of a tensor; inside a loop they move on by `step` chunks an iteration."""

    tensor: str
    chunk: int
    step: int = 0


@dataclass(frozen=True)
class Create:
    """`pl.create_tensor` of `chunks` chunks."""

    name: str
    chunks: int


@dataclass(frozen=True)
class Launch:
    """One task over `blocks` chunks of each view (pl.at for one block, pl.spmd for more).

    target: what is written; `update` adds its old value. sources: (view, scale) pairs that are read. deps: names of
    earlier launches that it waits for.
    """

    name: str
    target: View
    sources: tuple[tuple[View, int], ...]
    constant: int
    blocks: int = 1
    update: bool = False
    deps: tuple[str, ...] = ()


@dataclass(frozen=True)
class Scope:
    """`with pl.scope()`, or `with pl.manual_scope()`."""

    body: tuple[Statement, ...]
    manual: bool = False


@dataclass(frozen=True)
class Loop:
    """`for variable in pl.range(count)`, or `pl.parallel(count)`."""

    variable: str
    count: int
    body: tuple[Statement, ...]
    parallel: bool = False


Statement = Create | Launch | Scope | Loop


@dataclass(frozen=True)
class TaskProgram:
    """An entry with an input `x` and an output `out` of the given chunks, and a body. auto_scope: as in pl.jit."""

    body: tuple[Statement, ...]
    input_chunks: int
    output_chunks: int
    auto_scope: bool = False

    def source(self) -> str:
        """The program as a PyPTO kernel called `program`."""
        lines = [
            "import pto_sim.language as pl",
            "",
            f"X = pl.Tensor[[{self.input_chunks * ROWS}, {COLUMNS}], pl.INT32]",
            f"OUT = pl.Tensor[[{self.output_chunks * ROWS}, {COLUMNS}], pl.INT32]",
            "",
            "",
            f"@pl.jit(auto_scope={self.auto_scope})",
            f"def program({INPUT}: X, {OUTPUT}: pl.Out[OUT]):",
            *(f"    {line}" for line in _lines(self.body, ())),
            f"    return {OUTPUT}",
        ]
        return "\n".join(lines) + "\n"

    @contextmanager
    def kernel(self) -> Iterator[Any]:
        """The kernel function, while the `with` block lasts: its source is known to Python's line cache so long."""
        text = self.source()
        name = f"{id(self):x}_{_FILE}"
        linecache.cache[name] = (len(text), None, text.splitlines(True), name)
        try:
            names: dict[str, Any] = {"__name__": name}
            exec(compile(text, name, "exec"), names)
            yield names["program"]
        finally:
            linecache.cache.pop(name, None)

    def arguments(self, seed: int = 0) -> list[np.ndarray]:
        """Input and output arrays: small random integers, and an output of zeros."""
        values = np.random.default_rng(seed).integers(-99, 100, (self.input_chunks * ROWS, COLUMNS), dtype=np.int32)
        return [values, np.zeros((self.output_chunks * ROWS, COLUMNS), np.int32)]

    def __repr__(self) -> str:
        return f"TaskProgram(\n{self.source()})"


def _lines(body: tuple[Statement, ...], loops: tuple[str, ...]) -> Iterator[str]:
    if not body:
        yield "pass"
    for statement in body:
        if isinstance(statement, Create):
            yield f"{statement.name} = pl.create_tensor([{statement.chunks * ROWS}, {COLUMNS}], dtype=pl.INT32)"
        elif isinstance(statement, Launch):
            yield from _launch_lines(statement, loops)
        else:
            inner = loops
            if isinstance(statement, Scope):
                yield "with pl.manual_scope():" if statement.manual else "with pl.scope():"
            else:
                kind = "parallel" if statement.parallel else "range"
                yield f"for {statement.variable} in pl.{kind}({statement.count}):"
                inner = (*loops, statement.variable)
            yield from (f"    {line}" for line in _lines(statement.body, inner))


def _launch_lines(launch: Launch, loops: tuple[str, ...]) -> Iterator[str]:
    deps = f", deps=[{', '.join(launch.deps)}]" if launch.deps else ""
    how = f"pl.spmd({launch.blocks}, " if launch.blocks > 1 else "pl.at(level=pl.Level.CORE_GROUP, "
    yield f'with {how}name_hint="{launch.name}"{deps}) as {launch.name}:'
    if launch.blocks > 1:
        yield "    block = pl.tile.get_block_idx()"
    value = ""
    for view, scale in launch.sources:
        term = f"pl.mul({_slice(view, launch, loops)}, {scale})"
        value = f"pl.add({value}, {term})" if value else term
    target = _slice(launch.target, launch, loops)
    if launch.update:
        value = f"pl.add({value}, {target})" if value else target
    value = (
        f"pl.add({value}, {launch.constant})"
        if value
        else f"pl.full([{ROWS}, {COLUMNS}], dtype=pl.INT32, value={launch.constant})"
    )
    yield f"    {target} = {value}"


def _slice(view: View, launch: Launch, loops: tuple[str, ...]) -> str:
    terms = [str(view.chunk * ROWS)]
    if view.step and loops:
        terms.append(f"{loops[-1]} * {view.step * ROWS}")
    if launch.blocks > 1:
        terms.append(f"block * {ROWS}")
    start = " + ".join(terms)
    return f"{view.tensor}[{start} : {start} + {ROWS}, :]"
