"""Direction of every tensor argument of every launch, as the compiler derives it.

pypto: docs/en/dev/passes/37-derive_call_directions.md. A write-only argument is OUTPUT_EXISTING, unless it is
promoted to INOUT: inside a sequential loop, after an earlier writer of the same buffer in the scope, or rooted
at an entry parameter declared InOut. A slice counts as a buffer of its own, and the compiler loses the buffer of a
reshaped tensor, so that the last two rules do not reach it (src/ir/transforms/utils/buffer_root_collector.cpp).
"""

from __future__ import annotations

from pto_sim.lowering.statement_lists import HostAccess, StatementList
from pto_sim.program.model import Program, TaskArg

INPUT = "INPUT"
INOUT = "INOUT"
OUTPUT_EXISTING = "OUTPUT_EXISTING"

Root = tuple[int, int]
"""A buffer as the compiler tells them apart: tensor and alias (TaskArg.alias)."""


def derive_directions(program: Program, root: StatementList) -> tuple[list[tuple[str, ...]], list[str]]:
    """Directions of the arguments of each record, and the direction of its pipe buffer if it had one.

    Limit: two loops of one source line that follow each other directly are taken for one loop.
    """
    deriver = _Deriver(program)
    deriver.visit(root, set(), sequential=False)
    return deriver.directions, deriver.pipe_directions


class _Deriver:
    def __init__(self, program: Program) -> None:
        self.program = program
        self.directions: list[tuple[str, ...]] = [()] * len(program.tasks)
        self.pipe_directions = [OUTPUT_EXISTING] * len(program.tasks)

    def visit(self, statements: StatementList, seen: set[Root], *, sequential: bool) -> set[Root]:
        """Walk one list. seen: buffers written by earlier siblings, updated. Returns the buffers written inside.

        A loop or if is one opaque writer: it starts from a copy of `seen` (each iteration from the same one), and
        what it wrote joins `seen` after it. A scope is transparent.
        """
        written: set[Root] = set()
        open_site: int | None = None  # the loop or if whose bodies are being walked
        open_written: set[Root] = set()
        for item in statements.items:
            if isinstance(item, StatementList) and not item.is_scope:
                if item.site != open_site:
                    seen |= open_written
                    open_site, open_written = item.site, set()
                inner = self.visit(item, set(seen), sequential=sequential or item.kind == "for")
                open_written |= inner
                written |= inner
                continue
            seen |= open_written
            open_site, open_written = None, set()
            if isinstance(item, StatementList):
                written |= self.visit(item, seen, sequential=sequential)
            elif not isinstance(item, HostAccess) and item[0] == "task":
                written |= self._launch(item[1], seen, sequential)
        seen |= open_written
        return written

    def _launch(self, record: int, seen: set[Root], sequential: bool) -> set[Root]:
        args = self.program.tasks[record].args
        self.directions[record] = tuple(self._direction(arg, seen, sequential) for arg in args)
        if sequential:
            self.pipe_directions[record] = INOUT
        written = {(arg.tensor, arg.alias) for arg in args if arg.writes and arg.alias >= 0}
        seen |= written
        return written

    def _direction(self, arg: TaskArg, seen: set[Root], sequential: bool) -> str:
        if not arg.writes:
            return INPUT
        declared_inout = arg.alias == 0 and self.program.tensors[arg.tensor].direction == "inout"
        if arg.reads or sequential or (arg.tensor, arg.alias) in seen or declared_inout:
            return INOUT
        return OUTPUT_EXISTING
