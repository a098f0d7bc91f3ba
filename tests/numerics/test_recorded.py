"""Results recorded from upstream's CPU simulator (pto-isa 3186c381), to the bit, under profile cpu-sim.

The .npz files hold inputs and outputs per case; bf16 is raw uint16. Only the valid region is compared. Cases of
casts with saturation are left out: the language cannot ask for it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pto_sim.numerics.casts import convert
from pto_sim.numerics.element_types import NAMES, STORAGE
from pto_sim.numerics.optable import OP_TABLE
from tests.numerics.special_values import BF16, assert_same_bits

FOLDER = Path(__file__).resolve().parent.parent / "data" / "vectors"
_NAMES = {
    "f32": "FP32", "f16": "FP16", "bf16": "BF16", "i8": "INT8", "i16": "INT16", "i32": "INT32", "i64": "INT64",
    "u8": "UINT8", "u16": "UINT16", "u32": "UINT32",
}  # fmt: skip
_OPS = {"max": "maximum", "min": "minimum"}
_SCALAR = {"adds": "add", "subs": "sub", "muls": "mul", "divs": "div", "maxs": "maximum", "mins": "minimum"}


class Recorded:
    """One operator's recorded cases."""

    def __init__(self, name: str) -> None:
        with np.load(FOLDER / f"{name}.npz") as archive:
            self.arrays = {key: archive[key] for key in archive.files if key != "meta"}
            self.meta: dict[str, dict[str, Any]] = json.loads(str(archive["meta"]))

    def get(self, case: str, part: str, dtype: str) -> np.ndarray:
        array = self.arrays[f"{case}/{part}"]
        return array.view(BF16) if dtype == "bf16" and array.dtype == np.uint16 else array

    def operand(self, case: str, number: int) -> np.ndarray:
        return self.get(case, f"in{number}", self.meta[case]["dtype"])


def crop(array: np.ndarray, valid: list[int]) -> np.ndarray:
    return array[: valid[0], : valid[1]]


def run(op: str, *operands: Any, **attrs: Any) -> np.ndarray:
    lanes = [x[None] if isinstance(x, np.ndarray) and x.ndim else x for x in operands]
    return OP_TABLE[op].function(*lanes, profile="cpu-sim", **attrs)[0]


@pytest.mark.parametrize("name", ["add", "sub", "mul", "div", "max", "min"])
def test_tile_with_tile(name: str) -> None:
    recorded = Recorded(name)
    for case, meta in recorded.meta.items():
        a, b = (crop(recorded.operand(case, i), meta["valid"]) for i in (0, 1))
        expected = crop(recorded.get(case, "out", meta["dtype"]), meta["valid"])
        assert_same_bits(run(_OPS.get(name, name), a, b), expected, a, b)


@pytest.mark.parametrize("name", list(_SCALAR))
def test_tile_with_scalar(name: str) -> None:
    recorded = Recorded(name)
    for case, meta in recorded.meta.items():
        a = crop(recorded.operand(case, 0), meta["valid"])
        scalar = meta["scalar"] if a.dtype.kind in "iu" else float(meta["scalar"])
        expected = crop(recorded.get(case, "out", meta["dtype"]), meta["valid"])
        assert_same_bits(run(_SCALAR[name], a, scalar), expected, a)


@pytest.mark.parametrize("name", ["abs", "neg", "exp", "log", "sqrt", "rsqrt", "recip"])
def test_one_operand(name: str) -> None:
    recorded = Recorded(name)
    for case, meta in recorded.meta.items():
        x = crop(recorded.operand(case, 0), meta["valid"])
        assert_same_bits(run(name, x), crop(recorded.get(case, "out", meta["dtype"]), meta["valid"]), x)


@pytest.mark.parametrize("name", ["row_sum", "row_max", "row_min", "col_sum", "col_max", "col_min"])
def test_reductions(name: str) -> None:
    recorded = Recorded(name)
    for case, meta in recorded.meta.items():
        if meta["out_dtype"] != meta["dtype"]:
            continue
        x = crop(recorded.operand(case, 0), meta["valid"])
        out = recorded.get(case, "out", meta["dtype"])
        expected = out[: meta["valid"][0], :1] if name.startswith("row") else out[:1, : meta["valid"][1]]
        assert_same_bits(run(name, x), expected)


