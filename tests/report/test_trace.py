"""trace.json holds every task, block and path step at its time, in the Chrome trace format."""

import dataclasses
import json

from pto_sim.report.trace import CORES, PATH, TASKS, trace_json


def events(timeline):
    document = json.loads(trace_json(timeline))
    assert document["otherData"] == {"chip": "a2a3"}
    return document["traceEvents"]


def complete(found, process):
    return [event for event in found if event["ph"] == "X" and event["pid"] == process]


def test_every_event_has_what_its_phase_needs(timeline):
    needed = {
        "X": {"pid", "tid", "name", "ts", "dur"},
        "M": {"pid", "name", "args"},
        "C": {"pid", "name", "ts", "args"},
        "i": {"pid", "tid", "name", "ts", "s"},
    }
    for event in events(timeline):
        assert needed[event["ph"]] <= event.keys() and event.get("dur", 0) >= 0


def test_blocks_are_on_their_cores(timeline):
    found = events(timeline)
    lanes = {
        event["tid"]: event["args"]["name"]
        for event in found
        if event["ph"] == "M" and event["name"] == "thread_name" and event["pid"] == CORES
    }
    drawn = {(lanes[e["tid"]], e["name"], e["ts"], e["ts"] + e["dur"]) for e in complete(found, CORES)}
    assert drawn == {
        ("AIV_0", "gather", 2.0, 6.0),
        ("AIV_1", "gather", 2.0, 6.0),
        ("AIC_0", "qk_pv", 7.0, 17.0),
        ("AIC_1", "qk_pv", 7.0, 16.0),
    }


def test_path_covers_the_run(timeline):
    path = complete(events(timeline), PATH)
    assert sum(event["dur"] for event in path) == timeline.total_us


def test_events_of_one_lane_do_not_overlap(timeline):
    found = events(timeline)
    for process in (TASKS, CORES, PATH):
        lanes = {}
        for event in sorted(complete(found, process), key=lambda e: e["ts"]):
            assert lanes.get(event["tid"], 0.0) <= event["ts"]
            lanes[event["tid"]] = event["ts"] + event["dur"]


def test_scheduler_and_orchestrator_phases_have_lanes_of_their_own(timeline):
    names = {event["args"]["name"] for event in events(timeline) if event["name"] == "thread_name"}
    assert {"orchestrator", "scheduler 0"} <= names


def test_heap_counters_stand_at_the_scope_ends(timeline):
    found = [
        (event["name"], event["ts"], event["args"]["live bytes"]) for event in events(timeline) if event["ph"] == "C"
    ]
    mib = 1 << 20
    assert found == [("heap ring 1", 0.5, 6 * mib), ("heap ring 1", 0.8, 9 * mib), ("heap ring 0", 0.9, 2 * mib)]


def test_no_counters_where_scope_ends_cannot_be_placed(timeline):
    phases = tuple(phase for phase in timeline.runtime_phases if "end scope" not in phase.what)
    found = events(dataclasses.replace(timeline, runtime_phases=phases))
    assert not [event for event in found if event["ph"] == "C"]
