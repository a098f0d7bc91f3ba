"""Recorded results of upstream's CPU simulator for masks, sorting, patterns, remainders and the cube's other forms.

Together with test_recorded.py every recorded operator is reproduced; `test_every_recording_is_used` says so.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pto_sim.numerics import arithmetic, bits, comparisons, patterns, sorting
from pto_sim.numerics.casts import convert
from pto_sim.numerics.element_types import STORAGE
from tests.numerics.special_values import assert_same_bits
from tests.numerics.test_recorded import _NAMES, FOLDER, Recorded, crop, run

_PATTERNS = {"P0101": 1, "P1010": 2, "P0001": 3, "P0010": 4, "P0100": 5, "P1000": 6, "P1111": 7}
_FILL = 0x5A
NOT_OF_THE_LANGUAGE = {
    "axpy": "no operator of the language reaches TAXPY",
    "fusedmuladd": "no operator of the language reaches TFUSEDMULADD",
    "fusedmuladdrelu": "no operator of the language reaches TFUSEDMULADDRELU",
    "muladddst": "no operator of the language reaches TMULADDDST",
    "subrelu": "no operator of the language reaches TSUBRELU",
    "cmp32": "the language's mask tiles are UINT8",
    "store_acc_relu": "no operator of the language stores with a fused rectifier",
}


def lanes(x: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(x)[None]


def scalar_of(meta: dict[str, Any], x: np.ndarray) -> Any:
    return int(meta["scalar"]) if x.dtype.kind in "iu" else float(meta["scalar"])


@pytest.mark.parametrize("name", ["and", "or", "xor", "shl", "shr", "fmod", "rem", "prelu"])
def test_pairs(name: str) -> None:
    functions: dict[str, Any] = {
        "and": bits.bit_and, "or": bits.bit_or, "xor": bits.bit_xor, "shl": bits.shift_left,
        "shr": bits.shift_right, "fmod": arithmetic.fmod, "rem": arithmetic.rem, "prelu": arithmetic.prelu,
    }  # fmt: skip
    recorded = Recorded(name)
    for case, meta in recorded.meta.items():
        a, b = (crop(recorded.operand(case, i), meta["valid"]) for i in (0, 1))
        expected = crop(recorded.get(case, "out", meta["dtype"]), meta["valid"])
        assert_same_bits(functions[name](lanes(a), lanes(b), profile="cpu-sim")[0], expected, a, b)


@pytest.mark.parametrize("name", ["ands", "ors", "xors", "shls", "shrs", "fmods", "rems", "lrelu", "rdivs"])
def test_with_a_number(name: str) -> None:
    functions: dict[str, Any] = {
        "ands": bits.bit_and, "ors": bits.bit_or, "xors": bits.bit_xor, "shls": bits.shift_left,
        "shrs": bits.shift_right, "fmods": arithmetic.fmod, "rems": arithmetic.rem, "lrelu": arithmetic.lrelu,
        "rdivs": arithmetic.rdivs,
    }  # fmt: skip
    recorded = Recorded(name)
    for case, meta in recorded.meta.items():
        a = crop(recorded.operand(case, 0), meta["valid"])
        expected = crop(recorded.get(case, "out", meta["dtype"]), meta["valid"])
        scalar = scalar_of(meta, a)
        if name in ("fmods", "rems") and scalar == 0:
            with pytest.raises(ZeroDivisionError):  # the simulator writes nothing
                functions[name](lanes(a), scalar)
            assert (recorded.arrays[f"{case}/out"].view(np.uint8) == _FILL).all()
            continue
        actual = functions[name](lanes(a), scalar, profile="cpu-sim")[0]
        assert_same_bits(actual, expected, a)


@pytest.mark.parametrize("name", ["relu", "not"])
def test_one_operand(name: str) -> None:
    function: Any = {"relu": arithmetic.relu, "not": bits.bit_not}[name]
    recorded = Recorded(name)
    for case, meta in recorded.meta.items():
        x = crop(recorded.operand(case, 0), meta["valid"])
        assert_same_bits(function(lanes(x))[0], crop(recorded.get(case, "out", meta["dtype"]), meta["valid"]), x)


@pytest.mark.parametrize("name", ["addc", "subc", "addsc", "subsc"])
def test_sums_of_three(name: str) -> None:
    """16-bit cases depend on the compiler's excess precision; the recorded `out` rounds once."""
    function: Any = arithmetic.addc if name.startswith("add") else arithmetic.subc
    recorded = Recorded(name)
    for case, meta in recorded.meta.items():
        a = crop(recorded.operand(case, 0), meta["valid"])
        others = [crop(recorded.operand(case, i), meta["valid"]) for i in (1, 2) if f"{case}/in{i}" in recorded.arrays]
        second: Any = scalar_of(meta, a) if name.endswith("sc") else lanes(others[0])
        actual = function(lanes(a), second, lanes(others[-1]), profile="cpu-sim")[0]
        assert_same_bits(actual, crop(recorded.get(case, "out", meta["dtype"]), meta["valid"]), a)


