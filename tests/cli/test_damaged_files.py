"""`pto-sim report` and `compare` with a damaged file in a run directory: a message names file and field."""

import json
import zipfile

import pytest

from pto_sim.lowering import lower
from pto_sim.program import store
from pto_sim.report.dfx.dep_graph import dep_graph_text
from pto_sim.report.dfx.files import numbers_of

SCOPES, DEPS = "dfx_outputs/scope_stats/scope_stats.jsonl", "dfx_outputs/deps.json"


@pytest.fixture
def run(cli, write, tmp_path):
    """A run directory with deps.json; `report` and `compare` read it without a word."""
    directory = tmp_path / "run"
    assert cli("run", "--no-timing", "--out", directory, write()).exit_code == 0
    program = store.load(directory / "program.pto")
    lowered = lower(program)
    (directory / DEPS).write_text(dep_graph_text(program, lowered, numbers_of(program, lowered)))
    assert cli("report", directory).exit_code == 0 and cli("compare", directory, directory).exit_code == 0
    return directory


def refused(cli, run):
    """The one message of both commands; nothing of Python in it."""
    texts = []
    for command in (("report", run), ("compare", run, run)):
        result = cli(*command)
        assert result.exit_code == 2 and "Traceback" not in result.output
        texts.append(result.stderr.strip())
    assert texts[0] == texts[1] and "instead:" in texts[0]
    return texts[0]


def edit_line(path, number, change):
    lines = path.read_text().splitlines()
    values = json.loads(lines[number - 1])
    change(values)
    lines[number - 1] = json.dumps(values)
    path.write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize(
    ("line", "change", "field"),
    [
        (1, {"version": 5}, "line 1.version: 5, this pto-sim reads 6"),
        (1, {"total": 3}, "line 1.total: 3 records, but 2 lines follow"),
        (1, {"heap_max": [1, 2]}, "line 1.heap_max: expected 4 numbers, found 2"),
        (1, {"fatal": "no"}, "line 1.fatal: expected bool, found str"),
        (2, {"heap_end": "many"}, "line 2.heap_end: expected int, found str"),
        (2, {"heap_end": None}, "line 2.heap_end: expected int, found NoneType"),
        (3, {"ring": 4}, "line 3.ring: expected 0 to 3, found 4"),
        (3, {"phase": "middle"}, "line 3.phase: expected begin or end, found 'middle'"),
        (3, {"task_window_start": 99}, "line 3.task_window_end: 3 is not behind task_window_start, 99"),
        (3, {"extra": 1}, "line 3: missing or unknown keys extra"),
    ],
)
def test_scope_stats(cli, run, line, change, field):
    edit_line(run / SCOPES, line, lambda values: values.update(change))
    text = refused(cli, run)
    assert "PTO031" in text and f"{SCOPES} is damaged" in text and f"values: {field}" in text


def test_scope_stats_cut_short(cli, run):
    whole = (run / SCOPES).read_text()
    (run / SCOPES).write_text(whole[: len(whole) - 20])
    assert f"{SCOPES} is damaged" in refused(cli, run) and "line 3: " in refused(cli, run)
    (run / SCOPES).write_text("")
    assert "line 1: the file is empty" in refused(cli, run)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (lambda deps: deps.pop("edges"), "edges: expected a list, found NoneType"),
        (lambda deps: deps["tasks"][0].pop("args"), "tasks[0]: missing or unknown keys args"),
        (lambda deps: deps["tasks"][0].update(task_id=7), "tasks[0].task_id: expected str, found int"),
        (lambda deps: deps["tasks"][1].update(task_id=deps["tasks"][0]["task_id"]), "tasks[1].task_id: "),
        (lambda deps: deps["tensors"][0].update(tensor_id="x"), "tensors[0].tensor_id: expected a decimal"),
        (lambda deps: deps["edges"][1].update(succ="99"), "edges[1].succ: there is no task '99'"),
        (lambda deps: deps["edges"][0].update(source="guess"), "edges[0].source: expected explicit, creator"),
        (lambda deps: deps["edges"][0].update(tensor_id="99"), "edges[0].tensor_id: there is no tensor '99'"),
        (lambda deps: deps["edges"][0].pop("flags"), "edges[0]: lacks flags"),
    ],
)  # fmt: skip
def test_deps(cli, run, change, field):
    deps = json.loads((run / DEPS).read_text())
    change(deps)
    (run / DEPS).write_text(json.dumps(deps))
    text = refused(cli, run)
    assert "PTO031" in text and f"{DEPS} is damaged" in text and f"values: {field}" in text


def test_deps_that_are_no_json(cli, run):
    (run / DEPS).write_text("{")
    assert "PTO031" in refused(cli, run)
    (run / DEPS).write_bytes(b"\xff\xfe")
    assert f"{DEPS} is damaged" in refused(cli, run)


def edit_document(path, change):
    """Change the JSON part of a recorded program."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    document = json.loads(members["program.json"])
    change(document["program"])
    members["program.json"] = json.dumps(document).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (lambda program: program.pop("tasks"), "program: missing or unknown keys tasks"),
        (lambda program: program["tasks"][0].update(blocks="two"), "program.tasks[0].blocks: expected int, found str"),
        (lambda program: program["tasks"][0].update(site=99), "site of a task is out of range: 99"),
        (lambda program: program["tasks"][0]["explicit_deps"].append(7), "task of a dependency is out of range: 7"),
        (lambda program: program["events"].append(["read", [0], 0]), "value of an event 'read': expected [tensor"),
        (lambda program: program["events"].append(["read", [9, 0, [], []], 0]), "tensor in the value of an event"),
        (lambda program: program["events"].append(["write", [0, -1, [], []], 0]), "value of an event 'write': "),
        (lambda program: program["events"].append(["read", [0, 0, [4], []], 0]), "1 extents and 0 strides"),
    ],
)  # fmt: skip
def test_recorded_program(cli, run, change, field):
    edit_document(run / "program.pto", change)
    text = refused(cli, run)
    assert "PTO042" in text and "program.pto is damaged" in text and field in text


def test_recorded_program_cut_short(cli, run):
    data = (run / "program.pto").read_bytes()
    (run / "program.pto").write_bytes(data[: len(data) // 2])
    text = refused(cli, run)
    assert "PTO040" in text and "program.pto is not a recorded program, or is cut short" in text


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (lambda report: report.update(passed="yes"), "report.passed: expected bool, found str"),
        (lambda report: report["heap"]["max_lag"]["rings"]["0"].pop("high_water_bytes"), "report.heap.max_lag.rings.0"),
        (lambda report: report["outputs"]["out"].update(shape=3), "report.outputs.out.shape: expected a list"),
        (lambda report: report.update(version=99), "file: 99, this pto-sim reads"),
    ],
)  # fmt: skip
def test_report_json(cli, run, change, field):
    report = json.loads((run / "report.json").read_text())
    change(report)
    (run / "report.json").write_text(json.dumps(report))
    text = refused(cli, run)
    assert "PTO031" in text and "report.json" in text and field in text


@pytest.mark.parametrize("change", [lambda text: text[:-30], lambda text: "[]", lambda text: ""])
def test_report_json_that_is_none(cli, run, change):
    (run / "report.json").write_text(change((run / "report.json").read_text()))
    text = refused(cli, run)
    assert "PTO031" in text and "report.json" in text
