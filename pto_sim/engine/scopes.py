"""Scopes and statement lists of the orchestration: who owns a buffer, and what the compiler would hoist where."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple

from pto_sim.engine.arrays import carried_to
from pto_sim.engine.storage import Storage
from pto_sim.program.errors import KernelError

if TYPE_CHECKING:
    from pto_sim.engine.run import Run


class _Frame:
    __slots__ = ("closed", "mode", "owned", "site", "user")

    def __init__(self, mode: str, site: int, user: bool) -> None:
        self.mode, self.site, self.user = mode, site, user
        self.owned: list[Storage] = []
        self.closed = False


class Body:
    """An iteration of a loop or an arm of an `if` of the orchestration. kind: 'for', 'parallel' or 'if'."""

    __slots__ = ("closed", "kind", "site")

    def __init__(self, kind: str, site: int) -> None:
        self.kind, self.site, self.closed = kind, site, False


class Place(NamedTuple):
    """Where a name was bound: the innermost scope that the author wrote, and the innermost iteration or arm."""

    scope: _Frame | None
    body: Body | None


class ScopeStack:
    """The open scopes of a run, the root first (depth 0, as the runtime's executor opens it)."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self._frames = [_Frame("auto", 0, user=False)]
        self.bodies: list[Body | None] = [None]

    @property
    def depth(self) -> int:
        """Depth of the innermost open scope; 0 is the root."""
        return len(self._frames) - 1

    @property
    def manual(self) -> bool:
        """Whether the innermost scope is manual."""
        return self._frames[-1].mode == "manual"

    def place(self) -> Place:
        """Where the orchestration is."""
        user = [frame for frame in self._frames if frame.user]
        return Place(user[-1] if user else None, self.bodies[-1])

    def closed_since(self, place: Place | None) -> str:
        """What has closed since, and where it was opened; '' if nothing has.

        What a loop or a branch carries on is another name, bound outside it.
        """
        if place is None:
            return ""
        sites = self.run.recorder.sites
        if place.scope is not None and place.scope.closed:
            return f"the scope was opened at {sites[place.scope.site]}"
        if place.body is None or not place.body.closed:
            return ""
        what = "the arm of the `if`" if place.body.kind == "if" else "the iteration of the loop"
        return f"it was launched in {what} at {sites[place.body.site]}"

    def carried(self, value: Any) -> Any:
        """A value that a loop or branch carries on from here."""
        return carried_to(value, self.place())

    def own(self, storage: Storage) -> None:
        """The innermost scope that frees memory owns `storage`. A manual scope is transparent for tensors."""
        for frame in reversed(self._frames):
            if frame.mode != "manual":
                frame.owned.append(storage)
                return

    def open(self, mode: str, site: int, *, user: bool) -> None:
        """Open a scope. `user`: the author wrote it, so that its buffers die when it closes."""
        if (mode == "auto" and self._frames[-1].mode == "manual") or mode == "manual" == self._frames[-1].mode:
            raise KernelError(
                "PTO207",
                f"a scope of mode {mode} cannot stand inside a manual scope",
                site=self.run.site(),
                values=f"the manual scope was opened at {self.run.recorder.sites[self._frames[-1].site]}",
                hint="close the manual scope first",
            )
        self._frames.append(_Frame(mode, site, user))
        self.run.recorder.event("scope_begin", mode, site)

    def close(self) -> None:
        """Close the innermost scope. The buffers of a scope that the author wrote are gone."""
        frame = self._frames.pop()
        frame.closed = True
        if frame.user:
            where = str(self.run.recorder.sites[frame.site])
            for storage in frame.owned:
                storage.close(where)
        self.run.recorder.event("scope_end", None, frame.site)


class UserScope:
    """`with pl.scope():` or `with pl.manual_scope():`."""

    def __init__(self, run: Run, mode: str) -> None:
        self.run, self.mode = run, mode

    def __enter__(self) -> None:
        run = self.run
        if run.core is not None:
            raise KernelError(
                "PTO207",
                "a scope belongs to orchestration, not to the body of a task",
                site=run.site(),
                values=f"mode {self.mode}, inside a task of '{run.function_name}'",
                hint="open it around the pl.spmd or pl.at",
            )
        if self.mode == "auto" and run.auto_scope:
            raise KernelError(
                "PTO207",
                "pl.scope() needs auto_scope=False",
                site=run.site(),
                values=f"the function '{run.function_name}' has auto_scope=True",
                hint="write @pl.jit(auto_scope=False) or @pl.jit.inline(auto_scope=False)",
            )
        run.scopes.open(self.mode, run.here(), user=True)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.run.scopes.close()
