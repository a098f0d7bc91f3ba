"""What the strategies draw is what they promise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, find, given, settings
from hypothesis import strategies as st

import pto_sim.testing as pt
from ascend_model.chipspec import load_chip
from ascend_model.ring import RingSizes
from pto_sim.program.dtypes import DTYPES, DataType
from pto_sim.testing.task_program import Loop, Scope, Statement


@given(st.data(), pt.dtypes())
def test_shapes_have_whole_rows(data: st.DataObject, dtype: DataType) -> None:
    shape = data.draw(pt.shapes(dtype, rank=3, max_side=64))
    assert len(shape) == 3 and all(1 <= side <= 64 for side in shape)
    assert shape[-1] * dtype.nbytes % 32 == 0


def test_a_row_that_cannot_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="a row of INT8 has at least 32 elements, max_side is 16"):
        pt.shapes(DTYPES["INT8"], max_side=16)
    with pytest.raises(ValueError, match="kinds are"):
        pt.dtypes("complex")


@given(st.data(), pt.dtypes("float", "int", "uint", "bool"), st.booleans())
def test_tensors_have_the_type_that_was_asked_for(data: st.DataObject, dtype: DataType, special: bool) -> None:
    array = data.draw(pt.tensors(dtype, (3, 4), special=special))
    assert array.dtype == dtype.numpy and array.shape == (3, 4)
    if not special:
        assert np.isfinite(array.astype(np.float64)).all() and (np.abs(array.astype(np.float64)) <= 100).all()


@pytest.mark.parametrize("name", ["FP32", "FP16", "BF16"])
def test_special_floats_hold_every_class(name: str) -> None:
    with np.errstate(invalid="ignore"):  # a signalling NaN is among them
        values = pt.special_values(DTYPES[name]).astype(np.float64)
    assert np.isnan(values).any() and np.isposinf(values).any() and np.isneginf(values).any()
    assert (np.signbit(values) & (values == 0)).any() and (~np.signbit(values) & (values == 0)).any()
    least_normal = {"FP32": 2.0**-126, "BF16": 2.0**-126, "FP16": 2.0**-14}[name]
    assert ((np.abs(values) < least_normal) & (values != 0)).any()


@pytest.mark.parametrize("name", ["INT8", "UINT8", "INT16", "INT32", "INT64"])
def test_special_integers_hold_both_ends(name: str) -> None:
    values = pt.special_values(DTYPES[name])
    assert {values.min(), values.max()} == {np.iinfo(values.dtype).min, np.iinfo(values.dtype).max}


def test_special_tensors_do_meet_nan() -> None:
    found = find(pt.tensors(DTYPES["FP16"], (2, 2)), lambda array: bool(np.isnan(array).any()))
    assert np.isnan(found).any()


@given(pt.ring_configurations())
def test_ring_configurations_are_accepted(configuration: dict[str, tuple[int, ...]]) -> None:
    RingSizes(
        heap_bytes=configuration["ring_heap_bytes"],
        task_window=configuration["ring_task_window"],
        dep_pool=configuration["ring_dep_pool"],
    )


def test_no_power_of_two_between_the_limits() -> None:
    with pytest.raises(ValueError, match="no power of two"):
        pt.ring_heaps(min_bytes=5000, max_bytes=6000)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_chips_can_be_loaded_and_are_what_their_name_says(data: st.DataObject, tmp_path: Path) -> None:
    chip = data.draw(pt.chips(tmp_path))
    spec = load_chip(chip)
    base = load_chip(spec.name.split("_")[0])
    factors = {"core_hz": "clock", "hbm_bytes_per_s": "memory", "l2_bytes_per_cycle": "memory"}
    for key, table in factors.items():
        if f"{key}_x" in spec.name:
            factor = float(spec.name.split(f"{key}_x")[1].split("_")[0])
            assert spec[f"{table}.{key}"] == base[f"{table}.{key}"] * factor
        else:
            assert spec[f"{table}.{key}"] == base[f"{table}.{key}"]


def kinds(body: tuple[Statement, ...]) -> set[str]:
    found: set[str] = set()
    for statement in body:
        found.add(type(statement).__name__ + (" manual" if isinstance(statement, Scope) and statement.manual else ""))
        if isinstance(statement, (Scope, Loop)):
            found |= kinds(statement.body)
    return found


@pytest.mark.parametrize("wanted", ["Scope", "Scope manual", "Loop", "Create"])
def test_programs_reach_every_kind_of_statement(wanted: str) -> None:
    find(pt.orchestration_programs(), lambda program: wanted in kinds(program.body))


@pytest.mark.parametrize(
    "wanted",
    [lambda launch: launch.blocks > 1, lambda launch: launch.update, lambda launch: bool(launch.deps)],
    ids=["spmd", "in place", "explicit deps"],
)
def test_programs_reach_every_kind_of_launch(wanted: Any) -> None:
    def launches(body: tuple[Statement, ...]) -> list[pt.Launch]:
        inner = [launches(s.body) for s in body if isinstance(s, (Scope, Loop))]
        return [s for s in body if isinstance(s, pt.Launch)] + [launch for part in inner for launch in part]

    find(pt.orchestration_programs(), lambda program: any(map(wanted, launches(program.body))))
