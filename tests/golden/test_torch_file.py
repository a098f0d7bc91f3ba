"""Reading what torch.save writes, with and without torch. The archives of the first part are made by hand."""

import io
import pickle
import zipfile
from collections import OrderedDict

import ml_dtypes
import numpy as np
import pytest

from pto_sim.golden import torch_file
from pto_sim.golden.torch_file import NotATensorFileError, read_tensor
from pto_sim.program.errors import InputError


class Name:
    """Pickled as the function `module.name`, which need not exist here."""

    def __init__(self, module, name):
        self.module, self.name = module, name


class StoragePickler(pickle._Pickler):
    """Writes Name objects as global names and storages as persistent ids, as torch.save does."""

    def save(self, obj, save_persistent_id=True):
        if isinstance(obj, Name):
            self.write(pickle.GLOBAL + f"{obj.module}\n{obj.name}\n".encode())
        else:
            super().save(obj, save_persistent_id)

    def persistent_id(self, obj):
        return obj if isinstance(obj, tuple) and obj[:1] == ("storage",) else None


def write(path, build, storage=b"", **members):
    """An archive with a pickle whose opcodes `build` writes through a StoragePickler."""
    buffer = io.BytesIO()
    pickler = StoragePickler(buffer, 2)
    buffer.write(pickle.PROTO + b"\x02")
    build(pickler)
    buffer.write(pickle.STOP)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x/data.pkl", buffer.getvalue())
        archive.writestr("x/data/0", storage, members.pop("compress", zipfile.ZIP_STORED))
        for name, content in members.items():
            archive.writestr(f"x/{name}", content)
    return path


def tensor(kind, count, size, stride, offset=0):
    """A builder of the pickle of a tensor with one storage of `count` elements of `kind`."""

    def build(pickler):
        pickler.save(Name("torch._utils", "_rebuild_tensor_v2"))
        storage = ("storage", Name("torch", kind), "0", "cpu", count)
        pickler.save((storage, offset, size, stride, False, OrderedDict()))
        pickler.write(pickle.REDUCE)

    return build


@pytest.mark.parametrize(
    ("kind", "dtype"),
    [("FloatStorage", np.float32), ("HalfStorage", np.float16), ("BFloat16Storage", ml_dtypes.bfloat16),
     ("CharStorage", np.int8), ("IntStorage", np.int32), ("LongStorage", np.int64), ("BoolStorage", np.bool_)],
)  # fmt: skip
def test_every_type(tmp_path, kind, dtype):
    values = np.array([0, 1, 0, 1, 1, 0]).astype(dtype)
    found = read_tensor(write(tmp_path / "x.pt", tensor(kind, 6, (2, 3), (3, 1)), values.tobytes()))
    assert found.dtype == dtype and found.tolist() == values.reshape(2, 3).tolist()


def test_a_view_of_a_storage(tmp_path):
    storage = np.arange(12, dtype=np.float32)
    found = read_tensor(write(tmp_path / "x.pt", tensor("FloatStorage", 12, (2, 3), (1, 4), 1), storage.tobytes()))
    assert found.tolist() == [[1, 5, 9], [2, 6, 10]]


def test_no_dimension_and_no_element(tmp_path):
    one = np.float32(7).tobytes()
    assert read_tensor(write(tmp_path / "x.pt", tensor("FloatStorage", 1, (), ()), one)).item() == 7
    assert read_tensor(write(tmp_path / "y.pt", tensor("FloatStorage", 0, (0, 3), (3, 1)))).shape == (0, 3)


@pytest.mark.parametrize(
    ("module", "name"),
    [("os", "system"), ("builtins", "eval"), ("pathlib", "Path"), ("torch", "load"),
     ("torch._utils", "_rebuild_wrapper_subclass"), ("numpy", "dtype"), ("collections", "defaultdict")],
)  # fmt: skip
def test_a_hostile_pickle_is_refused_by_the_name_it_calls(tmp_path, module, name):
    def build(pickler):
        pickler.save(Name(module, name))
        pickler.save(("echo hostile",))
        pickler.write(pickle.REDUCE)

    with pytest.raises(InputError, match=rf"PTO024: .*x\.pt .*would call {module}\.{name}\n"):
        read_tensor(write(tmp_path / "x.pt", build))


def test_a_hostile_name_behind_a_tensor_is_refused_too(tmp_path):
    def build(pickler):
        tensor("FloatStorage", 1, (1,), (1,))(pickler)
        pickler.save(Name("subprocess", "run"))
        pickler.write(pickle.TUPLE2)

    with pytest.raises(InputError, match=r"PTO024.*subprocess\.run"):
        read_tensor(write(tmp_path / "x.pt", build, bytes(4)))


@pytest.mark.parametrize(
    ("build", "storage", "members", "reason"),
    [
        (tensor("FloatStorage", 4, (5,), (1,)), bytes(16), {}, "reaches element 4 of a storage of 4"),
        (tensor("FloatStorage", 4, (4,), (1,)), bytes(12), {}, "12 bytes and should have 4"),
        (tensor("FloatStorage", 4, (2,), (-1,)), bytes(16), {}, "are no tensor"),
        (tensor("FloatStorage", 4, (2, 2), (1,)), bytes(16), {}, "are no tensor"),
        (tensor("FloatStorage", 4, (4,), (1,)), bytes(16), {"compress": zipfile.ZIP_DEFLATED}, "compressed"),
        (tensor("FloatStorage", 4, (4,), (1,)), bytes(16), {"byteorder": b"big"}, "big-endian"),
        (lambda pickler: pickler.save({"x": 1}), b"", {}, "it holds a dict"),
    ],
)
def test_files_that_are_no_tensor(tmp_path, build, storage, members, reason):
    with pytest.raises(NotATensorFileError, match=reason):
        read_tensor(write(tmp_path / "x.pt", build, storage, **members))


@pytest.mark.parametrize("content", [b"", b"not a zip", b"\x80\x02."])
def test_files_that_are_no_archive(tmp_path, content):
    (tmp_path / "x.pt").write_bytes(content)
    with pytest.raises(NotATensorFileError):
        read_tensor(tmp_path / "x.pt")


def test_a_large_pickle_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(torch_file, "MAX_PICKLE_BYTES", 10)
    with pytest.raises(NotATensorFileError, match="more than 10 bytes"):
        read_tensor(write(tmp_path / "x.pt", tensor("FloatStorage", 1, (1,), (1,)), bytes(4)))


def test_what_torch_writes_is_read_as_torch_reads_it(tmp_path):
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    base = torch.randn(4, 6)
    cases = [base, base.t(), base[1:3, ::2], base.to(torch.bfloat16), base > 0, torch.tensor(3, dtype=torch.int64),
             torch.zeros(0, 2), torch.nn.Parameter(base), torch.arange(5).to(torch.uint16)]  # fmt: skip
    for number, case in enumerate(cases):
        path = tmp_path / f"{number}.pt"
        torch.save(case, path)
        expected = torch.load(path, weights_only=True).detach()
        found = read_tensor(path)
        assert found.shape == tuple(expected.shape) and str(found.dtype) == str(expected.dtype).removeprefix("torch.")
        assert found.astype(np.float64).tolist() == expected.to(torch.float64).tolist()
