"""The runtime's own files, of one small kernel: ids, edges and times against what the kernel's text says."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

import pto_sim.language as pl
from pto_sim.golden import ScalarSpec, TensorSpec, run_jit
from pto_sim.program.errors import UnsupportedError
from pto_sim.report.dfx.dep_graph import tensor_identity
from pto_sim.report.dfx.swimlane import CLOCK_HZ

N = 64
ALL = {"enable_chip_swimlane": 4, "enable_dump_args": 2, "enable_pmu": 2, "enable_dep_gen": True,
       "enable_scope_stats": True}  # fmt: skip


@pl.jit(auto_scope=False)
def staged(x: pl.Tensor[[N, N], pl.FP32], w: pl.Tensor[[N, N], pl.BF16], y: pl.Out[pl.Tensor[[N, N], pl.FP32]]):
    half = pl.create_tensor([N, N], dtype=pl.BF16)
    with pl.scope():
        for i in pl.spmd(4, name_hint="narrow"):
            half[16 * i : 16 * i + 16, 0:N] = pl.cast(x[16 * i : 16 * i + 16, 0:N], target_type=pl.BF16, mode="rint")
        with pl.at(level=pl.Level.CORE_GROUP, name_hint="project"):
            product = pl.matmul(half[0:N, 0:N], w[0:N, 0:N], out_dtype=pl.FP32)
            y[0:N, 0:N] = pl.add(product, 1.0)


def golden(tensors):
    tensors["y"][:] = tensors["x"].astype(np.float32) @ tensors["w"].astype(np.float32) + 1


def specs():
    rng = np.random.default_rng(0)
    return [
        TensorSpec("x", [N, N], np.float32, rng.integers(-4, 5, (N, N)).astype(np.float32)),
        TensorSpec("w", [N, N], pl.BF16, rng.integers(-4, 5, (N, N)).astype(np.float32)),
        TensorSpec("y", [N, N], np.float32, is_output=True),
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """dfx_outputs of one run that asked for everything."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("run"))
        result = run_jit(staged, specs(), golden, runtime_cfg=ALL)
        assert result.passed, result.error
        return Path.cwd() / result.work_dir / "dfx_outputs"


def read(folder, name):
    return json.loads((folder / name).read_text())


NARROW, PROJECT, BATCH, PIPE = 1 << 32, (1 << 32) + 2, 0, (1 << 32) + 1


def test_tasks_and_kernels(folder):
    """Ring 0 has the frame's batch; ring 1, of the scope, the pipe buffer's batch at its top and the two launches."""
    tasks = {int(task["task_id"]): task for task in read(folder, "deps.json")["tasks"]}
    names = read(folder, "name_map_staged.json")["callable_id_to_name"]
    found = {
        number: ([names.get(str(kernel)) for kernel in task["kernel_ids"]], task["block_num"], task["scope"])
        for number, task in tasks.items()
    }
    narrow, project = min(tasks), max(tasks)
    assert found == {
        narrow: ([None, "narrow", None], 4, "auto"),
        project: (["project_aic", "project_aiv", None], 1, "auto"),
    }
    assert [(arg["idx"], arg["type"], arg["dtype"], arg["shape"]) for arg in tasks[narrow]["args"]] == [
        (0, "INPUT", "FLOAT32", [N, N]),
        (1, "OUTPUT_EXISTING", "BFLOAT16", [N, N]),
    ]
    pipe = tasks[project]["args"][-1]
    assert (pipe["type"], pipe["dtype"], pipe["start_offset"], pipe["strides"]) == (
        "OUTPUT_EXISTING", "UINT8", "0", [1],
    )  # fmt: skip


def test_every_edge_says_its_source(folder):
    document = read(folder, "deps.json")
    narrow, project = sorted(int(task["task_id"]) for task in document["tasks"])
    edges = [(int(e["pred"]), int(e["succ"]), e["source"], e["flags"], e.get("overlap")) for e in document["edges"]]
    pinned = ["wait", "retain"]
    assert edges[:3] == [
        (BATCH, narrow, "creator", pinned, None),
        (BATCH, project, "creator", pinned, None),
        (narrow, project, "tensormap", ["wait"], "covered"),
    ]
    assert [(source, flags) for _, succ, source, flags, _ in edges[3:] if succ == project] == [("creator", pinned)]
    match = document["edges"][2]
    assert match["producer_shape"] == match["consumer_shape"] == [N, N]
    assert (match["producer_start_offset"], match["producer_strides"], match["consumer_dtype"]) == (
        "0", [N, 1], "BFLOAT16",
    )  # fmt: skip
    tensors = {row["tensor_id"]: row for row in document["tensors"]}
    for row in tensors.values():
        assert int(row["tensor_id"]) == tensor_identity(int(row["buffer_addr"]), row["version"])
    assert tensors[match["tensor_id"]]["buffer_numel"] == str(N * N)


