"""The tool that holds runs against records of the compiler is silent for one that agrees, and names each fault."""

import copy
import importlib
import sys
from pathlib import Path

import pytest

from pto_sim.program.model import Event

TOOLS = Path(__file__).resolve().parents[2] / "tools"


@pytest.fixture
def tool(monkeypatch):
    monkeypatch.setattr(sys, "path", [str(TOOLS), *sys.path])
    return importlib.import_module("compare_compiler_records")


@pytest.fixture
def program(programs):
    """A loop of two iterations: a cube task that makes `p`, a vector task that reads it, in the frame's scope."""
    a = programs.tensor("a", (16, 64), "BF16")
    b = programs.tensor("b", (64, 16), "BF16")
    y = programs.tensor("y", (16, 16), "FP32", "out")
    with programs.scope():
        p = programs.create("p", (16, 16), "FP32")
        for _ in range(2):
            with programs.body("parallel"):
                cube = programs.block()
                product = cube.emit(
                    "matmul",
                    (cube.load(a, (16, 64), line=1), cube.load(b, (64, 16), line=2)),
                    out=((16, 16), "FP32"),
                    attrs={"a_trans": False, "b_trans": False, "k_split": 64},
                    line=3,
                )
                cube.store(product, p, line=4)
                programs.launch(
                    "mm", cube, [programs.arg(a, "r"), programs.arg(b, "r"), programs.arg(p, "w")], blocks=4
                )
                vector = programs.block()
                vector.store(vector.like("neg", vector.load(p, (16, 16), line=5), line=6), y, line=7)
                programs.launch("act", vector, [programs.arg(p, "r"), programs.arg(y, "w")])
    return programs.build()


RECORD = {
    "entry": "hand",
    "orchestration": [
        {
            "scope": "auto",
            "body": [
                {"alloc": [{"name": "p", "shape": [16, 16], "dtype": "FP32", "manual_dep": False}]},
                {"if": True, "body": [{"task": "AIV", "name": "other", "args": [], "scalars": 0}]},
                {
                    "for": {"start": 0, "stop": 2, "step": 1},
                    "body": [
                        {
                            "task": "AIC",
                            "name": "mm",
                            "args": [["input", "a"], ["input", "b"], ["output", "p"]],
                            "scalars": 0,
                            "blocks": 4,
                        },
                        {"task": "AIV", "name": "act", "args": [["input", "p"], ["output", "y"]], "scalars": 0},
                    ],
                },
            ],
        }
    ],
    "kernels": [
        {
            "name": "mm",
            "onchip_peak_bytes": {"acc": 1024, "mat": 4096, "left": 2048, "right": 2048},
            "matmul_tiles_m_k_n": [["tmatmul", 16, 64, 16, "bf16"]],
            "pipes": [],
        },
        {"name": "act", "onchip_peak_bytes": {"vec": 1024}, "matmul_tiles_m_k_n": [], "pipes": []},
    ],
}


def differences(tool, record, program):
    found = tool.RunComparison(record, program).run()
    return {(subject, where) for subject, where, _ in found.differences}, found.compared


def test_a_record_that_agrees_gives_no_difference(tool, program):
    found, compared = differences(tool, RECORD, program)
    assert found == set()
    assert compared["kind"] == 4 and compared["alloc"] == 1 and compared["l0"] == 2 and compared["peak"] == 5


def test_an_access_of_the_orchestrator_itself_is_passed_over(tool, program):
    read = Event("read", (0, 0, (16, 64), (64, 1)), 0)
    launch = next(i for i, event in enumerate(program.events) if event.kind == "task")
    program.events.insert(launch, read)
    found, compared = differences(tool, RECORD, program)
    assert found == set() and compared["kind"] == 4


def loop(record):
    return record["orchestration"][0]["body"][2]["body"]


def set_kind(record):
    loop(record)[0]["task"] = "MIX"


def set_blocks(record):
    loop(record)[0]["blocks"] = 5


def set_direction(record):
    loop(record)[1]["args"][1][0] = "inout"


def set_peak(record):
    record["kernels"][1]["onchip_peak_bytes"]["vec"] = 10**6


def set_tile(record):
    record["kernels"][0]["matmul_tiles_m_k_n"][0][2] = 32


def set_batch(record):
    record["orchestration"][0]["body"][0]["alloc"][0]["shape"] = [16, 32]


def add_task(record):
    loop(record).append({"task": "AIV", "name": "more", "args": [], "scalars": 0})


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (set_kind, ("kind", "mm")),
        (set_blocks, ("blocks", "mm")),
        (set_direction, ("directions", "act")),
        (set_peak, ("peak", "act vec")),
        (set_tile, ("l0", "mm")),
        (set_batch, ("alloc", "alloc p")),
        (add_task, ("order", "scope auto/for")),
    ],
)
def test_each_fault_is_named(tool, program, fault, expected):
    record = copy.deepcopy(RECORD)
    fault(record)
    assert differences(tool, record, program)[0] == {expected}
