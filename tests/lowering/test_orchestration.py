"""Allocation batches, directions and edges of small orchestrations, each rule as a minimal case."""

import dataclasses

import numpy as np
import pytest

from ascend_model.workload import ScopeBegin, ScopeEnd, Submit
from pto_sim.lowering import lower
from pto_sim.program.errors import InputError


def batches(lowered):
    return [task.output_names for task in lowered.workload.tasks if task.kind == "ALLOC"]


def order(lowered):
    """The events as text: task names, '(' mode, ')'."""
    words = []
    for event in lowered.workload.events:
        if isinstance(event, Submit):
            words.append(lowered.workload.tasks[event.task].name)
        elif isinstance(event, ScopeBegin):
            words.append("(" + event.mode)
        else:
            assert isinstance(event, ScopeEnd)
            words.append(")")
    return " ".join(words)


def directions(lowered):
    return {f.name: dict(f.directions) for f in lowered.facts if f.record >= 0}


def edges(lowered, name):
    task = next(task for task in lowered.workload.tasks if task.name == name)
    names = [t.name for t in lowered.workload.tasks]
    return {(names[e.producer], e.source, e.wait, e.retain) for e in task.edges}


def use(programs, name, **uses):
    """Launch a task that uses tensors by name: use(p, 'k', a='r', b='w')."""
    numbers = {info.name: index for index, info in enumerate(programs.tensors)}
    return programs.launch(name, args=[programs.arg(numbers[tensor], how) for tensor, how in uses.items()])


# -- batches ------------------------------------------------------------------------------------------


def test_creates_of_a_list_are_hoisted_to_its_top_in_program_order(programs):
    programs.create("a", (4,), "FP32")
    use(programs, "first", a="w")
    with programs.scope():
        programs.create("b", (4,), "FP32")
        use(programs, "second", a="r", b="w")
        programs.create("c", (4,), "FP32")
    programs.create("d", (4,), "FP32")
    lowered = lower(programs.build())
    assert batches(lowered) == [("a", "d"), ("b", "c")]
    assert order(lowered) == "alloc_0 first (auto alloc_2 second )"


@pytest.mark.parametrize(("count", "sizes"), [(16, [16]), (17, [16, 1]), (33, [16, 16, 1])])
def test_a_batch_holds_sixteen_tensors(programs, count, sizes):
    for index in range(count):
        programs.create(f"t{index}", (index + 1,), "INT32")
    lowered = lower(programs.build())
    assert [len(names) for names in batches(lowered)] == sizes
    flat = [size for task in lowered.workload.tasks for size in task.output_nbytes]
    assert flat == [4 * (index + 1) for index in range(count)]


def test_every_iteration_has_its_own_batch(programs):
    for _ in range(2):
        with programs.body("for"):
            use(programs, "nothing")
            programs.create("x", (4,), "FP32")
    assert order(lower(programs.build())) == "alloc_0 nothing alloc_2 nothing"


def test_creates_directly_in_a_manual_scope_go_one_level_out(programs):
    programs.create("a", (4,), "FP32")
    with programs.scope("manual"):
        use(programs, "first", a="w")
        programs.create("b", (4,), "FP32")
        with programs.body("for"):
            programs.create("c", (4,), "FP32")
            use(programs, "second", c="w")
    lowered = lower(programs.build())
    assert order(lowered) == "alloc_0 alloc_1 (manual first alloc_3 second )"
    assert batches(lowered) == [("a",), ("b",), ("c",)]


# -- directions ---------------------------------------------------------------------------------------


def test_read_write_and_both(programs):
    for name in "abc":
        programs.tensor(name, (4,), "FP32")
    use(programs, "k", a="r", b="w", c="rw")
    assert directions(lower(programs.build()))["k"] == {"a": "INPUT", "b": "OUTPUT_EXISTING", "c": "INOUT"}


def test_a_second_writer_in_the_scope_is_inout(programs):
    programs.create("a", (4,), "FP32")
    use(programs, "first", a="w")
    with programs.scope():  # a scope is transparent
        use(programs, "second", a="w")
    found = directions(lower(programs.build()))
    assert found["first"]["a"] == "OUTPUT_EXISTING"
    assert found["second"]["a"] == "INOUT"


