"""Ring sizes of the environment: what the runtime reads, and what it ignores with a warning.

Expected values follow simpler: docs of the multi-ring runtime and host/runtime_maker.cpp (apply_env_ring_values).
"""

import warnings

import pytest

from pto_sim.program.options import RunOptions
from pto_sim.program.ring_environment import VARIABLES, RingEnvironmentWarning, with_ring_sizes

FIELDS = {name: variable.field for name, variable in VARIABLES.items()}
DEFAULTS = {name: (variable.default,) * 4 for name, variable in VARIABLES.items()}


@pytest.fixture(autouse=True)
def no_variables(monkeypatch):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


def sizes(name: str, **options) -> tuple[int, ...]:
    return getattr(with_ring_sizes(RunOptions(**options)), FIELDS[name])


def test_the_runtimes_defaults():
    found = with_ring_sizes(RunOptions())
    assert found.ring_heap_bytes == (268435456,) * 4
    assert found.ring_task_window == found.ring_dep_pool == (16384,) * 4


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("PTO2_RING_TASK_WINDOW", "1024", (1024,) * 4),
        ("PTO2_RING_TASK_WINDOW", "8192,16384,131072,524288", (8192, 16384, 131072, 524288)),
        ("PTO2_RING_TASK_WINDOW", "4", (4,) * 4),
        ("PTO2_RING_TASK_WINDOW", "1073741824", (2**30,) * 4),
        ("PTO2_RING_HEAP", "1048576", (1048576,) * 4),
        ("PTO2_RING_HEAP", " 1024 ,\t2048, +4096,1025\n", (1024, 2048, 4096, 1025)),
        ("PTO2_RING_HEAP", "18446744073709551615", (2**64 - 1,) * 4),
        ("PTO2_RING_HEAP", "0000000000000000000000001024"[-24:], (1024,) * 4),
        ("PTO2_RING_DEP_POOL", "4096,8192,16384,5", (4096, 8192, 16384, 5)),
        ("PTO2_RING_DEP_POOL", "2147483647", (2147483647,) * 4),
    ],
)
def test_values_that_the_runtime_takes(monkeypatch, name, text, expected):
    monkeypatch.setenv(name, text)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert sizes(name) == expected


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("PTO2_RING_TASK_WINDOW", "1000", "1000 is no power of two"),
        ("PTO2_RING_TASK_WINDOW", "64,64,96,64", "96 is no power of two"),
        ("PTO2_RING_TASK_WINDOW", "2", "2 is not from 4 to 2147483647"),
        ("PTO2_RING_TASK_WINDOW", "2147483648", "not from 4"),
        ("PTO2_RING_HEAP", "1023", "1023 is not from 1024"),
        ("PTO2_RING_HEAP", "0", "0 is not from 1024"),
        ("PTO2_RING_HEAP", "-1", "'-1' is no whole number"),
        ("PTO2_RING_HEAP", "1M", "'1M' is no whole number"),
        ("PTO2_RING_HEAP", "0x400", "'0x400' is no whole number"),
        ("PTO2_RING_HEAP", "1e6", "no whole number"),
        ("PTO2_RING_HEAP", "１０２４", "no whole number"),
        ("PTO2_RING_HEAP", "18446744073709551616", "is not from 1024"),
        ("PTO2_RING_HEAP", "9" * 5000, "is not from 1024"),
        ("PTO2_RING_HEAP", "", "a value is empty"),
        ("PTO2_RING_HEAP", "  ", "a value is empty"),
        ("PTO2_RING_HEAP", "1024,2048,4096,8192,", "a value is empty"),
        ("PTO2_RING_HEAP", "1024,,1024,1024", "a value is empty"),
        ("PTO2_RING_HEAP", "1024,2048,4096", "3 values, and there are 4 rings"),
        ("PTO2_RING_HEAP", "1024,1024,1024,1024,1024", "5 values"),
        ("PTO2_RING_DEP_POOL", "3", "3 is not from 4"),
        ("PTO2_RING_DEP_POOL", "2147483648", "not from 4 to 2147483647"),
    ],
)
def test_a_bad_value_ignores_the_whole_variable(monkeypatch, name, text, why):
    monkeypatch.setenv(name, text)
    with pytest.warns(RingEnvironmentWarning) as said:
        assert sizes(name) == DEFAULTS[name]
    (message,) = [str(warning.message) for warning in said]
    assert why in message and message.startswith(f"{name}={text!r} is ignored as a whole")


def test_what_the_run_chose_goes_before_ring_by_ring(monkeypatch):
    monkeypatch.setenv("PTO2_RING_HEAP", "2048,4096,8192,16384")
    assert sizes("PTO2_RING_HEAP", ring_heap_bytes=(0, 1 << 20, 0, 0)) == (2048, 1 << 20, 8192, 16384)


def test_a_variable_that_decides_nothing_is_not_read(monkeypatch):
    monkeypatch.setenv("PTO2_RING_HEAP", "nonsense")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert sizes("PTO2_RING_HEAP", ring_heap_bytes=(1024,) * 4) == (1024,) * 4


def test_sized_options_stay_as_they_are(monkeypatch):
    once = with_ring_sizes(RunOptions())
    monkeypatch.setenv("PTO2_RING_HEAP", "1024")
    assert with_ring_sizes(once) is once