def test_a_tensor_is_known_by_its_address():
    """FNV-1a of twelve zero bytes, by hand: each byte multiplies the offset basis by the prime."""
    assert tensor_identity(0) == 0xCBF29CE484222325 * 0x100000001B3**12 % 2**64


def test_cores_and_threads(folder):
    records = read(folder, "chip_swimlane_records.json")
    meta = records["metadata"]
    assert records["chip_swimlane_level"] == 4 and meta["clock_freq_hz"] == CLOCK_HZ == 50_000_000
    assert meta["num_cores"] == 72 and meta["core_types"] == ["aic"] * 24 + ["aiv"] * 48
    assert meta["core_to_thread"][:4] == [0, 1, 2, 0] and meta["core_to_thread"][24:28] == [0, 0, 1, 1]
    tasks = [row[1] for row in records["aicore_tasks"]]
    assert len(tasks) == 4 + 2 and tasks.count(max(tasks)) == 2  # four vector blocks; a cube and a vector core
    published = {(core, number): times for core, number, *times in records["aicpu_tasks"]}
    for core, _, number, start, end, setup in records["aicore_tasks"]:
        dispatch, finish = published[core, number]
        assert dispatch <= start - setup < start < end < finish


def test_phases_do_not_overlap_on_a_thread(folder):
    records = read(folder, "chip_swimlane_records.json")
    assert len(records["aicpu_scheduler_phases"]) == 3
    for thread in records["aicpu_scheduler_phases"]:
        ends = [phase["end_cycles"] for phase in thread]
        assert all(end <= phase["start_cycles"] for end, phase in zip(ends, thread[1:], strict=False))
        assert {phase["kind"] for phase in thread} <= {"dispatch", "complete", "resolve"}
    dispatched = sum(p["tasks_processed"] for t in records["aicpu_scheduler_phases"] for p in t if "pop_hit" in p)
    assert dispatched == 5
    (submissions,) = records["aicpu_orchestrator_phases"]
    assert [phase["submit_idx"] for phase in submissions] == list(range(4))


def test_depths_of_the_ready_queues(folder):
    """[AIC, AIV, MIX]: four vector blocks are one task; the end of the last makes the mixed task ready, once."""
    threads = read(folder, "chip_swimlane_records.json")["aicpu_scheduler_phases"]
    phases = sorted((p for thread in threads for p in thread), key=lambda phase: phase["end_cycles"])
    seen = [(p["kind"], p["shared_at_end"]) for p in phases if p["kind"] in ("complete", "dispatch")]
    assert [row for row in seen if row[0] == "complete"] == [("complete", [0, 0, 1]), ("complete", [0, 0, 0])]
    assert seen[-1] == ("complete", [0, 0, 0])
    vector = [depths for kind, depths in seen[: seen.index(("complete", [0, 0, 1]))]]
    assert vector[-1] == [0, 0, 0] and all(depths in ([0, 1, 0], [0, 0, 0]) for depths in vector)
    for thread in threads:
        sampled = [p for p in thread if p["kind"] != "resolve"]
        before = [[0, 0, 0], *(p["shared_at_end"] for p in sampled)]
        assert [p["shared_at_start"] for p in sampled] == before[:-1]
    counters = [e for e in read(folder, "merged_swimlane.json")["traceEvents"] if e["ph"] == "C"]
    assert {e["name"] for e in counters} == {"shared_ready_queue"} and len(counters) == len(seen)
    assert {"AIC": 0, "AIV": 0, "MIX": 1} in [e["args"] for e in counters]


@pytest.mark.parametrize(("level", "keys"), [
    (1, []),
    (2, ["aicpu_tasks"]),
    (3, ["aicpu_tasks", "aicpu_scheduler_phases"]),
])  # fmt: skip
def test_lower_levels_hold_less(tmp_path, monkeypatch, level, keys):
    monkeypatch.chdir(tmp_path)
    result = run_jit(staged, specs(), golden, runtime_cfg={"enable_chip_swimlane": level})
    records = read(result.work_dir / "dfx_outputs", "chip_swimlane_records.json")
    assert [key for key in records if key.startswith("aicpu")] == keys
    assert ("core_to_thread" in records["metadata"]) == (level >= 3)