def test_a_reader_is_no_earlier_writer(programs):
    programs.create("a", (4,), "FP32")
    use(programs, "reader", a="r")
    use(programs, "writer", a="w")
    assert directions(lower(programs.build()))["writer"]["a"] == "OUTPUT_EXISTING"


@pytest.mark.parametrize(("kind", "expected"), [("for", "INOUT"), ("parallel", "OUTPUT_EXISTING")])
def test_a_write_in_a_loop(programs, kind, expected):
    programs.create("a", (4,), "FP32")
    for trip in range(2):
        with programs.body(kind):
            use(programs, f"k{trip}", a="w")
    use(programs, "after", a="w")
    found = directions(lower(programs.build()))
    assert found["k0"]["a"] == found["k1"]["a"] == expected
    assert found["after"]["a"] == "INOUT"  # the loop as a whole is an earlier writer


def test_a_write_before_a_parallel_loop_reaches_into_it(programs):
    programs.create("a", (4,), "FP32")
    use(programs, "before", a="w")
    with programs.body("parallel"):
        use(programs, "inside", a="w")
    assert directions(lower(programs.build()))["inside"]["a"] == "INOUT"


def test_arms_of_an_if_do_not_see_each_other_but_what_follows_sees_them(programs):
    programs.create("a", (4,), "FP32")
    with programs.body("if"):
        use(programs, "arm", a="w")
    use(programs, "after", a="w")
    found = directions(lower(programs.build()))
    assert found["arm"]["a"] == "OUTPUT_EXISTING"
    assert found["after"]["a"] == "INOUT"


def test_a_parameter_declared_inout_is_inout(programs):
    programs.tensor("p", (4,), "FP32", "inout")
    programs.tensor("q", (4,), "FP32", "out")
    use(programs, "k", p="w", q="w")
    assert directions(lower(programs.build()))["k"] == {"p": "INOUT", "q": "OUTPUT_EXISTING"}


# -- edges --------------------------------------------------------------------------------------------


def test_a_reader_waits_for_the_writer_and_pins_the_allocation(programs):
    programs.create("a", (4,), "FP32")
    use(programs, "writer", a="w")
    use(programs, "reader", a="r")
    lowered = lower(programs.build())
    assert edges(lowered, "writer") == {("alloc_0", "creator", True, True)}
    assert edges(lowered, "reader") == {("alloc_0", "creator", True, True), ("writer", "tensormap", True, False)}


def test_an_entry_tensor_has_no_creator(programs):
    programs.tensor("a", (4,), "FP32", "out")
    use(programs, "writer", a="w")
    use(programs, "reader", a="r")
    lowered = lower(programs.build())
    assert edges(lowered, "writer") == set()
    assert edges(lowered, "reader") == {("writer", "tensormap", True, False)}


def test_nothing_waits_for_a_reader(programs):
    programs.tensor("a", (4,), "FP32", "out")
    use(programs, "reader", a="r")
    use(programs, "writer", a="rw")
    assert edges(lower(programs.build()), "writer") == set()


def test_output_existing_does_not_wait_for_an_earlier_writer(programs):
    programs.tensor("a", (4,), "FP32", "out")
    for trip in range(2):
        with programs.body("parallel"):
            use(programs, f"k{trip}", a="w")
    use(programs, "reader", a="r")
    lowered = lower(programs.build())
    assert edges(lowered, "k1") == set()
    assert edges(lowered, "reader") == {("k0", "tensormap", True, False), ("k1", "tensormap", True, False)}


def test_an_inout_writer_hides_the_earlier_one_that_it_covers(programs):
    programs.tensor("a", (4,), "FP32", "out")
    use(programs, "first", a="w")
    use(programs, "second", a="w")
    use(programs, "reader", a="r")
    lowered = lower(programs.build())
    assert edges(lowered, "second") == {("first", "tensormap", True, False)}
    assert edges(lowered, "reader") == {("second", "tensormap", True, False)}


def test_disjoint_slices_are_independent(programs):
    tensor = programs.tensor("a", (8, 4), "FP32", "out")
    low = programs.arg(tensor, "w", 0, (4, 4), (4, 1))
    high = programs.arg(tensor, "r", 16, (4, 4), (4, 1))
    programs.launch("writer", args=[low])
    programs.launch("reader", args=[high])
    assert edges(lower(programs.build()), "reader") == set()


