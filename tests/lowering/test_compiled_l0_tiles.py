"""The L0 products of upstream's scripts are the ones that their compiler made of them.

tests/data/l0_tiles.json, by script of pypto-lib (commit 634e77bd). compiled: the distinct L0 products [m, k, n, dtype]
that pypto (commit e2d0f78ae) emitted for a2a3, read from its output. products: the distinct products of the script as
written, [op, M, K, N, dtype, manual].
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pto_sim.lowering.cube_ops import MatmulShape, l0_uses
from pto_sim.numerics.element_types import STORAGE

RECORDS = json.loads((Path(__file__).parents[1] / "data" / "l0_tiles.json").read_text(encoding="utf-8"))


def cut(op: str, m: int, k: int, n: int, dtype: str, manual: bool) -> set[tuple[int, int, int, str]]:
    shape = MatmulShape(m, n, k, 1, dtype, STORAGE[dtype].itemsize, op, manual)
    return {(use.m, use.k, use.n, use.dtype) for use in l0_uses(op, shape)}


@pytest.mark.parametrize("script", RECORDS)
def test_products_are_cut_as_the_compiler_cuts_them(script: str) -> None:
    record = RECORDS[script]
    found = set().union(*(cut(*product) for product in record["products"]))
    assert found == {tuple(product) for product in record["compiled"]}


def test_the_records_hold_products_that_are_cut_and_products_that_are_not() -> None:
    """Whole or cut along K alone or along more, in every type: a chooser without rules would not pass."""
    written = {(m, k, n, dtype) for record in RECORDS.values() for _, m, k, n, dtype, _ in record["products"]}
    compiled = {tuple(product) for record in RECORDS.values() for product in record["compiled"]}
    assert {dtype for *_, dtype in compiled} == {"FP32", "BF16", "INT8"}
    assert written & compiled and written - compiled and len(compiled) > 15
