"""ir.compile, fn.compile and what they give: attributes, call forms, the record in the directory."""

import ctypes
import os
import runpy

import numpy as np
import pytest

from pto_sim.program.errors import InputError, KernelError, UnsupportedError

X = np.arange(16 * 64, dtype=np.float32).reshape(16, 64)


def test_a_program_is_compiled_and_called_in_place(builds, add_program, tmp_path):
    from pypto import ir

    compiled = ir.compile(add_program, output_dir=str(tmp_path / "build"), platform="a2a3sim")
    assert isinstance(compiled, ir.CompiledProgram)
    assert (compiled.param_names, compiled.output_indices, compiled.has_return) == (["a", "b", "c"], [2], True)
    assert (compiled.platform, compiled.program) == ("a2a3sim", add_program)
    out = np.zeros((16, 64), np.float32)
    assert compiled(X, X, out) is None
    np.testing.assert_array_equal(out, X + X)


def test_outputs_that_are_left_out_are_returned(builds, add_program, double, tmp_path):
    from pypto import ir

    np.testing.assert_array_equal(ir.compile(add_program, tmp_path)(X, X + 1), 2 * X + 1)
    compiled = double.compile(X, np.zeros_like(X))  # bare annotations: the shapes are those it was compiled for
    np.testing.assert_array_equal(compiled(X), 2 * X)


def test_the_record_names_what_runs(builds, add_program, tmp_path):
    from pypto import ir

    compiled = ir.compile(add_program, output_dir=tmp_path / "b")
    assert os.fspath(compiled) == str(compiled) == str(tmp_path / "b")
    record = runpy.run_path(str(tmp_path / "b" / "kernel_config.py"))
    (kernel,) = record["KERNELS"]
    assert kernel["name"] == "tile_add" and kernel["func_id"] == 0
    assert kernel["source"].startswith(__file__.replace("test_compiled_program", "conftest"))
    assert "generates no code" in (tmp_path / "b" / "orchestration" / "main.cpp").read_text()


def test_tasks_are_named_by_their_hint(builds, double, tmp_path):
    from pypto import ir

    ir.compile(double, tmp_path)
    assert '"name": "doubling"' in (tmp_path / "kernel_config.py").read_text()


def test_one_compiled_form_for_each_specialisation(builds, double):
    small, big = np.zeros((8, 64), np.float32), np.zeros((16, 64), np.float32)
    first = double.compile(small, small.copy())
    assert double.compile(small + 1, small.copy()) is first
    assert double.compile(big, big.copy()) is not first
    double(X, big)
    assert len(double._cache) == 2


def test_dynamic_extents_share_one(builds):
    import pypto.language as pl

    rows = pl.dynamic("rows")

    @pl.jit
    def copy(x: pl.Tensor[[rows, 64], pl.FP32], y: pl.Out[pl.Tensor[[rows, 64], pl.FP32]]):
        with pl.at(level=pl.Level.CORE_GROUP):
            y[:, :] = x[:, :]
        return y

    for count in (8, 16):
        x, y = np.ones((count, 64), np.float32), np.zeros((count, 64), np.float32)
        copy(x, y)
        np.testing.assert_array_equal(y, x)
    assert len(copy._cache) == 1


def test_nothing_is_written_for_a_kernel_before_it_is_asked_for(builds, double, tmp_path, monkeypatch):
    monkeypatch.setenv("PYPTO_PROG_BUILD_DIR", str(tmp_path / "out"))
    compiled = double.compile(X, np.zeros_like(X))
    assert not (tmp_path / "out").exists()
    assert compiled.output_dir.is_dir() and compiled.output_dir.parent == tmp_path / "out"


def test_scalars_may_be_ctypes(builds):
    import pypto.language as pl

    @pl.jit
    def scale(x: pl.Tensor[[16, 64], pl.FP32], by: pl.Scalar[pl.FP32], y: pl.Out[pl.Tensor[[16, 64], pl.FP32]]):
        with pl.at(level=pl.Level.CORE_GROUP):
            y[:, :] = pl.mul(x[:, :], by)
        return y

    out = np.zeros_like(X)
    scale.compile(X, 3.0, out)(X, ctypes.c_float(3.0), out)
    np.testing.assert_array_equal(out, 3 * X)


def test_run_compiles_runs_and_returns_the_program(builds, add_program):
    from pypto.runtime import RunConfig, run

    out = np.zeros_like(X)
    compiled = run(add_program, X, X, out, config=RunConfig(platform="a2a3"))
    np.testing.assert_array_equal(out, 2 * X)
    out[:] = 0
    compiled(X, X, out)
    np.testing.assert_array_equal(out, 2 * X)


def test_a_directory_can_be_run_while_the_process_knows_what_it_is_for(builds, add_program, tmp_path):
    from pypto import ir
    from pypto.runtime import execute_compiled

    ir.compile(add_program, tmp_path / "b")
    out = np.zeros_like(X)
    execute_compiled(tmp_path / "b", [X, X, out], platform="a2a3sim", device_id=0)
    np.testing.assert_array_equal(out, 2 * X)
    again = ir.CompiledProgram.from_dir(tmp_path / "b")
    assert again.program is None and again.param_names == ["a", "b", "c"]
    np.testing.assert_array_equal(again(X, X), 2 * X)
    with pytest.raises(InputError, match=r"PTO018.*nothing was compiled into"):
        execute_compiled(tmp_path, [X, X, out], platform="a2a3sim", device_id=0)


