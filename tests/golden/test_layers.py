"""Stacks that are made part by part: what a kernel sees, what stays in memory, what a reference is given."""

import gc
import mmap
import sys

import numpy as np
import pytest

import pto_sim.language as pl
from pto_sim import golden
from pto_sim.program.errors import UnsupportedError
from pto_sim.program.stacked import Stack, StackedArray
from pto_sim.testing import run

LAYERS, ROWS, COLUMNS = 3, 512, 1024  # a part of 2 MiB
Y = golden.TensorSpec("y", [8, 64], np.float32, is_output=True)


def numbered(made):
    """A stack whose part i holds i + 1, and the list of parts in the order they were made."""

    def make(part):
        made.append(part)
        stack.fill(part, np.full((ROWS, COLUMNS), part + 1, np.float32))

    stack = Stack(LAYERS, (ROWS, COLUMNS), np.float32, make)
    return stack


def test_a_part_is_made_when_it_is_taken_and_dropped_with_its_last_lease():
    made = []
    stack = numbered(made)
    size = ROWS * COLUMNS
    first, second = stack.lease(0, 10), stack.lease(5, size - 1)
    assert made == [0] and stack.part(0).min() == 1
    del first
    gc.collect()
    assert stack.is_made(0)
    both = stack.lease(size - 1, size)
    assert made == [0, 1]
    del second, both
    gc.collect()
    assert [stack.is_made(i) for i in range(LAYERS)] == [not hasattr(mmap, "MADV_DONTNEED")] * 2 + [False]
    if sys.platform == "linux":
        assert not stack.part(0).any(), "the pages are gone, and read as zeros until the part is made again"
    again = stack.lease(size, size)
    assert stack.part(1).min() == stack.part(1).max() == 2
    del again


def test_small_parts_and_parts_that_are_written_stay():
    def make(part):
        stack.fill(part, np.ones(shape, np.float32))

    for shape, kept in (((4,), False), ((ROWS, COLUMNS), True)):
        stack = Stack(2, shape, np.float32, make, kept=kept)
        lease = stack.lease(0, 0)
        del lease
        gc.collect()
        assert stack.is_made(0) and not stack.is_made(1)


def test_neighbours_of_a_dropped_part_keep_their_bytes():
    shape = (1025, 257)  # parts start and end inside pages
    made = []

    def make(part):
        made.append(part)
        stack.fill(part, np.full(shape, part + 1, np.float32))

    stack = Stack(3, shape, np.float32, make)
    outer = [stack.lease(i * 1025 * 257, i * 1025 * 257) for i in (0, 2)]
    inner = stack.lease(1025 * 257, 1025 * 257)
    del inner
    gc.collect()
    assert (stack.part(0) == 1).all() and (stack.part(2) == 3).all()
    assert outer and made == [0, 2, 1]


def test_only_the_whole_is_a_stacked_array():
    array = numbered([]).array()
    assert isinstance(array, StackedArray) and array.stack is not None
    assert array[1:].stack is None and array.copy().stack is None


@pl.jit(auto_scope=False)
def add_layers(
    weights: pl.Tensor[[LAYERS * ROWS, COLUMNS], pl.FP32],
    cache: pl.InOut[pl.Tensor[[LAYERS * 8, 64], pl.FP32]],
    y: pl.Out[pl.Tensor[[8, 64], pl.FP32]],
):
    for layer in pl.range(LAYERS):
        w = pl.slice(weights, [ROWS, COLUMNS], [layer * ROWS, 0])
        own = pl.slice(cache, [8, 64], [layer * 8, 0])
        with pl.at(level=pl.Level.CORE_GROUP, name_hint="add"):
            own[0:8, 0:64] = pl.add(own[0:8, 0:64], w[0:8, 0:64])
            y[0:8, 0:64] = own[0:8, 0:64]
    return y