@pytest.mark.parametrize("axis", ["row", "col"])
def test_expdif(axis: str) -> None:
    recorded = Recorded(f"{axis}_expand_expdif")
    for case, meta in recorded.meta.items():
        if "block" in case or "vecfirst" in case:
            continue
        rows, columns = meta["valid"]
        x, v = recorded.operand(case, 0)[:rows, :columns], recorded.operand(case, 1)
        v = v[:rows, :1] if axis == "row" else v[:1, :columns]
        expected = crop(recorded.get(case, "out", meta["dtype"]), meta["valid"])
        assert_same_bits(run(f"{axis}_expand_expdif", x, v), expected, x)


@pytest.mark.parametrize("name", ["row_prod", "col_prod", "row_argmax", "row_argmin", "col_argmax", "col_argmin"])
def test_products_and_positions(name: str) -> None:
    recorded = Recorded(name)
    for case, meta in recorded.meta.items():
        x = crop(recorded.operand(case, 0), meta["valid"])
        out = recorded.get(case, "out", meta["out_dtype"])
        expected = out[: meta["valid"][0], :1] if name.startswith("row") else out[:1, : meta["valid"][1]]
        if meta["out_dtype"] != meta["dtype"] and name.endswith("prod"):
            continue
        assert_same_bits(run(name, x), expected.view(np.int32) if "arg" in name else expected)


