"""What is known while a group of blocks runs on its cores."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pto_sim.engine.lanes import LaneScalar, LaneSet
from pto_sim.engine.recorder import BlockRecorder
from pto_sim.engine.tile import Tile
from pto_sim.program.dtypes import DataType
from pto_sim.program.errors import KernelError
from pto_sim.program.model import ValueType

if TYPE_CHECKING:
    from pto_sim.engine.run import Run

# What the compiler plans with; pypto: src/backend/common/soc.cpp, pto-isa: include/pto/common/buffer_limits.hpp.
UB_BYTES = 184 * 1024


class CoreState:
    """One group of blocks of one task, running in lockstep.

    lanes: the blocks that are active now. block: their numbers, an int if there is one block.
    """

    __slots__ = ("block", "blocks", "lanes", "recorder", "run", "split", "subblock")

    def __init__(self, run: Run, ids: np.ndarray, blocks: int) -> None:
        self.run = run
        self.lanes = LaneSet(ids)
        self.blocks = blocks
        self.subblock = 0
        self.split: Any = None
        self.recorder = BlockRecorder(self.lanes)
        self.block: Any = int(ids[0]) if len(ids) == 1 else LaneScalar(self, ids.astype(np.int64), self.lanes)

    def make_tile(self, data: np.ndarray, type_: ValueType, dtype: DataType, **facts: Any) -> Tile:
        """A new tile with a new value number. The caller records the op that made it."""
        return Tile(self, data, type_, dtype, self.recorder.value(), **facts)

    def record(self, signature: int, out: int, ins: tuple[int, ...], gm: int = -1) -> None:
        """Record one op on the active lanes."""
        self.recorder.add(signature, out, ins, gm, self.lanes)

    def check_capacity(self, type_: ValueType, nbytes: int) -> None:
        """Raises KernelError (PTO301) if one vector tile alone is larger than the UB.

        A product is not checked here: the compiler may cut it along M and N, which lowering decides.
        """
        if nbytes > UB_BYTES:
            raise KernelError(
                "PTO301",
                "a tile does not fit UB (Vec)",
                site=self.run.site(),
                values=f"{list(type_.shape)} {type_.dtype} = {nbytes} bytes, UB (Vec) holds {UB_BYTES}",
                hint="use a smaller tile and loop over it",
            )