def test_the_merged_trace_has_the_lanes_of_the_converter(folder):
    events = read(folder, "merged_swimlane.json")["traceEvents"]
    processes = {event["pid"]: event["args"]["name"] for event in events if event["name"] == "process_name"}
    assert processes == {1: "Orchestrator", 2: "AICPU Scheduler", 3: "Scheduler View", 4: "Worker View"}
    work = [event for event in events if event["ph"] == "X" and event["pid"] == 4]
    assert sorted({event["name"].split("(")[0] for event in work}) == ["narrow", "project_aic", "project_aiv"]
    records = read(folder, "chip_swimlane_records.json")
    first = min(row[3] for row in records["aicore_tasks"])
    starts = min(event["ts"] + event["args"]["local_setup_us"] for event in work)
    assert starts == pytest.approx(first / 50, abs=0.02)
    arrows = [event for event in events if event.get("name") == "dependency"]
    assert [arrow["ph"] for arrow in arrows] == ["s", "f"] and arrows[0]["ts"] < arrows[1]["ts"]


def test_busy_cycles_of_every_block_and_core(folder):
    rows = list(csv.DictReader((folder / "pmu.csv").open()))
    assert len(rows) == 6 and {row["event_type"] for row in rows} == {"2"}
    for row in rows:
        vector = row["core_type"] == "1"
        assert (int(row["cube_busy_cycles"]) > 0, int(row["vec_busy_cycles"]) > 0) == (not vector, vector)
        assert int(row["pmu_total_cycles"]) >= max(int(v) for k, v in row.items() if k.endswith("busy_cycles"))
        assert int(row["core_id"]) >= 24 or not vector


def test_the_dump_holds_what_each_task_found_and_left(folder):
    manifest = read(folder / "args_dump", "args_dump.json")
    payload = (folder / "args_dump" / manifest["bin_file"]).read_bytes()
    x, w, _ = (spec.create_tensor() for spec in specs())
    half = x.astype(w.dtype)
    result = (x.astype(np.float32) @ w.astype(np.float32)) + 1
    seen = [
        (entry["role"], entry["stage"], entry["dtype"],
         payload[entry["bin_offset"] : entry["bin_offset"] + entry["bin_size"]])
        for entry in manifest["args"]
    ]  # fmt: skip
    assert seen == [
        ("input", "before_dispatch", "float32", x.tobytes()),
        ("output", "after_completion", "bfloat16", half.tobytes()),
        ("input", "before_dispatch", "bfloat16", half.tobytes()),
        ("input", "before_dispatch", "bfloat16", w.tobytes()),
        ("output", "after_completion", "float32", result.astype(np.float32).tobytes()),
    ]
    assert (manifest["total_args"], manifest["before_dispatch"], manifest["input_args"]) == (5, 3, 3)


@pl.jit(auto_scope=False)
def marked(x: pl.Tensor[[N, N], pl.FP32], y: pl.InOut[pl.Tensor[[N, N], pl.FP32]]):
    with pl.at(level=pl.Level.CORE_GROUP, name_hint="first"):
        y[0:N, 0:N] = pl.add(y[0:N, 0:N], x[0:N, 0:N])
    pl.dump_tag(x)
    with pl.at(level=pl.Level.CORE_GROUP, name_hint="second", dumps=[y]):
        y[0:N, 0:N] = pl.add(y[0:N, 0:N], x[0:N, 0:N])


@pytest.mark.parametrize(("level", "described", "with_bytes"), [(1, 3, 3), (2, 6, 6), (3, 6, 3)])
def test_levels_of_the_dump(tmp_path, monkeypatch, level, described, with_bytes):
    """Marks hold from the statement on: x in the second task; y, in and out, in the task that names it."""
    monkeypatch.chdir(tmp_path)
    made = [TensorSpec("x", [N, N], np.float32, 1.0), TensorSpec("y", [N, N], np.float32, 2.0, is_output=True)]
    result = run_jit(marked, made, runtime_cfg={"enable_dump_args": level})
    manifest = read(result.work_dir / "dfx_outputs" / "args_dump", "args_dump.json")
    assert manifest["dump_args_level"] == level and len(manifest["args"]) == described
    assert sum(entry["bin_size"] > 0 for entry in manifest["args"]) == with_bytes
    assert [e["role"] for e in manifest["args"] if e["bin_size"]][-1] == "inout"