class Model:
    """Weights of layer i are i + 1 + seed; the cache starts with tens."""

    def __init__(self):
        self.seen, self.alive = [], []
        self.stacks = golden.LayerStacks(self.specs, self.along, seed_of=lambda seed, layer: seed + layer)

    @staticmethod
    def specs(layer):
        return {
            "weights": golden.TensorSpec(
                "weights", [ROWS, COLUMNS], np.float32, lambda seed: np.full((ROWS, COLUMNS), seed + 1, np.float32)
            ),
            "cache": golden.TensorSpec("cache", [8, 64], np.float32, 10.0 * layer, is_output=True),
        }

    def along(self, layer, tensors):
        self.seen.append((layer, float(tensors["weights"].min()), float(tensors["cache"].max())))
        assert not tensors["weights"].flags.writeable
        tensors["cache"][...] = -1  # a copy: the kernel does not see it
        self.alive.append([stack.is_made(i) for stack in self.stacks.of(0).values() for i in range(LAYERS)][:LAYERS])

    def run(self, seed=0, **options):
        specs = [
            self.stacks.stacked("weights", range(LAYERS)),
            self.stacks.stacked("cache", range(LAYERS)),
            Y,
        ]
        return golden.run_jit(add_layers, specs, runtime_cfg={"seed": seed}, **options)


def test_a_kernel_takes_one_layer_at_a_time():
    model = Model()
    assert model.run(seed=5).passed
    assert model.seen == [(0, 6.0, 0.0), (1, 7.0, 10.0), (2, 8.0, 20.0)]
    for layer in range(LAYERS):
        assert (model.stacks.part("cache", layer) == 10 * layer + layer + 6).all()
    if hasattr(mmap, "MADV_DONTNEED"):
        assert model.alive[2] == [False, True, True], "the view of a layer lives until the next one is bound"


def test_a_second_run_starts_from_what_the_first_one_found():
    model = Model()
    stacks = [model.stacks.stacked(name, range(LAYERS)).initial_array(0) for name in ("weights", "cache")]
    first, second = (run(add_layers, [*stacks, np.zeros((8, 64), np.float32)], timing=False) for _ in range(2))
    assert (first.outputs["y"] == 20 + 3).all() and (second.outputs["y"] == 20 + 3).all()
    assert [layer for layer, *_ in model.seen] == [0, 1, 2], "a reference that goes along goes once"


def test_an_output_in_parts_needs_a_comparer_of_its_own():
    model = Model()
    result = model.run(golden_fn=lambda tensors: None)
    assert not result.passed and "cache is made in parts" in result.error
    result = Model().run(
        golden_fn=lambda tensors: None, save_data=True, compare_fn={"cache": lambda *a, **k: (True, "")}
    )
    assert not result.passed and "save_data" in result.error


@pl.jit(auto_scope=False)
def whole(weights: pl.Tensor[[LAYERS * ROWS, COLUMNS], pl.FP32], y: pl.Out[pl.Tensor[[8, 64], pl.FP32]]):
    with pl.at(level=pl.Level.CORE_GROUP, name_hint="last"):
        y[0:8, 0:64] = weights[LAYERS * ROWS - 8 : LAYERS * ROWS, 0:64]
    return y


@pl.jit(auto_scope=False)
def stores(weights: pl.Tensor[[LAYERS * ROWS, COLUMNS], pl.FP32], y: pl.Out[pl.Tensor[[8, 64], pl.FP32]]):
    with pl.at(level=pl.Level.CORE_GROUP, name_hint="store"):
        weights[0:8, 0:64] = weights[8:16, 0:64]
        y[0:8, 0:64] = weights[0:8, 0:64]
    return y


def test_a_task_on_the_whole_stack_has_all_parts_made():
    specs = [golden.LayerStacks(Model.specs).stacked("weights", range(LAYERS)), Y]
    result = golden.run_jit(whole, specs, lambda tensors: tensors["y"].fill(2003.0), runtime_cfg={"seed": 2})
    assert result.passed, result.error


def test_a_store_to_an_input_in_parts_is_refused_by_name():
    specs = [golden.LayerStacks(Model.specs).stacked("weights", range(LAYERS)), Y]
    with pytest.raises(UnsupportedError, match="made in parts"):
        golden.run_jit(stores, specs)
