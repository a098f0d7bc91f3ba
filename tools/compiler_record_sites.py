"""Two trees of launch sites, of a compiler's record and of a recorded run, and which nodes of them belong together.

A record is static: a loop stands once, both arms of a branch are there. A run is dynamic: a loop stands once for each
iteration, a branch with the arm that was taken, and a loop of no iterations or a branch without an arm is not there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from pto_sim.lowering.allocations import Batch, Close, Launch, Open, emit_order
from pto_sim.lowering.statement_lists import build_statement_lists
from pto_sim.program.model import Program


@dataclass
class Node:
    """One statement.

    kind: 'task', 'alloc', 'scope', 'for' or 'if'. label: what must agree for two nodes to be the same statement (base
    name of a task, mode of a scope). value: the record's task or batch; the run's task index or batch members.
    lists: bodies; of the record the one body, or the arms of an if; of the run each iteration, or the arm taken.
    """

    kind: str
    label: str
    title: str
    value: Any = None
    lists: tuple[list[Node], ...] = ()
    site: int = -1

    def names(self) -> frozenset[str]:
        """Labels of the tasks in it."""
        if self.kind == "task":
            return frozenset({self.label})
        return frozenset(name for nodes in self.lists for node in nodes for name in node.names())


class SiteMatch(NamedTuple):
    """A statement of the record and one of the run, None where the other side has none; path: what is around them."""

    record: Node | None
    run: Node | None
    path: tuple[str, ...]


def base_name(name: str) -> str:
    """The author's name of a kernel: the compiler numbers the launches of one name."""
    head, _, tail = name.rpartition("_")
    return head if head and tail.isdigit() else name


def recorded_nodes(items: list[dict[str, Any]]) -> list[Node]:
    """The nodes of a record's statement list."""
    nodes: list[Node] = []
    for item in items:
        if "task" in item:
            name = item.get("name", "dummy")
            nodes.append(Node("task", base_name(name), f"task {name}", item))
        elif "alloc" in item:
            names = ", ".join(a["name"] for a in item["alloc"])
            nodes.append(Node("alloc", "", f"alloc {names}"[:120], item["alloc"]))
        elif "scope" in item:
            nodes.append(Node("scope", item["scope"], f"scope {item['scope']}", None, (recorded_nodes(item["body"]),)))
        elif "for" in item:
            nodes.append(Node("for", "", "for", None, (recorded_nodes(item["body"]),)))
        elif "if" in item:
            nodes.append(Node("if", "", "if", None, (recorded_nodes(item["body"]),)))
        elif "else" in item:
            nodes[-1].lists += (recorded_nodes(item["body"]),)
        else:
            raise ValueError(f"a record has an unknown statement: {sorted(item)}")
    return nodes


def simulated_nodes(program: Program, with_pipe: set[int]) -> list[Node]:
    """The nodes of a run, in the order in which the orchestrator emits them. with_pipe: tasks with a pipe buffer."""
    root = build_statement_lists(program.events)
    stack: list[tuple[Open | None, list[Node]]] = [(None, [])]
    for emitted in emit_order(program, root, with_pipe.__contains__):
        if isinstance(emitted, Open):
            stack.append((emitted, []))
        elif isinstance(emitted, Close):
            opened, body = stack.pop()
            assert opened is not None
            _append(stack[-1][1], opened, body)
        elif isinstance(emitted, Batch):
            names = ", ".join(program.tensors[i].name if kind == "tensor" else "pipe" for kind, i in emitted.members)
            stack[-1][1].append(Node("alloc", "", f"alloc {names}"[:120], emitted.members))
        elif isinstance(emitted, Launch):  # what the orchestrator itself reads or writes is no launch site
            record = program.tasks[emitted.record]
            name = "dummy" if record.form == "dummy" else record.name
            stack[-1][1].append(Node("task", base_name(name), f"task {name}", emitted.record))
    return stack[0][1]


