"""A program that is saved and loaded is the same program; anything else is refused with one clear error."""

import dataclasses
import io
import json
import struct
import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pto_sim.program import store
from pto_sim.program.errors import InputError
from pto_sim.program.model import (
    FORMAT_VERSION,
    Access,
    Event,
    OpSignature,
    Program,
    ScalarArg,
    Site,
    Stream,
    TaskArg,
    TaskRecord,
    TensorInfo,
    TileOp,
    ValueType,
)

small = st.integers(0, 50)
names = st.text(max_size=6)
shapes = st.lists(st.integers(1, 9), max_size=3).map(tuple)
plain = st.one_of(st.integers(-(2**60), 2**60), st.floats(allow_nan=False), st.text(max_size=4), st.booleans(), shapes)
attrs = st.lists(st.tuples(names, plain), max_size=2).map(tuple)


@st.composite
def accesses(draw, tensors, sites):
    blocks = np.array(draw(st.lists(small, min_size=1, max_size=4)), np.int32)
    offsets = np.array(draw(st.lists(st.integers(0, 2**40), min_size=1, max_size=4)), np.int64)
    shape = draw(shapes)
    return Access(
        draw(st.integers(0, tensors - 1)),
        draw(st.booleans()),
        draw(st.integers(0, sites - 1)),
        blocks,
        offsets,
        shape,
        tuple(draw(small) for _ in shape),
        op=draw(st.one_of(small, st.just(np.arange(len(blocks), dtype=np.int32)) if len(blocks) > 1 else small)),
    )


@st.composite
def programs(draw):
    """Any program whose indices are in range; nothing else about it needs to make sense to be stored."""
    sites = [Site(draw(names), draw(small), draw(names)) for _ in range(draw(st.integers(1, 3)))]
    site = st.integers(0, len(sites) - 1)
    value = st.builds(ValueType, shapes, st.sampled_from(["BF16", "FP32"]), st.sampled_from(["gm", "tile"]))
    signatures = draw(
        st.lists(
            st.builds(OpSignature, names, st.lists(value, max_size=2).map(tuple), st.none() | value, attrs, site),
            min_size=1,
            max_size=3,
        )
    )
    tensors = draw(
        st.lists(
            st.builds(
                TensorInfo,
                names,
                shapes,
                st.just("FP32"),
                small,
                st.just("entry"),
                st.just("in"),
                site,
                st.booleans(),
                small,
            ),
            min_size=1,
            max_size=3,
        )
    )
    ops = st.builds(
        TileOp,
        st.integers(0, len(signatures) - 1),
        st.integers(-1, 20),
        st.lists(small, max_size=3).map(tuple),
        st.integers(-1, len(tensors) - 1),
    )
    streams = draw(st.lists(st.lists(ops, max_size=4).map(lambda row: Stream(tuple(row))), min_size=1, max_size=3))
    args = st.builds(TaskArg, st.integers(0, len(tensors) - 1), st.booleans(), st.booleans(), small, shapes, shapes)
    block_lists = st.lists(st.integers(0, len(streams) - 1), max_size=5).map(lambda row: np.array(row, np.int32))
    tasks = draw(
        st.lists(
            st.builds(
                TaskRecord,
                names,
                st.just("spmd"),
                site,
                small,
                block_lists,
                st.lists(args, max_size=2),
                st.lists(accesses(len(tensors), len(sites)), max_size=3),
                slot_num=st.none() | small,
                scalars=st.lists(st.builds(ScalarArg, names, names, st.integers(0, 2**64 - 1)), max_size=2),
            ),
            max_size=3,
        )
    )
    events = [Event("alloc", 0, 0), Event("scope_begin", "auto", 0)]
    return Program(
        draw(names),
        "a2a3",
        "written",
        sites,
        signatures,
        streams,
        tensors,
        tasks,
        events,
        draw(st.booleans()),
        (24, 48),
    )


def same(left, right):
    """Equality through dataclasses, tuples, lists and arrays; types of plain values count."""
    if isinstance(left, np.ndarray):
        return isinstance(right, np.ndarray) and left.dtype == right.dtype and np.array_equal(left, right)
    if type(left) is not type(right):
        return False
    if dataclasses.is_dataclass(left):
        return all(same(getattr(left, f.name), getattr(right, f.name)) for f in dataclasses.fields(left))
    if isinstance(left, (list, tuple)):
        return len(left) == len(right) and all(map(same, left, right))
    return left == right


def example():
    access = Access(0, True, 0, np.array([0, 1], np.int32), np.array([0, 64], np.int64), (8, 8), (8, 1))
    signature = OpSignature("full", (), ValueType((8, 8), "FP32", "tile"), (("value", float("-inf")),), 0)
    task = TaskRecord(
        "init",
        "spmd",
        0,
        2,
        np.array([0, 0], np.int32),
        [TaskArg(0, False, True, 0, (16, 8), (8, 1))],
        [access],
        explicit_deps=[0],
    )
    return Program(
        "kernel",
        "a2a3",
        "written",
        [Site("k.py", 3, "k")],
        [signature],
        [Stream((TileOp(0, 0, (), -1),))],
        [TensorInfo("out", (16, 8), "FP32", 512, "entry", "out", 0)],
        [task],
        [Event("frame_begin", None, 0), Event("task", 0, 0), Event("frame_end", None, 0)],
    )


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(program=programs())
def test_round_trip(tmp_path, program):
    path = tmp_path / "program.pto"
    store.save(program, path)
    assert same(store.load(path), program)


