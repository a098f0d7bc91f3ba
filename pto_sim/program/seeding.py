"""Reproducible fixtures: in a `with` block every generator that was not given a seed draws from that of the run."""

from __future__ import annotations

import importlib.util
import random
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

import numpy as np

_DEFAULT_RNG = np.random.default_rng


@contextmanager
def seeded_generators(seed: int) -> Iterator[None]:
    """Seed `random`, NumPy's global generator and torch (now, or when it is imported), each from `seed`.

    `np.random.default_rng()` without a seed gives the generators of `seed`, a different one at each call; with a seed
    it is as ever, and after the block too. The libraries' global generators go on from where the block leaves them.
    """
    random.seed(seed)
    np.random.seed(seed % 2**32)
    on_import = _SeedTorch(seed)
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.manual_seed(seed)
    else:
        sys.meta_path.insert(0, on_import)
    before = np.random.default_rng
    np.random.default_rng = _default_rng(np.random.SeedSequence(seed))
    try:
        yield
    finally:
        np.random.default_rng = before
        if on_import in sys.meta_path:
            sys.meta_path.remove(on_import)


def _default_rng(seeds: np.random.SeedSequence) -> Callable[..., np.random.Generator]:
    def default_rng(seed: Any = None) -> np.random.Generator:
        """numpy.random.default_rng; without a seed the next generator of the run's seed."""
        return _DEFAULT_RNG(seeds.spawn(1)[0] if seed is None else seed)

    return default_rng


class _SeedTorch(MetaPathFinder, Loader):
    """Finds torch as Python would, and seeds it once it is loaded."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._inner: Any = None

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The spec of torch, with this object in front of its loader."""
        if fullname != "torch":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is not None and spec.loader is not None:
            self._inner, spec.loader = spec.loader, self
        return spec

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """As torch's own loader."""
        return self._inner.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        """As torch's own loader, then the seed."""
        if module.__spec__ is not None:
            module.__spec__.loader = self._inner
        self._inner.exec_module(module)
        module.manual_seed(self._seed)
