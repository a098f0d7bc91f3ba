"""The HTML page is one self-contained static document with every figure of the report in it."""

import dataclasses
import re
from html.parser import HTMLParser

import pytest

from ascend_model.timeline import BlockSpan
from pto_sim.program.findings import Finding
from pto_sim.report.html import report_html
from pto_sim.report.html_charts import MAX_BLOCKS

VOID = {"meta", "br"}


class Nesting(HTMLParser):
    """Checks that every element is closed in order, and collects tags, attributes and text."""

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.attributes, self.text = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag, f"</{tag}> does not close the innermost element"

    def handle_data(self, data):
        self.text.append(data)


def parse(page):
    found = Nesting()
    found.feed(page)
    assert found.open == []
    return found


def test_page_is_well_formed_and_loads_nothing(make_report, timeline, heap):
    page = report_html(make_report(), timeline, heap["simulated"])
    found = parse(page)
    assert not {"script", "link", "img", "iframe", "object"} & set(found.tags)
    assert not {"src", "href", "onclick", "onload"} & {name for name, _ in found.attributes}
    assert not re.search(r"url\(|@import|https?://", page)


def test_page_holds_the_figures(make_report, timeline, heap):
    text = " ".join(parse(report_html(make_report(), timeline, heap["simulated"])).text)
    for figure in (
        "PASSED",
        "outputs agree with the golden",
        "12.00 MiB",
        "(root scope)",
        "gather",
        "qk_pv",
        "17.00 us",
        "58.8%",
        "PTO201",
        "store all",
        "e2c0a71510b5394df7773b63fb5f54372b84c3564e67811bde7d665be227976d",
    ):
        assert figure in text


def test_one_rectangle_for_each_block(make_report, timeline):
    page = report_html(make_report(), timeline)
    for block in timeline.blocks:
        assert f"block {block.block} on {block.core}: " in page


def test_too_many_blocks_are_counted_instead(make_report, timeline):
    many = dataclasses.replace(
        timeline, blocks=tuple(BlockSpan(1, i, "AIV_0", 1.0, 2.0) for i in range(MAX_BLOCKS + 1))
    )
    page = report_html(make_report(), many)
    assert f"{MAX_BLOCKS + 1} blocks are too many to draw" in page and "on AIV_0:" not in page


def test_names_are_escaped(make_report):
    evil = Finding("PTO201", "<b>", "warning", '"><script>', "</td><script>alert(1)</script>")
    page = report_html(make_report(kernel="<script>x</script>", findings=[evil], error="a <b", passed=False))
    assert "script" not in parse(page).tags


def test_failures_say_why(make_report, ring_fault):
    page = report_html(make_report(fault=ring_fault, error=str(ring_fault), heap={}, timeline=None))
    assert "HEAP_RING_DEADLOCK" in page and "requested_bytes" in page and "8388608" in page
    assert "PASSED" not in page and "<h2>Time</h2>" not in page


@pytest.mark.parametrize(("numerics", "notice"), [("fast", True), ("a2a3", False)])
def test_fast_numerics_is_said_first(make_report, numerics, notice):
    page = report_html(make_report(numerics=numerics))
    assert ("NOT bit-exact" in page) is notice
    if notice:
        assert page.index("NOT bit-exact") < page.index("PASSED")


def test_light_and_dark_define_the_same_colours(make_report):
    page = report_html(make_report())
    light, dark = re.findall(r":root \{(.*?)\}", page, re.S)
    names = [set(re.findall(r"(--\w+):", part)) for part in (light, dark)]
    assert names[0] == names[1]
    assert set(re.findall(r"var\((--\w+)\)", page)) <= names[0]
