"""The nested statement lists of a recorded orchestration, rebuilt from its flat events."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple, cast

from pto_sim.program.model import Event, HostView

BODY_KINDS = ("for", "parallel", "if")


class HostAccess(NamedTuple):
    """The orchestrator itself reads or writes an element of a view. kind: 'read' or 'write'."""

    kind: str
    tensor: int
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    site: int


@dataclass
class StatementList:
    """One list: the frame, a scope's body, one iteration of a loop, or one arm of an if.

    kind: 'frame', 'auto', 'manual', 'for', 'parallel' or 'if'. items: in program order; an int of `allocs` and
    `tasks` is wrapped as ('alloc', tensor) and ('task', record), a nested list and a HostAccess stand for themselves.
    """

    kind: str
    site: int
    items: list[tuple[str, int] | HostAccess | StatementList] = field(default_factory=list)

    @property
    def is_scope(self) -> bool:
        """Whether the runtime opens a scope for it."""
        return self.kind in ("auto", "manual")

    def nested(self) -> Iterator[StatementList]:
        """The lists directly inside this one."""
        return (item for item in self.items if isinstance(item, StatementList))


def build_statement_lists(events: list[Event]) -> StatementList:
    """Nest the events. Frame marks add no list of their own.

    Raises ValueError if begins and ends do not match, which is an error of the recorder.
    """
    root = StatementList("frame", 0)
    stack = [root]
    for event in events:
        kind = event.kind
        if kind in ("alloc", "task"):
            assert isinstance(event.value, int)
            stack[-1].items.append((kind, event.value))
        elif kind in ("read", "write"):
            stack[-1].items.append(HostAccess(kind, *cast("HostView", event.value), event.site))
        elif kind in ("scope_begin", "body_begin"):
            inner = StatementList(str(event.value), event.site)
            if kind == "body_begin" and inner.kind not in BODY_KINDS:
                raise ValueError(f"unknown statement list {inner.kind!r}")
            if kind == "scope_begin" and not inner.is_scope:
                raise ValueError(f"unknown scope mode {inner.kind!r}")
            stack[-1].items.append(inner)
            stack.append(inner)
        elif kind in ("scope_end", "body_end"):
            closed = stack.pop()
            if not stack or closed.is_scope != (kind == "scope_end"):
                raise ValueError(f"{kind} does not close a list of its kind")
        elif kind not in ("frame_begin", "frame_end"):
            raise ValueError(f"unknown event {kind!r}")
    if len(stack) != 1:
        raise ValueError("a scope or body is not closed")
    return root
