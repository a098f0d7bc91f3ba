"""Recorded results of upstream's simulator through the language: load, one operator, store, in profile cpu-sim.

What the language can ask for must come out to the bit, the whole destination tile of it; what it does not take must be
refused with the code that `refused` names.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from pto_sim.numerics.casts import cast_chain
from pto_sim.numerics.optable import OP_TABLE
from pto_sim.program.errors import KernelError
from tests.language.recorded_kernels import KERNELS
from tests.numerics.recordings import Case, cases
from tests.numerics.special_values import assert_same_bits


def refused(name: str, row: str, c: Case) -> str:
    """The error code that the language owes for a case, or nothing."""
    partial = c.valid != c.tile(0).shape if c.has("in0") else False
    if name.endswith("s") and name[:-1] in ("fmod", "rem") and c.scalar == 0:
        return "PTO205"
    if c.dtype not in OP_TABLE[row].dtypes or (name == "cast" and c.out_dtype not in OP_TABLE[row].dtypes):
        return "PTO202"
    if name == "cast" and (c.dtype == c.out_dtype or cast_chain(c.dtype, c.out_dtype) is None):
        return "PTO202"
    if name == "subs" and c.dtype not in ("FP32", "BF16", "FP16", "INT32", "INT16", "INT8"):
        return "PTO202"
    if name == "store_vec_add" and c.dtype not in ("FP32", "BF16", "FP16", "INT32", "INT16", "INT8"):
        return "PTO202"
    if name == "mrgsort1" and c.meta["block_len"] % 64:
        return "PTO202"
    if name == "gather" and partial:
        return "PTO202"
    return ""


def reachable(name: str, c: Case) -> bool:
    """The language can ask for what was recorded: no saturation, no chain, no wider result, no other pad on a load."""
    if name == "cast":
        return not c.meta["saturation"] and cast_chain(c.dtype, c.out_dtype) in (None, (c.out_dtype,))
    if name in ("row_sum", "col_sum"):
        return c.dtype == c.out_dtype
    if name.startswith("row_expand_"):
        packed = name == "row_expand_add" and c.meta["vector"].startswith("src1 is row-major")
        return packed or "col-major" in c.meta["vector"]
    return name != "load" or c.meta["pad"] in ("zero", "null")


@pytest.mark.parametrize("name", sorted(KERNELS))
def test_recorded_operator_through_a_kernel(name: str) -> None:
    row, reproduce = KERNELS[name]
    used = 0
    for case in cases(name):
        if not reachable(name, case):
            continue
        code = refused(name, row, case)
        if code:
            with pytest.raises(KernelError, match=code):
                reproduce(case)
            continue
        used += 1
        assert_same_bits(reproduce(case), case.out, what=f"{case.name} {case.meta}")
    assert used or name == "ors"  # recorded on 32 and 8 bits only


def test_the_page_of_recordings_counts_what_is_tested(repository: Path) -> None:
    from tests.language.recordings_page import page_lines

    text = (repository / "docs" / "recordings.md").read_text(encoding="utf-8")
    assert text == "\n".join(page_lines()) + "\n", "python -m tests.language.recordings_page > docs/recordings.md"
