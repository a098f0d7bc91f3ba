"""Rows of vector tiles fill whole blocks of 32 bytes.

The assembler demands it and reports it last (pto-isa: include/pto/common/constants.hpp, BLOCK_BYTE_SIZE); a column
[M, 1] is stored otherwise and is exempt.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pto_sim.lowering.dtypes import itemsize_bytes, rows_cols
from pto_sim.lowering.storage import Lifetime
from pto_sim.lowering.unit_split import VEC, UnitSplit
from pto_sim.program.errors import KernelError
from pto_sim.program.model import Program, Stream

BLOCK_BYTES = 32


def check_rows(stream: Stream, program: Program, split: UnitSplit, lives: Mapping[int, Lifetime]) -> None:
    """Raises KernelError (PTO247) for the first vector tile whose rows do not fill whole blocks."""
    for root, life in sorted(_vector_roots(split, lives), key=lambda item: item[1].first):
        value = split.types[root]
        _, columns = rows_cols(value.shape)
        nbytes = columns * itemsize_bytes(value.dtype)
        if columns == 1 or nbytes % BLOCK_BYTES == 0:
            continue
        signature = program.signatures[stream.ops[life.first].signature]
        whole = -(-nbytes // BLOCK_BYTES) * BLOCK_BYTES // itemsize_bytes(value.dtype)
        raise KernelError(
            "PTO247",
            "a row of a tile in UB (Vec) is a multiple of 32 bytes",
            site=program.sites[signature.site],
            values=f"{signature.op} gives {list(value.shape)} {value.dtype}: {nbytes} bytes a row",
            hint=f"make rows of {whole} elements, with valid_shape= for those that count",
        )


def _vector_roots(split: UnitSplit, lives: Mapping[int, Lifetime]) -> Iterable[tuple[int, Lifetime]]:
    return ((root, life) for root, life in lives.items() if VEC in split.homes.get(root, frozenset()))
