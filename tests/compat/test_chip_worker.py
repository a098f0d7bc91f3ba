"""ChipWorker, tensors that stay on the device, launches by hand, benchmarks."""

import numpy as np
import pytest

from pto_sim.program.errors import UnsupportedError

X = np.arange(16 * 64, dtype=np.float32).reshape(16, 64)


def test_a_device_tensor_is_uploaded_once_and_read_by_every_launch(builds, add_program):
    from pypto import ir
    from pypto.runtime import ChipWorker, RunConfig

    compiled, out, weight = ir.compile(add_program), np.zeros_like(X), X.copy()
    with ChipWorker(config=RunConfig()) as worker:
        held = worker.alloc_tensor((16, 64), np.float32, init=weight)
        weight[:] = -1  # the host's copy no longer matters
        assert worker.aicpu_dlopen_count == 0
        with worker.register(compiled) as launch:
            for factor in (1, 2):
                launch(factor * X, held, out)
                np.testing.assert_array_equal(out, (factor + 1) * X)
        assert worker.aicpu_dlopen_count == 1
        worker.free_tensor(held)
        worker.free_tensor(held)  # twice does nothing
        with pytest.raises(ValueError, match=r"PTO018.*was freed"):
            worker.run(compiled, X, held, out)
    with pytest.raises(RuntimeError, match="unregistered or its ChipWorker closed"):
        launch(X, X, out)


def test_an_output_on_the_device_is_read_with_copy_from(builds, add_program):
    from pypto import ir
    from pypto.runtime import ChipWorker

    back = np.zeros_like(X)
    with ChipWorker() as worker:
        out = worker.alloc_tensor((16, 64), np.float32)
        worker.run(ir.compile(add_program), X, X, out)
        worker.copy_from(back.ctypes.data, out.data_ptr, out.nbytes)
        np.testing.assert_array_equal(back, 2 * X)
        with pytest.raises(ValueError, match=r"(?s)PTO018.*copy_from of 4097.*has 4096"):
            worker.copy_from(back.ctypes.data, out.data_ptr, 4097)
        address = worker.malloc(64)
        worker.copy_to(address, X.ctypes.data, 64)
        worker.free(address)
        with pytest.raises(ValueError, match=r"PTO018.*nothing is allocated"):
            worker.free(address)
    with pytest.raises(RuntimeError, match="after close"):
        worker.malloc(4)


def test_tensors_that_cannot_be(builds):
    from pypto.runtime import ChipWorker, DeviceTensor, StackedDeviceTensor

    with ChipWorker() as worker:
        for init in (np.zeros((2, 3), np.float32), np.zeros((3, 2), np.int32)):
            with pytest.raises(ValueError, match=r"PTO018.*init does not fit"):
                worker.alloc_tensor((3, 2), np.float32, init=init)
    for address, shape in ((0, (1,)), (64, ()), (64, (0,)), (True, (1,))):
        with pytest.raises(ValueError, match="PTO018"):
            DeviceTensor(address, shape, np.float32)
    with pytest.raises(TypeError, match="PTO018"):
        DeviceTensor(64, (1.0,), np.float32)
    with pytest.raises(UnsupportedError, match="raw address"):
        DeviceTensor(64, (1,), np.float32).array()
    with pytest.raises(UnsupportedError, match="StackedDeviceTensor"):
        StackedDeviceTensor([])


def test_workers_that_are_not_simulated(builds, add_program):
    from pypto import ir
    from pypto.runtime import ChipWorker, DistributedWorker

    with pytest.raises(ValueError, match=r"PTO018.*level=3"):
        ChipWorker(level=3)
    with pytest.raises(UnsupportedError, match="host_build_graph"):
        ChipWorker(runtime="host_build_graph")
    with pytest.raises(UnsupportedError, match="several cards"):
        DistributedWorker()
    with ChipWorker() as worker, pytest.raises(ValueError, match=r"'a2a3' on a ChipWorker for 'a2a3sim'"):
        worker.run(ir.compile(add_program, platform="a2a3"), X, X, X)


def test_a_launch_by_hand(builds, add_program):
    from pypto import ir
    from simpler.worker import Worker

    compiled, out = ir.compile(add_program), np.zeros_like(X)
    worker = Worker(level=2, device_id=0, platform=compiled.platform, runtime=compiled.runtime_name)
    args, values, allocated = compiled.build_orch_args(X, X, out, worker=worker)
    number = worker.register(compiled.chip_callable)
    with pytest.raises(RuntimeError, match=r"before init\(\)"):
        worker.run(number, args)
    worker.init()
    worker.run(number, args, compiled.build_call_config(aicpu_thread_num=3))
    worker.close()
    assert values[2] is out and allocated is False
    np.testing.assert_array_equal(out, 2 * X)


def test_a_benchmark_gives_simulated_time(builds, add_program):
    from pypto import ir
    from pypto.runtime import benchmark

    compiled, out = ir.compile(add_program), np.zeros_like(X)
    stats = benchmark(compiled, [X, X, out], rounds=3, warmup=1)
    np.testing.assert_array_equal(out, 2 * X)
    assert (len(stats.samples), stats.rounds, stats.warmup) == (3, 3, 1)
    assert stats.device_us_min == stats.device_us_max == stats.device_us_median > 0  # equal launches, equal times
    assert all(host > 0 for host in stats.per_round("host"))
    for wrong in ({"rounds": 0}, {"warmup": -1}):
        with pytest.raises(ValueError, match="PTO018"):
            benchmark(compiled, [X, X, out], **wrong)