def _append(nodes: list[Node], opened: Open, body: list[Node]) -> None:
    """Add a closed list; an iteration joins the loop of its line that stands just before it."""
    if opened.kind in ("auto", "manual"):
        nodes.append(Node("scope", opened.kind, f"scope {opened.kind}", None, (body,)))
        return
    kind = "if" if opened.kind == "if" else "for"
    if kind == "for" and nodes and nodes[-1].kind == "for" and nodes[-1].site == opened.site:
        nodes[-1].lists += (body,)
        return
    nodes.append(Node(kind, "", kind, None, (body,), opened.site))


def match_lists(record: list[Node], run: list[Node], path: tuple[str, ...]) -> Iterator[SiteMatch]:
    """Pair the statements of two lists in order, at the least cost, and go into what has a body."""
    record = _without_guards(record, run)
    for theirs, ours in _align(record, run):
        if theirs is None or ours is None:
            if not (ours is None and theirs is not None and _may_be_absent(theirs)):
                yield SiteMatch(theirs, ours, path)
        elif theirs.kind in ("task", "alloc"):
            yield SiteMatch(theirs, ours, path)
        else:
            inner = (*path, theirs.title)
            for body in ours.lists:
                arm = min(theirs.lists, key=lambda nodes: _distance(nodes, body))
                yield from match_lists(arm, body, inner)


def _without_guards(record: list[Node], run: list[Node]) -> list[Node]:
    """The record without branches around what the run launches directly: a guard that the compiler adds."""
    inside = {name for node in run if node.kind == "if" for name in node.names()}
    direct = {node.label for node in run if node.kind == "task"}
    static: list[Node] = []
    for node in record:
        if node.kind == "if" and node.names() & direct and not node.names() & inside:
            static.extend(inner for arm in node.lists for inner in arm if inner.names() & direct)
        else:
            static.append(node)
    return static


def _may_be_absent(node: Node) -> bool:
    """Whether a run may lack this statement of a record: a loop without iterations, a branch without an arm."""
    if node.kind == "scope":
        return all(_may_be_absent(inner) for nodes in node.lists for inner in nodes)
    return node.kind in ("for", "if")


def _align(record: list[Node], run: list[Node]) -> list[tuple[Node | None, Node | None]]:
    """The cheapest alignment; a loop or branch of the record may be left out at no cost."""
    rows, columns = len(record), len(run)
    cost = [[0.0] * (columns + 1) for _ in range(rows + 1)]
    for i in range(rows, -1, -1):
        for j in range(columns, -1, -1):
            if i < rows or j < columns:
                cost[i][j] = min(c for c, _, _ in _steps(record, run, i, j, cost))
    pairs: list[tuple[Node | None, Node | None]] = []
    i = j = 0
    while i < rows or j < columns:
        _, down, right = min(_steps(record, run, i, j, cost), key=lambda step: step[0])
        pairs.append((record[i] if down else None, run[j] if right else None))
        i, j = i + down, j + right
    return pairs


def _steps(
    record: list[Node], run: list[Node], i: int, j: int, cost: list[list[float]]
) -> Iterator[tuple[float, int, int]]:
    """(total cost, rows taken, columns taken) of the steps from (i, j); a pair comes first, so that it wins a tie."""
    if i < len(record) and j < len(run):
        theirs, ours = record[i], run[j]
        if theirs.kind == ours.kind and theirs.label == ours.label:
            apart = min((_distance(nodes, body) for nodes in theirs.lists for body in ours.lists[:1]), default=0.0)
            yield apart + cost[i + 1][j + 1], 1, 1
    if i < len(record):
        yield (0.01 if _may_be_absent(record[i]) else 1.0) + cost[i + 1][j], 1, 0
    if j < len(run):
        yield 1.0 + cost[i][j + 1], 0, 1


def _distance(record: list[Node], run: list[Node]) -> float:
    """0 if the record's list has all tasks of the run's, up to 1.5 if it has none of them."""
    ours = Counter(name for node in run for name in node.names())
    theirs = {name for node in record for name in node.names()}
    if not ours:
        return 0.0 if not theirs else 0.1
    return 1.5 * sum(name not in theirs for name in ours) / len(ours)