@pl.jit(auto_scope=False)
def named_like_others(x: pl.Tensor[[N, N], pl.BF16], y: pl.Out[pl.Tensor[[N, N], pl.FP32]]):
    gm_pipe_buffer_0 = pl.create_tensor([N, N], dtype=pl.BF16)
    for i in pl.spmd(4, name_hint="copy_x3"):
        gm_pipe_buffer_0[16 * i : 16 * i + 16, 0:N] = x[16 * i : 16 * i + 16, 0:N]
    with pl.at(level=pl.Level.CORE_GROUP, name_hint="square"):
        y[0:N, 0:N] = pl.add(pl.matmul(gm_pipe_buffer_0[0:N, 0:N], x[0:N, 0:N], out_dtype=pl.FP32), 1.0)


def test_names_that_look_like_the_runtimes_own_mislead_nobody(tmp_path, monkeypatch):
    """A tensor called as a pipe buffer is not one, and 'x3' in a task's name is no number of blocks."""
    monkeypatch.chdir(tmp_path)
    made = [TensorSpec("x", [N, N], pl.BF16, 1.0), TensorSpec("y", [N, N], np.float32, is_output=True)]
    files = run_jit(named_like_others, made, runtime_cfg=ALL).work_dir / "dfx_outputs"
    copy, square = read(files, "deps.json")["tasks"]
    buffers = {row["tensor_id"]: (row["dtype"], int(row["buffer_addr"])) for row in read(files, "deps.json")["tensors"]}
    written, pipe = copy["args"][-1]["tensor_id"], square["args"][-1]["tensor_id"]
    assert (buffers[written][0], buffers[pipe][0]) == ("BFLOAT16", "UINT8")
    assert buffers[pipe][1] - buffers[written][1] == N * N * 2  # behind it, in the same batch
    threads = read(files, "chip_swimlane_records.json")["aicpu_scheduler_phases"]
    counts = {kind: sum(p["tasks_processed"] for t in threads for p in t if p["kind"] == kind) for kind in
              ("dispatch", "complete")}  # fmt: skip
    assert counts == {"dispatch": 5, "complete": 2}


@pl.jit(auto_scope=False)
def parting(x: pl.Tensor[[4, N], pl.FP32], y: pl.Out[pl.Tensor[[4, N], pl.FP32]]):
    kept = pl.create_tensor([4, N], dtype=pl.FP32)
    with pl.at(level=pl.Level.CORE_GROUP, name_hint="keep"):
        kept[0:4, 0:N] = pl.add(x[0:4, 0:N], 1.0)
    for i in pl.spmd(4, name_hint="ragged"):
        part = pl.load(kept, [i, 0], [1, N], valid_shape=[1, 8 * (i + 1)])
        pl.store(pl.add(part, 1.0), [i, 0], y)


def test_a_dump_of_a_run_that_starts_again_holds_it_once(tmp_path, monkeypatch):
    """Blocks with different valid shapes cannot run as a batch: the run starts again, and so does the dump."""
    monkeypatch.chdir(tmp_path)
    x = np.arange(4 * N, dtype=np.float32).reshape(4, N)
    made = [TensorSpec("x", [4, N], np.float32, x), TensorSpec("y", [4, N], np.float32, is_output=True)]
    files = run_jit(parting, made, runtime_cfg={"enable_dump_args": 2}).work_dir / "dfx_outputs" / "args_dump"
    manifest, payload = read(files, "args_dump.json"), (files / "args.bin").read_bytes()
    stages = [(entry["role"], entry["stage"]) for entry in manifest["args"]]
    assert stages == [("input", "before_dispatch"), ("output", "after_completion")] * 2
    assert len(payload) == 4 * x.nbytes
    assert payload[x.nbytes : 2 * x.nbytes] == payload[2 * x.nbytes : 3 * x.nbytes] == (x + 1).tobytes()


@pytest.mark.parametrize("event", [1, 4, 8])
def test_counters_without_a_model_are_refused(event):
    with pytest.raises(UnsupportedError, match=f"enable_pmu={event}"):
        run_jit(staged, specs(), golden, runtime_cfg={"enable_pmu": event})


