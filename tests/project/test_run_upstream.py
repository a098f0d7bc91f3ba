"""The tool that runs upstream's scripts: which ones it does not start, and what it makes of their last words."""

import importlib
import sys
from pathlib import Path

import pytest

HOST = "@pl.jit.host\ndef l3_layer(x): ...\n"
CARD = "@pl.jit\ndef layer(x): ...\n"


@pytest.fixture
def tool(monkeypatch, repository: Path):
    monkeypatch.setattr(sys, "path", [str(repository / "tools"), *sys.path])
    return importlib.import_module("run_upstream")


@pytest.mark.parametrize(
    ("source", "entry"),
    [
        (HOST + "run_jit(fn=l3_layer)", "l3_layer"),
        (HOST.replace("host", "host(auto_scope=False)") + "run_jit(fn=l3_layer)", "l3_layer"),
        (HOST + "host_fn = l3_layer\nrun_jit(fn=host_fn)", "l3_layer"),
        (HOST + CARD + "fn = l3_layer\nif one:\n    fn = layer\nrun_jit(fn=fn)", None),
        (HOST + CARD + "run_jit(fn=layer)\nrun_jit(fn=l3_layer)", None),
        (CARD + "run_jit(fn=layer)", None),
        (HOST + "print(1)", None),
    ],
)
def test_a_script_is_not_started_if_all_its_entries_are_of_several_cards(tool, source, entry):
    assert tool._host_entry(source) == entry


ROW = "│ PTO406 │ warning  │ a.py:177 │ scratch written but never │"


@pytest.mark.parametrize(
    ("text", "status", "reason"),
    [
        ("error: PTO203 at /up/a.py:9: a load is outside the tensor", "finding", "error: PTO203 at a.py:9"),
        (f"PTO902: /up/a.py:3: no room\n{ROW}", "ring heap", "PTO902: a.py:3: no room"),
        (f"│ PTO902: /up/a.py:3: no room │\n{ROW}", "ring heap", "│ PTO"),
        ("error: PTO001: resident='stacked' of TensorSpec 'w'", "several cards", "error: PTO001"),
        ("error: PTO001: pl.jit.extern is not modelled", "not modelled", "error: PTO001"),
        ("a.py: error: argument -p: invalid choice: 'a2a3'\nthe script ended with status 2", "a5", "a.py: error:"),
        ("AttributeError: 'C' object has no attribute 'b'", "fail", "AttributeError: 'C'"),
        ("[RUN] x mismatch\n[RUN] FAIL", "fail", "[RUN] x mismatch"),
    ],
)
def test_status_and_reason_come_from_the_error_and_not_from_a_warning(tool, text, status, reason):
    assert tool._failure(text) == status
    assert tool._reason(text, "/up/").startswith(reason)