def test_a_manual_dep_tensor_is_not_tracked_but_its_slice_is(programs):
    tensor = programs.create("a", (8,), "FP32", manual_dep=True)
    use(programs, "writer", a="w")
    use(programs, "reader", a="r")
    part = programs.arg(tensor, "w", 4, (4,), (1,))
    programs.launch("slice_writer", args=[part])
    programs.launch("slice_reader", args=[programs.arg(tensor, "r", 4, (4,), (1,))])
    lowered = lower(programs.build())
    creator = ("alloc_0", "creator", True, True)
    assert edges(lowered, "reader") == {creator}
    assert edges(lowered, "slice_reader") == {creator, ("slice_writer", "tensormap", True, False)}


def test_a_manual_scope_has_explicit_edges_only(programs):
    programs.create("a", (4,), "FP32")
    with programs.scope("manual"):
        use(programs, "writer", a="w")
        use(programs, "reader", a="r")
        programs.launch("last", explicit_deps=[0])
    use(programs, "outside", a="r")
    lowered = lower(programs.build())
    assert edges(lowered, "reader") == set()
    assert edges(lowered, "last") == {("writer", "explicit", True, True)}
    assert edges(lowered, "outside") == {("alloc_0", "creator", True, True)}


def test_one_edge_for_each_producer(programs):
    programs.tensor("a", (4,), "FP32", "out")
    programs.tensor("b", (4,), "FP32", "out")
    use(programs, "writer", a="w", b="w")
    numbers = [programs.arg(0, "r"), programs.arg(1, "r")]
    programs.launch("reader", args=numbers, explicit_deps=[0])
    assert edges(lower(programs.build()), "reader") == {("writer", "explicit", True, True)}


def test_thousands_of_slices_cost_linear_work(programs):
    """A tensor written slice by slice and read slice by slice: every reader finds exactly its own writer."""
    count = 1500
    tensor = programs.tensor("a", (count, 4), "FP32", "out")
    for use_ in "wr":
        for row in range(count):
            programs.launch(f"{use_}{row}", args=[programs.arg(tensor, use_, 4 * row, (1, 4), (4, 1))])
    workload = lower(programs.build()).workload
    producers = np.array([task.edges[0].producer for task in workload.tasks[count:]])
    assert all(len(task.edges) == 1 for task in workload.tasks[count:])
    assert np.array_equal(producers, np.arange(count))


def test_an_unknown_slot_rule_is_refused(programs):
    with pytest.raises(InputError, match="seed"):
        lower(programs.build(), pipe_slots="oldest")


# -- what the compiler knows of a view, and sizes that a list computes ----------------------------------


def aliased(programs, name, tensor, alias):
    return programs.launch(name, None, [dataclasses.replace(programs.arg(tensor, "w"), alias=alias)])


def test_a_reshaped_parameter_loses_its_declaration(programs):
    """pypto records a store to a reshaped pl.InOut parameter as an output."""
    p = programs.tensor("p", (4,), "FP32", "inout")
    aliased(programs, "flat", p, -1)
    aliased(programs, "again", p, -1)
    aliased(programs, "itself", p, 0)
    found = directions(lower(programs.build()))
    assert [found[name]["p"] for name in ("flat", "again", "itself")] == ["OUTPUT_EXISTING", "OUTPUT_EXISTING", "INOUT"]


def test_a_slice_is_a_buffer_of_its_own(programs):
    a = programs.create("a", (4,), "FP32")
    aliased(programs, "whole", a, 0)
    aliased(programs, "slice", a, 1)
    aliased(programs, "same", a, 1)
    found = directions(lower(programs.build()))
    assert [found[name]["a"] for name in ("whole", "slice", "same")] == ["OUTPUT_EXISTING", "OUTPUT_EXISTING", "INOUT"]


def test_a_size_that_the_list_computes_keeps_the_buffer_in_its_place(programs):
    programs.create("fixed", (4,), "FP32")
    use(programs, "first", fixed="w")
    sized = programs.create("sized", (4,), "FP32")
    programs.tensors[sized].computed_size = True
    programs.create("late", (4,), "FP32")
    use(programs, "second", sized="w", late="w")
    names = [task.output_names for task in lower(programs.build()).workload.tasks if task.kind == "ALLOC"]
    kinds = [task.kind for task in lower(programs.build()).workload.tasks]
    assert names == [("fixed", "late"), ("sized",)]
    assert [kind == "ALLOC" for kind in kinds] == [True, False, True, False]