def test_nothing_is_written_unasked(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run_jit(staged, specs(), golden).work_dir is None
    assert not list(tmp_path.iterdir())


@pl.jit.incore
def scaled(x: pl.Tensor[[16, N], pl.FP32], by: pl.Scalar[pl.FP32], y: pl.Out[pl.Tensor[[16, N], pl.FP32]]):
    y[0:16, 0:N] = pl.mul(x[0:16, 0:N], by)


@pl.jit(auto_scope=False)
def with_scalars(
    n: pl.Scalar[pl.INT32], by: pl.Scalar[pl.FP32], x: pl.Tensor[[N, N], pl.FP32], at: pl.Tensor[[4], pl.INT32],
    y: pl.Out[pl.Tensor[[N, N], pl.FP32]], z: pl.Out[pl.Tensor[[16, N], pl.FP32]],
):  # fmt: skip
    fixed = 16
    for k in pl.range(2):
        row = pl.read(at, [k])
        shifted = row - 32
        with pl.at(level=pl.Level.CORE_GROUP, name_hint="at"):
            part = pl.mul(x[row : row + fixed, 0:N], by)
            y[row : row + 16, 0:N] = pl.add(part, n * k + pl.cast(pl.cast(shifted, pl.INT32), pl.FP32))
    for b in pl.spmd(2, name_hint="blocks"):
        rows = b * fixed
        y[n + rows : n + rows + 16, 0:N] = x[rows : rows + 16, 0:N]
    z = scaled(x[0:16, 0:N], by, z)


def test_scalars_of_a_launch_stand_behind_its_tensors(tmp_path, monkeypatch):
    """In the order in which the body reads them. A constant, a scalar of @pl.jit, for whose value the program is made,
    and what the body computes are none."""
    monkeypatch.chdir(tmp_path)
    made = [
        ScalarSpec("n", pl.INT32, 32), ScalarSpec("by", pl.FP32, -0.5), TensorSpec("x", [N, N], np.float32, 1.0),
        TensorSpec("at", [4], np.int32, np.array([0, 16, 0, 0], np.int32)),
        TensorSpec("y", [N, N], np.float32, is_output=True), TensorSpec("z", [16, N], np.float32, is_output=True),
    ]  # fmt: skip
    files = run_jit(with_scalars, made, runtime_cfg={"enable_dump_args": 2}).work_dir / "dfx_outputs" / "args_dump"
    manifest = read(files, "args_dump.json")
    scalars = [entry for entry in manifest["args"] if entry["kind"] == "scalar"]
    half = int(np.array([-0.5], np.float32).view(np.uint32)[0])
    expected = [*([("int32", 16 * k), ("int64", k), ("int64", 16 * k - 32)] for k in range(2)), [], [("uint64", half)]]
    tasks = list(dict.fromkeys(entry["task_id"] for entry in manifest["args"]))
    found = [[(e["dtype"], e["value"]) for e in scalars if e["task_id"] == task] for task in tasks]
    assert found == expected
    for task in tasks:
        tensors = {e["arg_index"] for e in manifest["args"] if e["task_id"] == task and e["kind"] == "tensor"}
        places = [e["arg_index"] for e in scalars if e["task_id"] == task]
        assert places == list(range(len(tensors), len(tensors) + len(places)))
    assert {(e["role"], e["stage"], e["bin_size"], tuple(e["shape"])) for e in scalars} == {
        ("input", "before_dispatch", 0, ())
    }


def test_marks_name_tensors_and_no_scalars(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = [TensorSpec("x", [N, N], np.float32, 1.0), TensorSpec("y", [N, N], np.float32, is_output=True)]

    @pl.jit(auto_scope=False)
    def kernel(x: pl.Tensor[[N, N], pl.FP32], y: pl.Out[pl.Tensor[[N, N], pl.FP32]]):
        for k in pl.parallel(1):
            with pl.at(level=pl.Level.CORE_GROUP, dumps=[x]):
                y[16 * k : 16 * k + 16, 0:N] = x[0:16, 0:N]

    for level, kinds in ((1, ["tensor"]), (3, ["tensor", "scalar", "tensor"])):
        files = run_jit(kernel, made, runtime_cfg={"enable_dump_args": level}).work_dir / "dfx_outputs" / "args_dump"
        assert [entry["kind"] for entry in read(files, "args_dump.json")["args"]] == kinds
