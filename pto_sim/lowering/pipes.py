"""The hidden gm_pipe_buffer of a mixed task.

On a2a3 cube and vector exchange tiles through a GM ring that the compiler allocates with the task's other
buffers (pypto: include/pypto/codegen/gm_pipe_layout.h, src/codegen/orchestration/orchestration_analysis.cpp).
"""

from __future__ import annotations

from collections.abc import Iterable

from pto_sim.lowering.lowered import CUBE_TO_VECTOR, VECTOR_TO_CUBE, Pipe
from pto_sim.lowering.unit_split import Transfer
from pto_sim.program.errors import InputError
from pto_sim.program.model import OpSignature, Stream

CURRENT_SLOTS_PER_DIRECTION = 2
"""pypto since 7226a964f: kDefaultAutoPipeSlotNum."""

SEED_SLOTS_ONE_WAY = 8
SEED_SLOTS_TWO_WAY = 4
"""The compiler's default before: 8 for one direction, 4 in all for both."""


def author_rings(streams: Iterable[Stream], signatures: list[OpSignature]) -> tuple[tuple[str, int, int], ...]:
    """(direction, slots, slot bytes) of every ring that initialize_pipe sets up in one of the streams."""
    found: dict[tuple[object, object], tuple[str, int, int]] = {}
    for stream in streams:
        for op in stream.ops:
            signature = signatures[op.signature]
            if signature.op == "pipe":
                attrs = dict(signature.attrs)
                slots, size = int(str(attrs["slots"])), int(str(attrs["slot_bytes"]))
                found[attrs["pipe"], attrs["direction"]] = (str(attrs["direction"]), slots, size)
    return tuple(found[key] for key in sorted(found, key=str))


SLOT_RULES = ("current", "seed")


def check_slot_rule(rule: str) -> None:
    """Raise InputError unless `rule` names a slot rule."""
    if rule not in SLOT_RULES:
        raise InputError(
            "PTO010", "unknown pipe slot rule", values=f"pipe_slots={rule!r}", hint=f"one of {', '.join(SLOT_RULES)}"
        )


def slots_of(directions: int, rule: str, slot_num: int | None) -> int:
    """Slots of one block over all its directions (1 or 2). slot_num: pl.cross_core_slot, slots per direction."""
    if slot_num is not None:
        return slot_num * directions
    if rule == "seed":
        return SEED_SLOTS_ONE_WAY if directions == 1 else SEED_SLOTS_TWO_WAY
    return CURRENT_SLOTS_PER_DIRECTION * directions


def size_pipe(
    transfers: Iterable[Transfer],
    blocks: int,
    rule: str,
    slot_num: int | None,
    rings: tuple[tuple[str, int, int], ...] = (),
) -> Pipe | None:
    """The pipe that carries `transfers` of all streams of a task; None if nothing crosses.

    A slot holds the largest tile that crosses, in either direction. A store from Acc to GM is no crossing.
    rings: those that the author sets up.
    """
    slot_bytes = 0
    seen: set[str] = set()
    for transfer in transfers:
        seen.add(transfer.direction)
        slot_bytes = max(slot_bytes, transfer.nbytes)
    if not seen:
        return Pipe((), 0, 0, blocks, rings) if rings else None
    directions = tuple(d for d in (CUBE_TO_VECTOR, VECTOR_TO_CUBE) if d in seen)
    return Pipe(directions, slot_bytes, slots_of(len(directions), rule, slot_num), blocks, rings)