@pytest.mark.parametrize("name", ["cmp", "cmps"])
def test_comparisons(name: str) -> None:
    recorded = Recorded(name)
    used = 0
    for case, meta in recorded.meta.items():
        a = crop(recorded.operand(case, 0), meta["valid"])
        b: Any = lanes(crop(recorded.operand(case, 1), meta["valid"])) if name == "cmp" else scalar_of(meta, a)
        mode = comparisons.MODES.index(meta["cmp"])
        actual = comparisons.cmp(lanes(a), b, cmp_type=mode, profile="cpu-sim")[0]
        rows, columns = meta["mask_valid"]
        if name == "cmps" and 8 * columns != meta["tile"][1]:
            continue  # the simulator lays the bytes of a row into the next mask row
        used += 1
        full = min(columns, meta["valid"][1] // 8)
        assert_same_bits(actual[:rows, :full], recorded.arrays[f"{case}/out"][:rows, :full], a)
    assert used >= 12


@pytest.mark.parametrize("name", ["sel", "sels"])
def test_selection(name: str) -> None:
    recorded = Recorded(name)
    for case, meta in recorded.meta.items():
        if meta["valid"][1] != 8 * meta["mask_valid"][1]:
            continue  # the simulator runs the bits on into the next row
        a = recorded.operand(case, 0)
        mask = recorded.arrays[f"{case}/in{2 if name == 'sel' else 1}"]
        other: Any = lanes(recorded.operand(case, 1)) if name == "sel" else scalar_of(meta, a)
        function: Any = comparisons.sel if name == "sel" else comparisons.sels
        actual = function(lanes(mask), lanes(a), other)[0]
        assert_same_bits(crop(actual, meta["valid"]), crop(recorded.get(case, "out", meta["dtype"]), meta["valid"]), a)


def test_sort32() -> None:
    recorded = Recorded("sort32")
    for case, meta in recorded.meta.items():
        rows, columns = meta["valid"]
        x, index = (recorded.arrays[f"{case}/in{i}"][:rows, :columns] for i in (0, 1))
        x = recorded.get(case, "in0", meta["dtype"])[:rows, :columns]
        actual = sorting.sort32(lanes(x), lanes(index), profile="cpu-sim")[0]
        expected = recorded.get(case, "out", meta["dtype"])[:rows, : actual.shape[1]]
        written = expected.view(np.uint8) != _FILL
        got, want = actual.view(np.uint8), np.ascontiguousarray(expected).view(np.uint8)
        assert (got == want)[written].all(), case


def test_merge_of_runs() -> None:
    recorded = Recorded("mrgsort1")
    for case, meta in recorded.meta.items():
        x = recorded.operand(case, 0)
        actual = sorting.mrgsort(lanes(x), block_len=meta["block_len"], profile="cpu-sim")[0]
        whole = meta["dst_valid_cols"] // (4 * meta["block_len"]) * 4 * meta["block_len"]
        assert_same_bits(actual[:, :whole], recorded.get(case, "out", meta["dtype"])[:, :whole])


def test_merge_of_lists() -> None:
    recorded = Recorded("mrgsort2")
    for case, meta in recorded.meta.items():
        x, stride = recorded.operand(case, 0), meta["list_stride"]
        parts = [x[:, i * stride : i * stride + n] for i, n in enumerate(meta["list_valid_cols"][: meta["lists"]])]
        actual = sorting.mrgsort_lists(*map(lanes, parts), exhausted=meta["exhausted"], profile="cpu-sim")[0]
        count = int(recorded.arrays[f"{case}/executed"].sum()) * meta["record_elems"]
        count = min(count, meta["dst_valid_cols"])
        assert count > 0
        assert_same_bits(actual[:, :count], recorded.get(case, "out", meta["dtype"])[:, :count])


def test_gather_mask() -> None:
    recorded = Recorded("gather_mask")
    for case, meta in recorded.meta.items():
        x = crop(recorded.operand(case, 0), meta["valid"])
        out_dtype = meta.get("out_dtype", meta["dtype"])
        actual = patterns.gather_mask(lanes(x), pattern=_PATTERNS[meta["pattern"]], dtype=_NAMES[meta["dtype"]])[0]
        expected = recorded.get(case, "out", out_dtype).reshape(-1)[: actual.size]
        if STORAGE[_NAMES[out_dtype]].itemsize != actual.dtype.itemsize:
            continue  # a numeric cast, which the language's operator does not have
        assert_same_bits(actual.reshape(-1).view(expected.dtype), expected)


def test_flat_gather_of_every_type() -> None:
    recorded = Recorded("gather")
    for case, meta in recorded.meta.items():
        index = crop(recorded.arrays[f"{case}/in1"], meta["valid"])
        actual = patterns.gather_flat(lanes(recorded.operand(case, 0)), lanes(index), profile="cpu-sim")[0]
        assert_same_bits(actual, crop(recorded.get(case, "out", meta["dtype"]), meta["valid"]))


def test_gather_blocks() -> None:
    recorded = Recorded("gatherb")
    for case, meta in recorded.meta.items():
        x = recorded.operand(case, 0)
        offsets = recorded.arrays[f"{case}/in1"]
        actual = patterns.gatherb(lanes(x), lanes(offsets), columns=x.shape[1], profile="cpu-sim")[0]
        out = recorded.get(case, "out", meta["dtype"])
        written = np.ascontiguousarray(out).view(np.uint8) != _FILL
        assert (actual.view(np.uint8) == np.ascontiguousarray(out).view(np.uint8))[written].all(), case


def test_scatter() -> None:
    recorded = Recorded("scatter")
    for case, meta in recorded.meta.items():
        src, index = (crop(recorded.arrays[f"{case}/in{i}"], meta["valid"]) for i in (0, 1))
        dst = np.full(recorded.arrays[f"{case}/out"].size * src.dtype.itemsize, _FILL, np.uint8).view(src.dtype)
        dst = dst.reshape(recorded.arrays[f"{case}/out"].shape)
        actual = patterns.scatter_flat(lanes(dst), lanes(src), lanes(index), profile="cpu-sim")[0]
        assert_same_bits(actual, recorded.arrays[f"{case}/out"].view(src.dtype))


def test_scatter_by_pattern() -> None:
    recorded = Recorded("scatter_mask")
    for case, meta in recorded.meta.items():
        if meta["valid"] != meta["out_tile"]:
            continue
        src = recorded.arrays[f"{case}/in0"]
        dst = np.ones(meta["out_tile"], src.dtype)
        actual = patterns.scatter_mask(lanes(dst), lanes(src), pattern=_PATTERNS[meta["pattern"]])[0]
        assert_same_bits(actual, recorded.arrays[f"{case}/out"])


@pytest.mark.parametrize("name", ["part_add", "part_mul", "part_max", "part_min"])
def test_parts(name: str) -> None:
    recorded = Recorded(name)
    for case, meta in recorded.meta.items():
        a, b = (crop(recorded.operand(case, i), meta["valid"]) for i in (0, 1))
        valids = [tuple(meta.get(key, meta["valid"])) for key in ("valid0", "valid1")]
        actual = run(name, a, b, a_valid=valids[0], b_valid=valids[1])
        assert_same_bits(actual, crop(recorded.get(case, "out", meta["dtype"]), meta["valid"]), a, b)


@pytest.mark.parametrize("name", ["tril", "triu"])
def test_triangles(name: str) -> None:
    recorded = Recorded(name)
    for case, meta in recorded.meta.items():
        expected = crop(recorded.get(case, "out", meta["dtype"]), meta["valid"])
        actual = run(
            "tri", diagonal=meta["diagonal"], shape=expected.shape, dtype=_NAMES[meta["dtype"]], upper=name == "triu"
        )
        assert_same_bits(actual, expected)


def test_random() -> None:
    from pto_sim.numerics import generators

    recorded = Recorded("random")
    for case, meta in recorded.meta.items():
        words = [int(w) for w in recorded.arrays[f"{case}/in0"]]
        actual = generators.random(
            key=(words[0], words[1]), counter=(words[2], words[3], words[4], words[5]), shape=tuple(meta["valid"]),
            rounds=meta["rounds"], row_stride=meta["row_stride"],
        )[0]  # fmt: skip
        assert_same_bits(actual, crop(recorded.arrays[f"{case}/out"], meta["valid"]))


@pytest.mark.parametrize("name", ["gemv", "matmul_bias"])
def test_other_products(name: str) -> None:
    recorded = Recorded(name)
    for case in recorded.meta:
        a, b = recorded.operand(case, 0), recorded.operand(case, 1)
        actual = run("matmul", a, b)
        if name == "matmul_bias":
            bias = recorded.arrays[f"{case}/in2"]
            with np.errstate(all="ignore"):
                actual = actual + bias
        assert_same_bits(actual, recorded.arrays[f"{case}/out"])


@pytest.mark.parametrize("name", ["store_acc", "store_acc_add", "store_vec", "store_vec_add"])
def test_stores(name: str) -> None:
    from pto_sim.numerics.atomic import atomic_add

    recorded = Recorded(name)
    for case, meta in recorded.meta.items():
        source = recorded.get(case, "in0", meta["dtype"])
        before = recorded.get(case, "in1", meta["out_dtype"]).copy()
        rows, columns = meta["valid"]
        target = _NAMES[meta["out_dtype"]]
        value = source[:rows, :columns]
        if value.dtype != STORAGE[target]:
            value = convert(value, target, "rint", "cpu-sim")
        window = before[:rows, :columns]
        window[...] = atomic_add(window, value) if name.endswith("add") else value
        assert_same_bits(before, recorded.get(case, "out", meta["out_dtype"]))


def test_every_recording_is_used() -> None:
    """Each recorded operator is named by a test, or has the reason why the language cannot reach it."""
    used = set()
    for file in ("test_recorded.py", "test_recorded_selection.py", "test_recorded_padding.py"):
        tree = ast.parse((Path(__file__).parent / file).read_text(encoding="utf-8"))
        used |= {
            node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)
        }
    expands = {f"{axis}_expand_{op}" for axis in ("row", "col") for op in ("add", "sub", "mul", "div", "max", "min")}
    expands |= {"row_expand", "col_expand", "row_expand_expdif", "col_expand_expdif"}
    recordings = {path.stem for path in FOLDER.glob("*.npz")}
    assert recordings - used - expands == set()
    assert len(recordings) == 114
