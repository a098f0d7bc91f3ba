"""What lowering needs to know of a recorded op name: its role and, for compute, its unit."""

from __future__ import annotations

from enum import Enum

from pto_sim.numerics.optable import OP_TABLE
from pto_sim.program.errors import UnsupportedError


class Role(Enum):
    """How lowering treats an op. VIEW, CREATE, MARK produce no instruction. GATHER, SCATTER access GM by an index."""

    LOAD = "load"
    STORE = "store"
    READ = "read"
    WRITE = "write"
    CREATE = "create"
    VIEW = "view"
    ASSEMBLE = "assemble"
    CUBE = "cube"
    VECTOR = "vector"
    LOOP = "loop"
    SCALAR = "scalar"
    GATHER = "gather"
    SCATTER = "scatter"
    MARK = "mark"
    PUSH = "push"
    POP = "pop"
    FREE = "free"
    SYNC = "sync"


LOADS = (Role.LOAD, Role.GATHER)
"""Roles whose result comes from GM and lives where its consumers are."""

_ROLES = {
    "load": Role.LOAD,
    "store": Role.STORE,
    "read": Role.READ,
    "write": Role.WRITE,
    "create_tile": Role.CREATE,
    "slice": Role.VIEW,
    "reshape": Role.VIEW,
    "transpose_view": Role.VIEW,
    "assemble": Role.ASSEMBLE,
    "full": Role.VECTOR,
    "arange": Role.VECTOR,
    "fillpad": Role.VECTOR,
    "mgather": Role.GATHER,
    "mscatter": Role.SCATTER,
    "tile.read": Role.SCALAR,
    "loop.begin": Role.LOOP,
    "loop.iter": Role.LOOP,
    "loop.end": Role.LOOP,
    "core.mark": Role.MARK,
    "pipe": Role.MARK,
    "tpush": Role.PUSH,
    "tpop": Role.POP,
    "tfree": Role.FREE,
    "sync_set": Role.SYNC,
    "sync_wait": Role.SYNC,
    "set_ffts": Role.SYNC,
    "sync_src": Role.SYNC,
    "sync_dst": Role.SYNC,
    "bar_v": Role.SYNC,
    "bar_m": Role.SYNC,
    "bar_all": Role.SYNC,
    "fence": Role.SYNC,
    "cacheinvalid": Role.SYNC,
    "syncall": Role.SYNC,
}


def role_of(op: str) -> Role:
    """Role of a recorded op. Raises UnsupportedError for a name that neither lowering nor the op table knows."""
    role = _ROLES.get(op)
    if role is not None:
        return role
    row = OP_TABLE.get(op)
    if row is None:
        raise UnsupportedError(f"the operation {op} in the timing model")
    return Role.CUBE if row.unit == "M" else Role.VECTOR
