"""Golden data on disk: every type comes back as it was, and damage is told."""

import zipfile

import ml_dtypes
import numpy as np
import pytest

from pto_sim.golden import ScalarSpec, TensorSpec, golden_data
from pto_sim.program.errors import InputError


@pytest.mark.parametrize("dtype", [np.float32, np.float16, ml_dtypes.bfloat16, np.int8, np.int32, np.int64, np.bool_])
def test_round_trip(tmp_path, dtype):
    array = np.array([[0, 1], [1, 100]]).astype(dtype)
    golden_data.save(tmp_path / "in", {"x": array})
    spec = TensorSpec("x", [2, 2], dtype, 0)
    (found,) = golden_data.load_inputs(tmp_path, [spec]).values()
    assert found.dtype == dtype and found.tobytes() == array.tobytes()


def test_scalars_and_outputs(tmp_path):
    specs = [
        TensorSpec("x", [1], np.int8),
        ScalarSpec("s", np.int32, 0),
        TensorSpec("both", [1], np.int8, 0, is_output=True),
        TensorSpec("out", [1], np.int8, is_output=True),
    ]
    one = np.ones(1, np.int8)
    golden_data.save(tmp_path / "in", {"x": one, "s": np.array(7, np.int32), "both": one * 2})
    golden_data.save(tmp_path / "out", {"both": one * 3, "out": one * 4})
    golden_data.check_complete(tmp_path, specs)
    found = golden_data.load_inputs(tmp_path, specs)
    assert {name: int(value.reshape(-1)[0]) for name, value in found.items()} == {"x": 1, "s": 7, "both": 2}
    found = golden_data.load_outputs(tmp_path, specs)
    assert {name: int(value[0]) for name, value in found.items()} == {"both": 3, "out": 4}


def test_every_missing_file_is_listed(tmp_path):
    specs = [TensorSpec("x", [1], np.int8), TensorSpec("out", [1], np.int8, is_output=True)]
    with pytest.raises(ValueError, match=r"x\.npy.*out\.npy"):
        golden_data.check_complete(tmp_path, specs)
    with pytest.raises(ValueError, match=r"x\.npy"):
        golden_data.load_inputs(tmp_path, specs)


def test_other_type_or_shape(tmp_path):
    golden_data.save(tmp_path, {"x": np.zeros(3, np.int8)})
    for dtype, shape in ((np.int32, (3,)), (np.int8, (4,)), (np.dtype(ml_dtypes.bfloat16), (3,))):
        with pytest.raises(InputError, match=r"PTO017.*does not fit"):
            golden_data.load_array(tmp_path / "x.npy", np.dtype(dtype), shape)


@pytest.mark.parametrize("content", [b"", b"not an array", b"\x93NUMPY\x01\x00"])
def test_damaged_file(tmp_path, content):
    (tmp_path / "x.npy").write_bytes(content)
    with pytest.raises(InputError, match=r"PTO017.*cannot be read"):
        golden_data.load_array(tmp_path / "x.npy", np.dtype(np.int8), (1,))


def test_pickles_are_not_loaded(tmp_path):
    np.save(tmp_path / "x.npy", np.array([{"code": 1}], object), allow_pickle=True)
    with pytest.raises(InputError, match="PTO017"):
        golden_data.load_array(tmp_path / "x.npy", np.dtype(np.int8), (1,))


def test_torch_files_are_written_for_torch(tmp_path):
    torch = pytest.importorskip("torch")
    golden_data.save(tmp_path, {"x": np.array([1.5, -2.0], ml_dtypes.bfloat16)}, in_torch=True)
    found = torch.load(tmp_path / "x.pt", weights_only=True)
    assert found.dtype is torch.bfloat16 and found.tolist() == [1.5, -2.0]
    assert golden_data.load_array(tmp_path / "x.pt", np.dtype(ml_dtypes.bfloat16), (2,)).tolist() == [1.5, -2.0]


def test_a_directory_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="PTO016"):
        golden_data.save(tmp_path / "file" / "in", {"x": np.zeros(1)})


@pytest.mark.parametrize("content", [b"", b"not an archive"])
def test_an_unreadable_torch_file(tmp_path, content):
    (tmp_path / "x.pt").write_bytes(content)
    with pytest.raises(InputError, match=r"PTO017: .*x\.pt cannot be read"):
        golden_data.load_array(tmp_path / "x.pt", np.dtype(np.int8), (1,))


def test_a_hostile_torch_file_keeps_its_own_code(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.pt", "w") as archive:
        archive.writestr("x/data.pkl", b"cos\nsystem\n(S'echo hostile'\ntR.")
    with pytest.raises(InputError, match=r"PTO024: .*would call os\.system"):
        golden_data.load_array(tmp_path / "x.pt", np.dtype(np.int8), (1,))
