"""The sparse attention kernels, at flash size or small, as they are or with their source changed."""

import dataclasses
import importlib.util
import sys
import types
from pathlib import Path

import pytest

from kernels.dsv4 import config
from kernels.dsv4.sparse_attn_fixtures import Fixture

FOLDER = Path(config.__file__).parent
SMALL = dataclasses.replace(
    config.FLASH,
    hidden_size=256,
    num_attention_heads=32,
    head_dim=128,
    o_groups=4,
    o_lora_rank=256,
    index_topk=256,
)
SMALL_BATCH = 32


@dataclasses.dataclass(frozen=True)
class LoadedKernel:
    """A kernel module and the fixture that fits its sizes."""

    module: types.ModuleType
    fixture: Fixture

    @property
    def entry(self):
        return self.module.sparse_attn_test


@pytest.fixture
def load_kernel(tmp_path, monkeypatch):
    """load_kernel(file, small=..., old=..., new=...): the module of `file`, its text changed from `old` to `new`."""

    def load(file, *, small=True, old="", new=""):
        source = (FOLDER / file).read_text()
        if old:
            assert source.count(old) == 1, f"{old!r} occurs {source.count(old)} times in {file}"
            source = source.replace(old, new)
        path = tmp_path / file
        path.write_text(source)
        sizes = types.ModuleType("config")
        sizes.__dict__.update({name: value for name, value in vars(config).items() if not name.startswith("__")})
        if small:
            sizes.FLASH, sizes.DECODE_BATCH = SMALL, SMALL_BATCH
        monkeypatch.setitem(sys.modules, "config", sizes)
        spec = importlib.util.spec_from_file_location(f"loaded_{path.stem}", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        fixture = Fixture(
            topk=module.TOPK,
            compress_ratio=module.DEFAULT_COMPRESS_RATIO,
            config=sizes.FLASH,
            batch=sizes.DECODE_BATCH,
        )
        return LoadedKernel(module, fixture)

    return load
