"""The kernel language: `import pto_sim.language as pl`.

The names are those of `pypto.language`; a kernel that uses them compiles there after exchanging the import.
"""

from __future__ import annotations

from typing import Any

from pto_sim.engine.launches import SplitMode as SplitMode
from pto_sim.frontend.annotations import RUNTIME as RUNTIME
from pto_sim.frontend.annotations import Array as Array
from pto_sim.frontend.annotations import InOut as InOut
from pto_sim.frontend.annotations import Out as Out
from pto_sim.frontend.annotations import Scalar as Scalar
from pto_sim.frontend.annotations import Tensor as Tensor
from pto_sim.frontend.annotations import TensorView as TensorView
from pto_sim.frontend.annotations import Tile as Tile
from pto_sim.frontend.annotations import Tuple as Tuple
from pto_sim.frontend.program_class import function as function
from pto_sim.frontend.program_class import program as program
from pto_sim.frontend.task_functions import spmd_submit as spmd_submit
from pto_sim.frontend.task_functions import submit as submit
from pto_sim.frontend.tile_annotations import MemRef as MemRef
from pto_sim.frontend.tile_annotations import TileView as TileView
from pto_sim.language import array, distributed, optimizations, prefetch, system, tensor, tile
from pto_sim.language.cube import *  # noqa: F403
from pto_sim.language.decorators import dynamic, jit
from pto_sim.language.decorators import inline as inline
from pto_sim.language.dtypes import *  # noqa: F403
from pto_sim.language.enumerations import *  # noqa: F403
from pto_sim.language.indexed import *  # noqa: F403
from pto_sim.language.names import unknown_name
from pto_sim.language.operand_names import named_calls
from pto_sim.language.operators import *  # noqa: F403
from pto_sim.language.padding import (
    dump_tag,
    expand_clone,
    expands,
    fillpad,
    fillpad_expand,
    fillpad_inplace,
    no_dep,
    reinterpret_view,
    static_assert,
    static_print,
    transpose_view,
)
from pto_sim.language.pipes import *  # noqa: F403
from pto_sim.language.scalars import max, min
from pto_sim.language.selection import *  # noqa: F403
from pto_sim.language.statements import (
    aic_gather,
    aiv_shard,
    at,
    cluster,
    cond,
    cross_core_slot,
    func_attr,
    manual_scope,
    parallel,
    pipeline,
    range,
    scope,
    split,
    split_aiv,
    spmd,
    unroll,
    while_,
    yield_,
)
from pto_sim.language.storage import (
    arange,
    assemble,
    const,
    create_l1,
    create_tensor,
    create_tile,
    full,
    gather_row,
    load,
    move,
    read,
    reshape,
    set_validshape,
    slice,
    store,
    write,
)
from pto_sim.language.tile import get_block_idx, get_block_num, get_subblock_idx
from pto_sim.program.dtypes import DTYPES

ci = arange
ND, DN, NZ = "nd", "dn", "nz"
MX_A_ZZ, MX_B_NN = "mx_a_zz", "mx_b_nn"
TaskId: Any = Scalar.__class_getitem__(DTYPES["TASK_ID"])
dim = tensor.dim
globals().update(named_calls("pl", {name: value for name, value in globals().items() if callable(value)}))

__all__ = [
    "DN", "MX_A_ZZ", "MX_B_NN", "ND", "NZ", "TaskId", "aic_gather", "aiv_shard", "arange", "array", "assemble",
    "at", "ci", "cluster", "cond", "const", "create_l1", "create_tensor", "create_tile", "cross_core_slot", "dim",
    "distributed", "dump_tag", "dynamic", "expand_clone", "expands", "fillpad", "fillpad_expand", "fillpad_inplace",
    "full", "func_attr", "function", "gather_row", "get_block_idx", "get_block_num", "get_subblock_idx", "inline",
    "jit", "load", "manual_scope", "max", "min", "move", "no_dep", "optimizations", "parallel", "pipeline",
    "prefetch", "program", "range", "read", "reinterpret_view", "reshape", "scope", "set_validshape", "slice",
    "split", "split_aiv", "spmd", "spmd_submit", "static_assert", "static_print", "store", "submit", "system",
    "tensor", "tile", "transpose_view", "unroll", "while_", "write", "yield_",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    raise unknown_name(name, globals())
