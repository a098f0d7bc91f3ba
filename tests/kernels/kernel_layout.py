"""What a kernel launches and allocates, in order and by scope: to be compared with a table typed by hand."""

from __future__ import annotations

from typing import Any

import numpy as np

from pto_sim.backend import BackendRun, open_session
from pto_sim.engine import run_kernel
from pto_sim.golden import RunResult, ScalarSpec, TensorSpec, run_jit
from pto_sim.program.options import RunOptions
from pto_sim.testing import no_findings, run


def arguments(specs: list[TensorSpec | ScalarSpec], seed: int = 0) -> list[np.ndarray]:
    """The arguments of a kernel, as its script makes them."""
    return [spec.create_tensor(seed) if isinstance(spec, TensorSpec) else spec.value for spec in specs]


def compared(entry: object, specs: list, golden: object, tolerance: dict) -> RunResult:
    """Run `entry` on its specs and compare as its script does."""
    with open_session(RunOptions(timing=False, checks=False)):
        return run_jit(entry, specs, golden, compare_fn=tolerance)


def differences(entry: object, specs: list, golden: object, tolerance: dict) -> list[str]:
    """What the comparers say of the outputs, '' for each that agrees. As `compared`, without heap and time."""
    values, expected = inputs_and_expected(specs, golden)
    return said_of_a_run(entry, values, expected, tolerance)


def inputs_and_expected(specs: list, golden: object) -> tuple[list[Any], dict[str, Any]]:
    """The arguments of a kernel, and by name what its reference makes of copies of them."""
    values = arguments(specs)
    expected = {spec.name: np.array(value) for spec, value in zip(specs, values, strict=True)}
    golden(expected)
    return values, expected


def said_of_a_run(entry: object, values: list[Any], expected: dict[str, Any], tolerance: dict) -> list[str]:
    """What the comparers say of the outputs of a run on `values`, '' for each that agrees. `values` are not changed."""
    outputs = run_kernel(entry, values, RunOptions(), []).outputs
    context = {"inputs": {}, "actual_outputs": outputs, "expected_outputs": expected, "rtol": 1e-3, "atol": 1e-3}
    said = [compare(outputs[name], expected[name], **context) for name, compare in tolerance.items()]
    return ["" if agrees else text or "differs" for agrees, text in said]


def clean_run(entry: object, specs: list, **options: Any) -> BackendRun:
    """A run with all checks, which must find nothing from a warning on."""
    done = run(entry, arguments(specs), timing=False, **options)
    assert no_findings(done)
    return done


def right_and_clean_run(entry: object, specs: list, golden: object, tolerance: dict, **options: Any) -> BackendRun:
    """A run with all checks, which must find nothing from a warning on and whose outputs must agree with `golden`, as
    the comparers of `tolerance` say. The inputs are made once."""
    tensors = {spec.name: value for spec, value in zip(specs, arguments(specs), strict=True)}
    outputs = [spec.name for spec in specs if getattr(spec, "is_output", False)]
    assert set(tolerance) == set(outputs)
    expected = tensors | {name: np.array(tensors[name]) for name in outputs}
    done = run(entry, list(tensors.values()), timing=False, **options)
    golden(expected)
    context = {"actual_outputs": done.outputs, "expected_outputs": {name: expected[name] for name in outputs}}
    for name, compare in tolerance.items():
        agrees, text = compare(done.outputs[name], expected[name], inputs={}, rtol=1e-3, atol=1e-3, **context)
        assert agrees, f"{name}: {text}"
    assert no_findings(done)
    return done


def layout(done: BackendRun) -> list[tuple[str, str, str, int]]:
    """Allocations as (scope, 'alloc', name, bytes) and tasks as (scope, kind, name, blocks), in program order.

    scope: '' is the frame, '2' its second scope, '2.1' the first one in that. kind: AIC, AIV or MIX.
    """
    program, lowered = done.program, done.lowered
    assert program is not None and lowered is not None
    kinds = [task.kind for task in lowered.workload.tasks if task.kind != "ALLOC"]
    found, path, opened = [], [], [0]
    for event in program.events:
        scope = ".".join(map(str, path))
        if event.kind == "scope_begin":
            opened[-1] += 1
            path.append(opened[-1])
            opened.append(0)
        elif event.kind == "scope_end":
            path.pop()
            opened.pop()
        elif event.kind == "alloc":
            tensor = program.tensors[event.value]
            found.append((scope, "alloc", tensor.name, tensor.nbytes))
        elif event.kind == "task":
            task = program.tasks[event.value]
            found.append((scope, kinds[event.value], task.name, task.blocks))
    return found


def pipe_bytes(done: BackendRun) -> list[int]:
    """Sizes of the hidden buffers between cube and vector cores, one for each mixed task."""
    assert done.lowered is not None
    return [
        nbytes
        for task in done.lowered.workload.tasks
        for name, nbytes in zip(task.output_names, task.output_nbytes, strict=True)
        if name.startswith("gm_pipe_buffer")
    ]
