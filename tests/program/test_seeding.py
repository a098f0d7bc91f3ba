"""--seed: every generator that was not given a seed follows it, in the block and not behind it."""

import random
import subprocess
import sys

import numpy as np
import pytest

from pto_sim.program.seeding import seeded_generators


def draws(seed):
    with seeded_generators(seed):
        return [random.random(), np.random.rand(), np.random.default_rng().random(), np.random.default_rng().random()]


def test_the_same_seed_gives_the_same_values():
    first = draws(7)
    assert draws(7) == first
    assert all(a != b for a, b in zip(draws(8), first, strict=True))
    assert first[2] != first[3]  # two generators of one run are two


def test_generators_with_a_seed_of_their_own_keep_it():
    expected = np.random.default_rng(3).random()
    with seeded_generators(1):
        assert np.random.default_rng(3).random() == expected
        assert np.random.default_rng(seed=3).random() == expected


def test_default_rng_is_numpys_own_afterwards():
    before = np.random.default_rng
    with pytest.raises(KeyError), seeded_generators(1):
        assert np.random.default_rng is not before
        raise KeyError
    assert np.random.default_rng is before


def test_torch_is_seeded_if_it_is_there():
    torch = pytest.importorskip("torch")
    values = []
    for _ in range(2):
        with seeded_generators(5):
            values.append(torch.rand(3).tolist())
    torch.manual_seed(5)
    assert values[0] == values[1] == torch.rand(3).tolist()


def test_torch_is_seeded_when_it_is_imported_later():
    torch = pytest.importorskip("torch")
    code = (
        "from pto_sim.program.seeding import seeded_generators\n"
        "with seeded_generators(5):\n"
        "    import torch, importlib\n"
        "    print(torch.rand(2).tolist(), torch.__spec__.loader.__class__.__name__)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    torch.manual_seed(5)
    assert done.stdout.split("] ") == [str(torch.rand(2).tolist())[:-1], "SourceFileLoader\n"]