def test_infinite_attribute_round_trips(tmp_path):
    store.save(example(), tmp_path / "p.pto")
    assert same(store.load(tmp_path / "p.pto"), example())


def test_same_program_gives_same_bytes(tmp_path):
    store.save(example(), tmp_path / "a.pto")
    store.save(example(), tmp_path / "b.pto")
    assert (tmp_path / "a.pto").read_bytes() == (tmp_path / "b.pto").read_bytes()


def test_every_truncation_is_refused(tmp_path):
    store.save(example(), tmp_path / "whole.pto")
    data = (tmp_path / "whole.pto").read_bytes()
    for length in range(0, len(data), 37):
        (tmp_path / "cut.pto").write_bytes(data[:length])
        with pytest.raises(InputError) as error:
            store.load(tmp_path / "cut.pto")
        assert error.value.code in ("PTO040", "PTO042") and error.value.hint


def test_no_changed_byte_gives_anything_but_an_input_error_or_the_same_program(tmp_path):
    store.save(example(), tmp_path / "whole.pto")
    data = bytearray((tmp_path / "whole.pto").read_bytes())
    refused = 0
    for position in range(0, len(data), 3):
        changed = data.copy()
        changed[position] ^= 0x41
        (tmp_path / "changed.pto").write_bytes(changed)
        try:
            assert same(store.load(tmp_path / "changed.pto"), example())  # e.g. a time stamp of the zip
        except InputError:
            refused += 1
    assert refused > len(data) // 3 / 2


def rewrite(source, target, **members):
    """A copy of a program file with some members replaced (by keyword: name without dots) or dropped (None)."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            replacement = members.get(name.split(".")[0], old.read(name))
            if replacement is not None:
                new.writestr(name, replacement)


def npy(array):
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    return buffer.getvalue()


def huge_header():
    """An .npy that claims 2**40 values and holds none."""
    header = b"{'descr': '<i8', 'fortran_order': False, 'shape': (1099511627776,), }".ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header


@pytest.mark.parametrize(
    "members",
    [
        {"op": None},
        {"op": npy(np.array([{"any": "object"}], dtype=object))},
        {"op": npy(np.zeros(3, np.float64))},
        {"op": huge_header()},
        {"op": npy(np.array([7, 0, -1], np.int64))},
        {"op_ins_len": npy(np.array([5], np.int64))},
        {"op_ins_len": npy(np.array([-1], np.int64))},
        {"block_streams": npy(np.array([0, 9], np.int64))},
        {"program": b"[" * 100000},
        {"program": b"\xff\xfe"},
    ],
    ids=["missing", "pickle", "dtype", "huge", "signature", "long", "negative", "stream", "deep", "not-text"],
)
def test_hostile_members_are_refused(tmp_path, members):
    store.save(example(), tmp_path / "good.pto")
    rewrite(tmp_path / "good.pto", tmp_path / "bad.pto", **members)
    with pytest.raises(InputError) as error:
        store.load(tmp_path / "bad.pto")
    assert error.value.code == "PTO042"


def with_document(tmp_path, change):
    store.save(example(), tmp_path / "good.pto")
    with zipfile.ZipFile(tmp_path / "good.pto") as archive:
        document = json.loads(archive.read("program.json"))
    change(document)
    rewrite(tmp_path / "good.pto", tmp_path / "bad.pto", program=json.dumps(document).encode())
    return tmp_path / "bad.pto"


def test_other_version_is_named(tmp_path):
    path = with_document(tmp_path, lambda document: document.update(version=FORMAT_VERSION + 1))
    with pytest.raises(InputError, match=f"file: {FORMAT_VERSION + 1}") as error:
        store.load(path)
    assert error.value.code == "PTO041"


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d["program"].pop("name"),
        lambda d: d["program"].update(surprise=1),
        lambda d: d["program"].update(name=3),
        lambda d: d["program"]["tasks"][0].update(blocks="2"),
        lambda d: d["program"]["tasks"][0].update(explicit_deps=[4]),
        lambda d: d["program"]["events"].append(["task", "zero", 0]),
        lambda d: d["program"]["sites"].clear(),
        lambda d: d.pop("program"),
    ],
)
def test_wrong_documents_are_refused(tmp_path, change):
    with pytest.raises(InputError) as error:
        store.load(with_document(tmp_path, change))
    assert error.value.code == "PTO042" and "instead:" in str(error.value)


def test_zip_bomb_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "MAX_TOTAL_BYTES", 1 << 20)
    store.save(example(), tmp_path / "good.pto")
    rewrite(tmp_path / "good.pto", tmp_path / "bomb.pto", op=bytes(1 << 21))
    with pytest.raises(InputError) as error:
        store.load(tmp_path / "bomb.pto")
    assert error.value.code == "PTO043"


@pytest.mark.parametrize("content", [None, b"", b"print('hello')\n"])
def test_not_a_program_file(tmp_path, content):
    if content is not None:
        (tmp_path / "x.pto").write_bytes(content)
    with pytest.raises(InputError) as error:
        store.load(tmp_path / "x.pto")
    assert error.value.code == "PTO040"


def test_unwritable_target_leaves_nothing_behind(tmp_path):
    target = tmp_path / "missing" / "program.pto"
    with pytest.raises(InputError) as error:
        store.save(example(), target)
    assert error.value.code == "PTO044" and list(tmp_path.iterdir()) == []
