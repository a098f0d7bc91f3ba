"""Hypothesis strategies for orchestrations whose values cannot depend on the order in which the runtime runs them.

A drawn program is legal in the sense of the runtime: whatever it orders (creator edges, TensorMap edges of earlier
writers, explicit deps) is enough. So a reader never meets a later writer that nothing orders after it: a chunk is
written once, or updated in place by a launch that names all its readers in `deps`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from hypothesis import strategies as st

from pto_sim.testing.task_program import (
    INPUT,
    OUTPUT,
    Create,
    Launch,
    Loop,
    Scope,
    Statement,
    TaskProgram,
    View,
)

MAX_CHUNKS = 4
_SCALES = st.sampled_from([1, -1, 2, 3, 7])


@dataclass
class _Chunk:
    """Who wrote a chunk ('' if nothing has), who has read it since, and whether later launches may touch it."""

    writer: str = ""
    readers: list[str] = field(default_factory=list)
    sealed: bool = False


@dataclass
class _Tensor:
    name: str
    chunks: list[_Chunk]
    loops: int  # how many loops are around its creation


@dataclass
class _Frame:
    """An open statement list. kind: 'root', 'scope', 'manual' or 'loop'."""

    kind: str
    tensors: list[_Tensor] = field(default_factory=list)
    launches: list[str] = field(default_factory=list)
    read: set[str] = field(default_factory=set)
    written: set[str] = field(default_factory=set)
    count: int = 1
    variable: str = ""
    parallel: bool = False


class _Writer:
    """Draws one program, statement by statement."""

    def __init__(self, draw: st.DrawFn, *, auto_scope: bool, max_depth: int, loops: bool, manual: bool) -> None:
        self.draw, self.auto_scope, self.max_depth = draw, auto_scope, max_depth
        self.with_loops, self.with_manual = loops, manual
        self.names = 0
        self.frames = [_Frame("root")]

    # -- what is in sight ---------------------------------------------------------------------------------

    def _name(self, letter: str) -> str:
        self.names += 1
        return f"{letter}{self.names}"

    def _tensors(self) -> Iterator[_Tensor]:
        for frame in self.frames:
            yield from frame.tensors

    def _visible(self, launch: str) -> bool:
        return any(launch in frame.launches for frame in self.frames)

    def _loops_outside(self, tensor: _Tensor) -> list[_Frame]:
        """The open loops that the tensor was created outside of, innermost last."""
        return [frame for frame in self.frames if frame.kind == "loop"][tensor.loops :]

    @property
    def manual(self) -> bool:
        return any(frame.kind == "manual" for frame in self.frames)

    # -- statements ---------------------------------------------------------------------------------------

    def body(self, size: int) -> tuple[Statement, ...]:
        """A statement list of up to `size` statements in the innermost frame."""
        statements: list[Statement] = []
        for _ in range(self.draw(st.integers(1, size))):
            kind = self.draw(st.sampled_from(self._kinds()))
            drawn = self._create() if kind == "create" else self._launch() if kind == "launch" else self._nest(kind)
            if drawn is not None:
                statements.append(drawn)
        return tuple(statements)

    def _kinds(self) -> list[str]:
        kinds = ["launch", "launch", "launch", "create"]
        if len(self.frames) <= self.max_depth and not self.manual:
            if not self.auto_scope:
                kinds += ["scope", "scope"]
            if self.with_loops:
                kinds.append("loop")
            if self.with_manual and len(self.frames) == 1:
                kinds.append("manual")
        return kinds

    def _create(self) -> Create:
        name, chunks = self._name("t"), self.draw(st.integers(1, MAX_CHUNKS))
        loops = sum(frame.kind == "loop" for frame in self.frames)
        self.frames[-1].tensors.append(_Tensor(name, [_Chunk() for _ in range(chunks)], loops))
        return Create(name, chunks)

    def _nest(self, kind: str) -> Statement | None:
        frame = _Frame(kind)
        if kind == "loop":
            frame.count, frame.parallel = self.draw(st.integers(1, 3)), self.draw(st.booleans())
            frame.variable = self._name("i")
        self.frames.append(frame)
        body = self.body(4)
        self.frames.pop()
        if kind == "manual":
            self._seal(frame)
        if not body:
            return None
        if kind == "loop":
            return Loop(frame.variable, frame.count, body, frame.parallel)
        return Scope(body, manual=kind == "manual")

    def _seal(self, frame: _Frame) -> None:
        """What a manual scope wrote is in no TensorMap: nothing after the scope could be ordered after it."""
        for tensor in self._tensors():
            for chunk in tensor.chunks:
                if chunk.writer in frame.launches:
                    chunk.sealed = True

    # -- launches -----------------------------------------------------------------------------------------

    def _launch(self) -> Launch | None:
        blocks = self.draw(st.integers(1, 3))
        targets = [*self._fresh(blocks), *self._updates(blocks)]
        if not targets:
            return None
        target, update = self.draw(st.sampled_from(targets))
        choices = [view for view in self._readable(blocks) if not self._clashes(view, target, blocks)]
        picked = self.draw(st.lists(st.sampled_from(choices), max_size=2)) if choices else []
        sources = tuple((view, self.draw(_SCALES)) for view in picked)
        name = self._name("k")
        deps = self._dependencies(target, sources, blocks, update)
        launch = Launch(name, target, sources, self.draw(st.integers(-9, 9)), blocks, update, deps)
        self._note(launch)
        return launch

    def _fresh(self, blocks: int) -> Iterator[tuple[View, bool]]:
        """Runs of chunks that nothing has written or read, moving on in a loop around their tensor."""
        for tensor in self._tensors():
            outside = self._loops_outside(tensor)
            if len(outside) > 1 or any(tensor.name in loop.read | loop.written for loop in outside):
                continue
            step = blocks if outside else 0
            length = blocks * (outside[0].count if outside else 1)
            for start in range(len(tensor.chunks) - length + 1):
                if not any(c.writer or c.readers or c.sealed for c in tensor.chunks[start : start + length]):
                    yield View(tensor.name, start, step), False

    def _updates(self, blocks: int) -> Iterator[tuple[View, bool]]:
        """Runs of written chunks whose readers can all be named."""
        for tensor in self._tensors():
            outside = self._loops_outside(tensor)
            if any(loop.parallel or tensor.name in loop.read | loop.written for loop in outside):
                continue
            for start in range(len(tensor.chunks) - blocks + 1):
                run = tensor.chunks[start : start + blocks]
                if all(self._settled(c) and all(map(self._visible, c.readers)) for c in run):
                    yield View(tensor.name, start), True

    def _readable(self, blocks: int) -> list[View]:
        return [
            View(tensor.name, start)
            for tensor in [*self._tensors()]
            if not any(tensor.name in loop.written for loop in self._loops_outside(tensor))
            for start in range(len(tensor.chunks) - blocks + 1)
            if all(map(self._settled, tensor.chunks[start : start + blocks]))
        ]

    def _settled(self, chunk: _Chunk) -> bool:
        """Written, and a launch here can be ordered after it."""
        if not chunk.writer or chunk.sealed:
            return False
        return not self.manual or chunk.writer == INPUT or self._visible(chunk.writer)

    def _clashes(self, source: View, target: View, blocks: int) -> bool:
        """One block would read what another writes, now or in another iteration."""
        if source.tensor != target.tensor:
            return False
        return bool(target.step) or abs(source.chunk - target.chunk) < blocks or self._in_loop(target.tensor)

    def _in_loop(self, name: str) -> bool:
        return any(self._loops_outside(tensor) for tensor in self._tensors() if tensor.name == name)

    def _chunks(self, view: View, blocks: int) -> list[_Chunk]:
        tensor = next(tensor for tensor in self._tensors() if tensor.name == view.tensor)
        length = blocks * next((f.count for f in reversed(self.frames) if f.kind == "loop"), 1) if view.step else blocks
        return tensor.chunks[view.chunk : view.chunk + length]

    def _dependencies(
        self, target: View, sources: tuple[tuple[View, int], ...], blocks: int, update: bool
    ) -> tuple[str, ...]:
        needed: set[str] = set()
        if update:
            for chunk in self._chunks(target, blocks):
                needed |= set(chunk.readers) | ({chunk.writer} if self.manual else set())
        if self.manual:
            needed |= {chunk.writer for view, _ in sources for chunk in self._chunks(view, blocks)}
        spare = [launch for frame in self.frames for launch in frame.launches]
        if spare:
            needed |= set(self.draw(st.lists(st.sampled_from(spare), max_size=1)))
        return tuple(sorted(needed - {INPUT}))

    def _note(self, launch: Launch) -> None:
        self.frames[-1].launches.append(launch.name)
        tensors = {tensor.name: tensor for tensor in self._tensors()}
        for view, _ in launch.sources:
            for chunk in self._chunks(view, launch.blocks):
                chunk.readers.append(launch.name)
            for loop in self._loops_outside(tensors[view.tensor]):
                loop.read.add(view.tensor)
        for chunk in self._chunks(launch.target, launch.blocks):
            chunk.writer, chunk.readers = launch.name, []
        for loop in self._loops_outside(tensors[launch.target.tensor]):
            loop.written.add(launch.target.tensor)


@st.composite
def orchestration_programs(
    draw: st.DrawFn,
    *,
    max_statements: int = 8,
    max_depth: int = 3,
    loops: bool = True,
    manual_scopes: bool = True,
    auto_scope: bool | None = None,
) -> TaskProgram:
    """Random legal programs: nested scopes, loops, spmd, manual scopes, explicit deps, in-place updates.

    max_statements: of the outermost list. max_depth: how deep scopes and loops nest. auto_scope: as in `pl.jit`; None
    draws it. With automatic scopes there are no `pl.scope()` statements.
    """
    automatic = draw(st.booleans()) if auto_scope is None else auto_scope
    writer = _Writer(draw, auto_scope=automatic, max_depth=max_depth, loops=loops, manual=manual_scopes)
    inputs, outputs = draw(st.integers(1, MAX_CHUNKS)), draw(st.integers(1, 2 * MAX_CHUNKS))
    writer.frames[0].tensors = [
        _Tensor(INPUT, [_Chunk(INPUT, [""], False) for _ in range(inputs)], 0),
        _Tensor(OUTPUT, [_Chunk() for _ in range(outputs)], 0),
    ]
    body = writer.body(max_statements)
    first = Launch(writer._name("k"), View(OUTPUT, 0), ((View(INPUT, 0), 1),), 0)
    written = any(chunk.writer for chunk in writer.frames[0].tensors[1].chunks)
    return TaskProgram(body if written else (*body, first), inputs, outputs, automatic)


def scope_trees(*, max_statements: int = 8, max_depth: int = 3) -> st.SearchStrategy[TaskProgram]:
    """Programs of nested `pl.scope()` with tensors and launches, and nothing else: what scope structure is about."""
    return orchestration_programs(
        max_statements=max_statements, max_depth=max_depth, loops=False, manual_scopes=False, auto_scope=False
    )
