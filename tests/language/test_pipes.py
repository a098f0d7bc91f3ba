"""Groups of core functions and the pipes between them. Expected values are NumPy's; inputs are small integers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import pto_sim.language as pl
from pto_sim.engine import run_kernel
from pto_sim.program.errors import KernelError
from pto_sim.program.options import RunOptions

RNG = np.random.default_rng(7)
A = RNG.integers(-4, 5, (16, 16)).astype(np.float32)
B = RNG.integers(-4, 5, (16, 16)).astype(np.float32)
T = pl.Tensor[[16, 16], pl.FP32]
SLOT = 16 * 16 * 4


def run(program: Any, *arrays: np.ndarray) -> Any:
    return run_kernel(program.entry, list(arrays), RunOptions(), ())


def vector_to_cube(order: tuple[int, int], both: bool = True) -> Any:
    """Two pipes: the vector core pushes a + b and a - b in `order` of ids, the cube multiplies them."""
    first, second = order

    @pl.program
    class Program:
        @pl.function(type=pl.FunctionType.AIV)
        def vector(self, a: T, b: T, o: pl.Out[T]):
            for_cube = pl.import_peer_buffer(name="buffer", peer_func="cube")
            pl.aiv_initialize_pipe(0, for_cube, dir_mask=2, slot_size=SLOT, id=0)
            pl.aiv_initialize_pipe(0, for_cube, dir_mask=2, slot_size=SLOT, id=1)
            x = pl.load(a, [0, 0], [16, 16])
            y = pl.load(b, [0, 0], [16, 16])
            if first == 0:
                pl.tpush_to_aic(pl.add(x, y), split=0, id=0)
            if both:
                pl.tpush_to_aic(pl.sub(x, y), split=0, id=1)
            if second == 0:
                pl.tpush_to_aic(pl.add(x, y), split=0, id=0)

        @pl.function(type=pl.FunctionType.AIC)
        def cube(self, a: T, b: T, o: pl.Out[T]):
            own = pl.reserve_buffer(name="buffer", size=8 * SLOT, base=pl.AUTO)
            pl.aic_initialize_pipe(0, own, dir_mask=2, slot_size=SLOT, id=0)
            pl.aic_initialize_pipe(0, own, dir_mask=2, slot_size=SLOT, id=1)
            s = pl.tpop_from_aiv(split=0, id=0)
            d = pl.tpop_from_aiv(split=0, id=1)
            c = pl.matmul(s, d)
            pl.tfree_to_aiv(s)
            pl.tfree_to_aiv(d)
            return pl.store(c, [0, 0], o)

        @pl.function(type=pl.FunctionType.Group)
        def group(self, a: T, b: T, o: pl.Out[T]):
            result = self.cube(a, b, o)
            self.vector(a, b, o)
            return result

        @pl.function(type=pl.FunctionType.Orchestration)
        def main(self, a: T, b: T, o: pl.Out[T]):
            o = self.group(a, b, o)
            return o

    return Program


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_each_pipe_is_a_queue_of_its_own_whatever_the_order_of_the_calls(order: tuple[int, int]) -> None:
    done = run(vector_to_cube(order), A, B, np.zeros_like(A))
    np.testing.assert_array_equal(done.outputs["o"], (A + B) @ (A - B))
    assert [(task.form, task.blocks) for task in done.program.tasks] == [("at", 1)]


def test_a_pop_that_nobody_feeds_is_a_standstill_that_names_both_cores() -> None:
    with pytest.raises(KernelError, match="PTO261") as caught:
        run(vector_to_cube((0, 1), both=False), A, B, np.zeros_like(A))
    text = str(caught.value)
    assert "cube core 'cube' waits for a tile in pipe 1 from the vector cores" in text
    assert "vector core 0 'vector' has ended" in text and "test_pipes.py" in text


def cube_to_vector(frees: bool, rounds: int, slots: int, mode: int, rows: int) -> Any:
    """The cube sends `rounds` products; the vector lanes add 1 and store. rows: valid rows that the pop declares."""

    @pl.program
    class Program:
        @pl.function(type=pl.FunctionType.AIC)
        def cube(self, a: T, b: T, o: pl.Out[pl.Tensor[[64, 16], pl.FP32]]):
            pl.aic_initialize_pipe(dir_mask=1, slot_size=SLOT, slot_num=slots)
            for _k in pl.range(rounds):
                x = pl.load(a, [0, 0], [16, 16], target_memory=pl.Mem.Mat)
                y = pl.load(b, [0, 0], [16, 16], target_memory=pl.Mem.Mat)
                pl.tpush_to_aiv(pl.matmul(x, y), split=mode)

        @pl.function(type=pl.FunctionType.AIV)
        def vector(self, a: T, b: T, o: pl.Out[pl.Tensor[[64, 16], pl.FP32]]):
            pl.aiv_initialize_pipe(dir_mask=1, slot_size=SLOT, slot_num=slots)
            held = rows
            for k in pl.range(rounds):
                t: pl.Tile[[16, 16], pl.FP32, pl.Mem.Vec, pl.TileView(valid_shape=[held, 16])] = pl.tpop_from_aic(
                    split=mode
                )
                u = pl.add(t, 1.0)
                if frees:
                    pl.tfree_to_aic(t)
                o = pl.store(u, [k * 16, 0], o)
            return o

        @pl.function(type=pl.FunctionType.Group)
        def group(self, a: T, b: T, o: pl.Out[pl.Tensor[[64, 16], pl.FP32]]):
            self.cube(a, b, o)
            return self.vector(a, b, o)

        @pl.function(type=pl.FunctionType.Orchestration)
        def main(self, a: T, b: T, o: pl.Out[pl.Tensor[[64, 16], pl.FP32]]):
            return self.group(a, b, o)

    return Program


@pytest.mark.parametrize("mode", [0, 1, 2])
@pytest.mark.parametrize("rows", [16, 9, 3])
def test_halves_of_both_lanes_make_the_whole_also_where_it_is_partly_valid(mode: int, rows: int) -> None:
    done = run(cube_to_vector(True, 4, 2, mode, rows), A, B, np.zeros((64, 16), np.float32))
    want = np.zeros((4, 16, 16), np.float32)
    want[:, :rows] = (A @ B + 1)[:rows]
    np.testing.assert_array_equal(done.outputs["o"], want.reshape(64, 16))


def test_slots_that_are_never_freed_stop_the_producer_when_the_ring_is_full() -> None:
    run(cube_to_vector(False, 2, 2, 0, 16), A, B, np.zeros((64, 16), np.float32))
    with pytest.raises(KernelError, match="PTO261") as caught:
        run(cube_to_vector(False, 4, 2, 0, 16), A, B, np.zeros((64, 16), np.float32))
    assert "slot of pipe 0 c2v: all 2 are full, and a pl.tfree on each vector core frees one" in str(caught.value)


def pipe_program(cube_body: Any, vector_body: Any) -> Any:
    """A group of one cube and one vector function, whose bodies are given as functions of the kernel language."""
    make_cube, make_vector = pl.inline(cube_body), pl.inline(vector_body)

    @pl.program
    class Program:
        @pl.function(type=pl.FunctionType.AIC)
        def cube(self, a: T, o: pl.Out[T]):
            pl.aic_initialize_pipe(dir_mask=1, slot_size=SLOT)
            make_cube(a, o)

        @pl.function(type=pl.FunctionType.AIV)
        def vector(self, a: T, o: pl.Out[T]):
            pl.aiv_initialize_pipe(dir_mask=1, slot_size=SLOT)
            make_vector(a, o)

        @pl.function(type=pl.FunctionType.Group)
        def group(self, a: T, o: pl.Out[T]):
            self.cube(a, o)
            self.vector(a, o)
            return o

        @pl.function(type=pl.FunctionType.Orchestration)
        def main(self, a: T, o: pl.Out[T]):
            return self.group(a, o)

    return Program


def push_once(a: T, o: pl.Out[T]):
    x = pl.load(a, [0, 0], [16, 16], target_memory=pl.Mem.Mat)
    pl.tpush_to_aiv(pl.matmul(x, x), split=0)


def pop_with_another_split(a: T, o: pl.Out[T]):
    t = pl.tpop_from_aic(split=1)
    o[:, :] = t


def pop_nothing(a: T, o: pl.Out[T]):
    pl.store(pl.load(a, [0, 0], [16, 16]), [0, 0], o)


def pop_and_free_twice(a: T, o: pl.Out[T]):
    t = pl.tpop_from_aic(split=0)
    pl.store(t, [0, 0], o)
    pl.tfree_to_aic(t)
    pl.tfree_to_aic(t)


def free_what_was_loaded(a: T, o: pl.Out[T]):
    t = pl.tpop_from_aic(split=0)
    pl.store(t, [0, 0], o)
    pl.tfree_to_aic(pl.load(a, [0, 0], [16, 16]))


def pop_as_another_type(a: T, o: pl.Out[T]):
    t = pl.tpop_from_aic(split=0, shape=[16, 16], dtype=pl.BF16)
    o[:, :] = t


def use_an_unopened_pipe(a: T, o: pl.Out[T]):
    t = pl.tpop_from_aic(split=0, id=3)
    o[:, :] = t


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (pop_with_another_split, "the split that it was pushed with"),
        (pop_nothing, "every pushed tile is popped"),
        (pop_and_free_twice, "a slot is freed once"),
        (free_what_was_loaded, "takes the tile that a pop gave"),
        (pop_as_another_type, "declared as it was pushed"),
        (use_an_unopened_pipe, "set up before it is used"),
    ],
)
def test_a_pipe_that_is_misused_says_how(body: Any, text: str) -> None:
    with pytest.raises(KernelError, match="PTO262") as caught:
        run(pipe_program(push_once, body), A, np.zeros_like(A))
    assert text in str(caught.value) and "test_pipes.py" in str(caught.value)


def test_the_right_use_of_the_same_pipe_is_silent() -> None:
    def pop_once(a: T, o: pl.Out[T]):
        t = pl.tpop_from_aic(split=0)
        pl.store(t, [0, 0], o)
        pl.tfree_to_aic(t)

    done = run(pipe_program(push_once, pop_once), A, np.zeros_like(A))
    np.testing.assert_array_equal(done.outputs["o"], A @ A)


@pl.jit
def outside(a: T, o: pl.Out[T]):
    with pl.at(level=pl.Level.CORE_GROUP):
        pl.tpush_to_aic(pl.load(a, [0, 0], [16, 16]), split=0)
        o[:, :] = pl.load(a, [0, 0], [16, 16])


def test_a_push_in_a_function_of_both_cores_names_the_function_type() -> None:
    with pytest.raises(KernelError, match="belongs in a function of type AIV"):
        run_kernel(outside, [A, np.zeros_like(A)], RunOptions(), ())


@pl.program
class HalvesByHand:
    """Lane 1 waits for an event of the cube; each lane works on its own half and sends it back."""

    @pl.function(type=pl.FunctionType.AIC)
    def cube(self, a: T, o: pl.Out[T]):
        pl.aic_initialize_pipe(dir_mask=3, slot_size=SLOT)
        x = pl.load(a, [0, 0], [16, 16], target_memory=pl.Mem.Mat)
        pl.tpush_to_aiv(pl.matmul(x, x), split=1)
        pl.system.sync_set(3, pipe=pl.PipeType.FIX)
        y = pl.tpop_from_aiv(split=1)
        z = pl.matmul(y, x)
        pl.tfree_to_aiv(y)
        pl.store(z, [0, 0], o)

    @pl.function(type=pl.FunctionType.AIV, attrs={"split": pl.SplitMode.UP_DOWN, "split_aiv": True})
    def vector(self, a: T, o: pl.Out[T]):
        pl.aiv_initialize_pipe(dir_mask=3, slot_size=SLOT)
        pl.system.sync_wait(3, pipe=pl.PipeType.MTE2)
        lane = pl.tile.get_subblock_idx()
        t: pl.Tile[[8, 16], pl.FP32] = pl.tpop_from_aic(split=1)
        mine = pl.load(a, [lane * 8, 0], [8, 16])
        pl.tpush_to_aic(pl.add(t, mine), split=1)
        pl.tfree_to_aic(t)

    @pl.function(type=pl.FunctionType.Group)
    def group(self, a: T, o: pl.Out[T]):
        self.vector(a, o)
        self.cube(a, o)
        return o

    @pl.function(type=pl.FunctionType.Orchestration)
    def main(self, a: T, o: pl.Out[T]):
        with pl.spmd(1):
            o = self.group(a, o)
        return o


def test_lanes_written_for_their_half_exchange_with_the_cube_in_both_directions() -> None:
    done = run(HalvesByHand, A, np.zeros_like(A))
    np.testing.assert_array_equal(done.outputs["o"], (A @ A + A) @ A)
