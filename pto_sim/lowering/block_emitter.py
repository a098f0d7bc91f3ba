"""The instructions of one block so far, and what a new one must wait for.

Each value's storage on a core remembers its last writer and its readers, one instruction for each pipe: pipes
complete in order, so the last of a pipe stands for the earlier ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from ascend_model.isa import Core, Kind, Pipe, StreamBuilder, pipe_of


@dataclass
class Storage:
    """A tile's storage on one core: instruction that last wrote, and last read it, by pipe."""

    writes: dict[Pipe, int] = field(default_factory=dict)
    reads: dict[Pipe, int] = field(default_factory=dict)

    def users(self) -> list[int]:
        """Everything that must be over before the storage holds another tile."""
        return [*self.writes.values(), *self.reads.values()]


class BlockEmitter:
    """Appends instructions with their dependencies."""

    def __init__(self) -> None:
        self.builder = StreamBuilder()
        self._storage: dict[tuple[object, Core], Storage] = {}
        self._occupant: dict[tuple[object, Core], object] = {}
        self._pending: dict[tuple[object, Core], list[int]] = {}

    def issue(
        self,
        kind: Kind,
        core: Core,
        args: Sequence[int] = (),
        *,
        deps: Iterable[int] = (),
        reads: Iterable[object] = (),
        defines: object | None = None,
        updates: object | None = None,
        site: int = 0,
    ) -> int:
        """Append one instruction.

        reads: values (roots) that it reads. defines: value that it starts to write. updates: value that it writes
        again, wholly or in part; it is ordered after that value's readers and writers on other pipes, and an
        update that depends on the old content must list it in `reads` too.
        """
        pipe = pipe_of(kind, args)
        waits = list(deps)
        for value in reads:
            waits += self.storage(value, core).writes.values()
        if defines is not None:
            waits += self._pending.pop((defines, core), ())
        if updates is not None:
            waits += self._pending.pop((updates, core), ())
            target = self.storage(updates, core)
            waits += [i for p, i in (*target.writes.items(), *target.reads.items()) if p != pipe]
        index = self.builder.append(kind, core, args, waits, site)
        for value in reads:
            self.storage(value, core).reads[pipe] = index
        if defines is not None:
            self._storage[defines, core] = Storage({pipe: index})
        if updates is not None:
            self.storage(updates, core).writes[pipe] = index
        return index

    def storage(self, value: object, core: Core) -> Storage:
        """Storage of a value on a core; empty if nothing wrote it there yet."""
        return self._storage.setdefault((value, core), Storage())

    def take_buffer(self, buffer: object, core: Core, value: object, *, still_live: bool) -> None:
        """`value` is about to be written to `buffer`. Its first write waits for the users of the last occupant.

        still_live: the last occupant is used later on; the compiler then gives the value a buffer of its own.
        """
        previous = self._occupant.get((buffer, core))
        self._occupant[buffer, core] = value
        if previous is not None and previous != value and not still_live:
            self._pending[value, core] = self.storage(previous, core).users()

    def occupant(self, buffer: object, core: Core) -> object | None:
        """The value that a buffer holds on a core."""
        return self._occupant.get((buffer, core))