@pytest.mark.parametrize("axis", ["row", "col"])
@pytest.mark.parametrize("op", ["add", "sub", "mul", "div", "max", "min"])
def test_vector_with_tile(axis: str, op: str) -> None:
    recorded = Recorded(f"{axis}_expand_{op}")
    used = 0
    for case, meta in recorded.meta.items():
        if "block" in case or "vecfirst" in case:
            continue  # packed and vector-first operands are not forms of the language's operator
        rows, columns = meta["valid"]
        x = recorded.operand(case, 0)[:rows, :columns]
        v = recorded.operand(case, 1)
        v = v[:rows, :1] if axis == "row" else v[:1, :columns]
        assert_same_bits(
            run(f"{axis}_expand_{op}", x, v), crop(recorded.get(case, "out", meta["dtype"]), meta["valid"])
        )
        used += 1
    assert used >= 2


@pytest.mark.parametrize("axis", ["row", "col"])
def test_expand(axis: str) -> None:
    recorded = Recorded(f"{axis}_expand")
    for case, meta in recorded.meta.items():
        rows, columns = meta["valid"]
        v = recorded.operand(case, 0)
        v = v[:rows, :1] if axis == "row" else v[:1, :columns]
        target = np.zeros((rows, columns), v.dtype)
        assert_same_bits(
            run(f"{axis}_expand", target, v), crop(recorded.get(case, "out", meta["dtype"]), meta["valid"])
        )


def test_gather_from_one_flat_row() -> None:
    """The recorded form indexes the flat source tile; that is our per-row form on a single row."""
    recorded = Recorded("gather")
    for case, meta in recorded.meta.items():
        source = recorded.operand(case, 0).reshape(1, -1)
        index = crop(recorded.arrays[f"{case}/in1"], meta["valid"])
        expected = crop(recorded.get(case, "out", meta["dtype"]), meta["valid"])
        assert_same_bits(run("gather", source, index.reshape(1, -1)).reshape(expected.shape), expected)


def test_transpose() -> None:
    recorded = Recorded("transpose")
    for case, meta in recorded.meta.items():
        x = crop(recorded.operand(case, 0), meta["valid"])
        expected = recorded.get(case, "out", meta["dtype"])[: x.shape[1], : x.shape[0]]
        assert_same_bits(run("transpose", x), expected)


@pytest.mark.parametrize("name", ["ci", "ci_desc"])
def test_arange(name: str) -> None:
    recorded = Recorded(name)
    for case, meta in recorded.meta.items():
        count = meta["valid_cols"]
        actual = run(
            "arange", start=meta["start"], shape=(1, count), dtype=_NAMES[meta["dtype"]], descending=name == "ci_desc"
        )
        assert_same_bits(actual, recorded.arrays[f"{case}/out"][:, :count])


def test_full() -> None:
    recorded = Recorded("expands")
    for case, meta in recorded.meta.items():
        expected = crop(recorded.get(case, "out", meta["dtype"]), meta["valid"])
        actual = run("full", shape=expected.shape, dtype=_NAMES[meta["dtype"]], value=meta["scalar"])
        assert_same_bits(actual, expected)


def test_cast() -> None:
    recorded = Recorded("cast")
    seen = set()
    for case, meta in recorded.meta.items():
        if meta["saturation"]:
            continue
        x = recorded.operand(case, 0)
        actual = convert(x, _NAMES[meta["out_dtype"]], meta["mode"], "cpu-sim")
        assert_same_bits(actual, recorded.get(case, "out", meta["out_dtype"]), x)
        seen.add((meta["dtype"], meta["out_dtype"]))
    assert len(seen) > 50


@pytest.mark.parametrize("name", ["matmul", "matmul_acc"])
def test_matmul(name: str) -> None:
    recorded = Recorded(name)
    for case, meta in recorded.meta.items():
        operands = [recorded.operand(case, 0), recorded.operand(case, 1)]
        if name == "matmul_acc":
            operands.insert(0, recorded.arrays[f"{case}/in2"])
        out = recorded.arrays[f"{case}/out"]
        assert NAMES[operands[-1].dtype] in OP_TABLE[name].dtypes
        assert out.dtype == STORAGE["INT32" if meta["dtype"] == "i8" else "FP32"]
        assert_same_bits(run(name, *operands), out)