def test_two_entries_are_called_by_name(builds):
    import pypto.language as pl
    from pypto import ir

    shape = [16, 64]

    @pl.program
    class Two:
        @pl.function(type=pl.FunctionType.Orchestration)
        def plus(self, a: pl.Tensor[shape, pl.FP32], c: pl.Out[pl.Tensor[shape, pl.FP32]]):
            with pl.at(level=pl.Level.CORE_GROUP):
                c[:, :] = pl.add(a[:, :], 1.0)
            return c

        @pl.function(type=pl.FunctionType.Orchestration)
        def minus(self, a: pl.Tensor[shape, pl.FP32], c: pl.Out[pl.Tensor[shape, pl.FP32]]):
            with pl.at(level=pl.Level.CORE_GROUP):
                c[:, :] = pl.sub(a[:, :], 1.0)
            return c

    compiled = ir.compile(Two)
    assert compiled.orchestration_names == ["plus", "minus"]
    with pytest.raises(TypeError, match="select one explicitly"):
        compiled(X, X)
    with pytest.raises(KeyError, match="plus, minus"):
        compiled["times"]
    out = np.zeros_like(X)
    compiled["plus"](X, out)
    np.testing.assert_array_equal(out, X + 1)
    compiled.minus(X, out)
    np.testing.assert_array_equal(out, X - 1)


def test_a_rule_of_the_language_is_checked_when_compiling(builds):
    import pypto.language as pl
    from pypto import ir

    @pl.jit
    def broken(x: pl.Tensor[[16, 64], pl.FP32]):
        try:
            pl.static_print(x)
        finally:
            pass

    with pytest.raises(KernelError, match=r"PTO2\d\d at .*test_compiled_program.py"):
        ir.compile(broken)


@pytest.mark.parametrize("part", ["functions", "as_python"])
def test_what_only_a_compiler_has_is_refused_by_name(builds, double, part):
    lowered = double.lower(X, np.zeros_like(X))
    with pytest.raises(UnsupportedError, match=rf"the IR of 'twice'\.{part} is not modelled"):
        getattr(lowered, part)
    with pytest.raises(UnsupportedError, match="the text of the IR of 'twice'"):
        str(lowered)


def test_something_that_is_no_program(builds):
    from pypto import ir

    with pytest.raises(TypeError, match="PTO018: int is no program"):
        ir.compile(3)


def test_another_chip_is_refused(builds, add_program):
    from pypto import ir
    from pypto.backend import BackendType

    for wrong in ({"platform": "a5sim"}, {"backend_type": BackendType.Ascend950}):
        with pytest.raises(UnsupportedError):
            ir.compile(add_program, **wrong)


def test_a_program_of_several_chips_is_refused_by_name(builds):
    import pypto.language as pl
    from pypto import ir

    @pl.program
    class Many:
        @pl.function(level=pl.Level.HOST, role=pl.Role.Orchestrator)
        def host_orch(self, a: pl.Tensor[[16, 64], pl.FP32]):
            pass

    with pytest.raises(UnsupportedError, match=r"multi-chip program 'Many' \(host_orch at level host\)"):
        ir.compile(Many)


@pytest.mark.parametrize("part", ["functions", "as_python"])
def test_the_ir_of_a_program_class_is_refused_by_name(add_program, part):
    with pytest.raises(UnsupportedError, match=rf"AddProgram\.{part} \(the IR of a program\)"):
        getattr(add_program, part)
    with pytest.raises(AttributeError, match="no function 'anything_else'"):
        add_program.anything_else  # noqa: B018


def test_the_cores_that_a_kernel_may_count_on(builds):
    from pypto import backend
    from pypto.pypto_core.ir import CoreType

    chip = backend.get_backend_instance(backend.BackendType.Ascend910B)
    assert (chip.get_core_count(CoreType.CUBE), chip.get_core_count(CoreType.VECTOR)) == (24, 48)
    counted = dict.fromkeys(CoreType, 0)
    for die, dies in chip.soc.die_counts.items():
        for cluster, clusters in die.cluster_counts.items():
            for core, cores in cluster.core_counts.items():
                counted[core.core_type] += cores * clusters * dies
    assert counted == {CoreType.CUBE: 24, CoreType.VECTOR: 48} and chip.soc.total_core_count() == 72
    with pytest.raises(UnsupportedError, match="a5"):
        backend.Backend950.instance()


def test_a_host_entry_is_refused_by_name(builds):
    import pypto.language as pl

    @pl.jit.host
    def everywhere(x: pl.Tensor[[16, 64], pl.FP32]):
        pass

    for use in (everywhere.compile, everywhere.lower, everywhere):
        with pytest.raises(UnsupportedError, match="multi-chip entry 'everywhere'"):
            use(X)
