"""What a runtime error says about the ring that is full: facts, and who asked for what."""

from __future__ import annotations

from collections.abc import Sequence

from ascend_model.ring import TaskRing


def scope_is_full(who: str, tasks: int, ring: TaskRing) -> str:
    """Error 1."""
    return (
        f"{who}: its scope already holds {tasks} tasks and ring {ring.index} has {ring.window} slots; a scope's tasks "
        f"keep theirs until it closes"
    )


def heap_is_full(who: str, nbytes: int, names: Sequence[str], ring: TaskRing) -> str:
    """Error 2. names: of the tensors that were to be placed."""
    why = "more than the whole heap" if nbytes > ring.heap.size_bytes else "no room until an open scope closes"
    return f"{who} asks ring {ring.index} for {nbytes} bytes ({', '.join(names) or 'its outputs'}): {why}"


def window_is_full(who: str, ring: TaskRing) -> str:
    """Error 3."""
    return f"{who}: the task window of ring {ring.index} is full of tasks of open scopes"


def tensormap_is_full(who: str, used: int, capacity: int, needed: int) -> str:
    """Error 11."""
    why = "no entry can be freed before an open scope closes"
    return f"{who}: TensorMap used {used}/{capacity}, needed {needed}, and {why}"
