"""What a task touches in every arm, taken or not: its arguments are those of the compiled body.

A task has as arguments the tensors from outside that its body names anywhere but in an arm whose condition is settled
before the run, and a tensor that it writes is an InOut argument if the body also reads it. Where the body rebinds the
name of a tensor (`x[...] = v`, `x = pl.assemble(x, ...)`) and an `if` or a loop carries it on, that counts as a read
too, if it is used afterwards and the first write is not inside a loop (pypto: src/ir/transforms/utils/
scope_outline_utils.cpp, ParamReadCollector and InferParamDirections).
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from pto_sim.frontend.branch_tests import Test, constant_verdict
from pto_sim.frontend.names import called_attribute, loaded_names, parameter_names

_TASKS = frozenset({"at", "spmd"})
_CARRYING = frozenset({"range", "pipeline", "parallel"})
_VIEWS = frozenset({"reshape", "view", "transpose"})

Place = tuple[int, int]


Guard = tuple[Test, bool]


class Touch(NamedTuple):
    """A tensor from outside, by name, in an arm or a loop. guards: tests around it, and whether they must hold."""

    name: str
    reads: bool
    writes: bool
    guards: tuple[Guard, ...]


class InPlace(NamedTuple):
    """A tensor from outside that is in place where it is written. tests: of which one must not be settled, if any."""

    name: str
    tests: tuple[Test, ...]


class TaskTouches(NamedTuple):
    """What the run of a task's body alone may not show."""

    arms: tuple[Touch, ...] = ()
    in_place: tuple[InPlace, ...] = ()


def task_place(task: ast.stmt) -> Place:
    """Where a task stands in its source."""
    return task.lineno, task.col_offset


def task_touches(
    function: ast.FunctionDef, callees: Mapping[str, ast.FunctionDef], constants: Mapping[str, Any]
) -> dict[Place, TaskTouches]:
    """The touches of each `pl.at` and `pl.spmd` of a function.

    callees: functions that become part of their caller, by name. constants: what the function's free names stand for.
    """
    found = {}
    inline = any("inline" in ast.unparse(decorator) for decorator in function.decorator_list)
    for task, later in _tasks(function.body, set(parameter_names(function)) if inline else set()):
        walk = _Body(callees, constants, later)
        walk.statements(task.body, ())
        found[task_place(task)] = TaskTouches(tuple(walk.arms()), tuple(walk.in_place()))
    return found


def _tasks(statements: Sequence[ast.stmt], later: set[str]) -> Iterator[tuple[ast.With | ast.For, set[str]]]:
    """The tasks in statements, each with the names that are used after it."""
    for place, node in enumerate(statements):
        after = later | loaded_names(statements[place + 1 :])
        opened = node.items[0].context_expr if isinstance(node, ast.With) else None
        opened = node.iter if isinstance(node, ast.For) else opened
        if isinstance(node, (ast.With, ast.For)) and opened is not None and _launches(node, opened):
            yield node, after
        else:
            again = loaded_names([node]) if isinstance(node, (ast.For, ast.While)) else set()
            for part in ("body", "orelse"):
                yield from _tasks(getattr(node, part, []), after | again)


def _launches(node: ast.stmt, opened: ast.expr) -> bool:
    return called_attribute(opened) in (_TASKS if isinstance(node, ast.With) else {"spmd"})


class _Body:
    """Walks a task's body in order. A name stands for a tensor from outside until the body binds it otherwise."""

    def __init__(
        self, callees: Mapping[str, ast.FunctionDef], constants: Mapping[str, Any], later: set[str] | None = None
    ) -> None:
        self._callees, self._constants = callees, constants
        self._later = [later or set()]  # tensors from outside that are used after each list that is being walked
        self._names: dict[str, str | None] = {}
        self._counters: dict[str, tuple[ast.expr, ...]] = {}
        self._callers: list[str] = []
        self._nested = self._loops = 0
        self._found: dict[tuple[str, tuple[Guard, ...]], list[bool]] = {}
        self._state: dict[str, str] = {}  # of the name's latest version: '' from outside, 'written', 'carried'
        self._rebound: set[str] = set()
        self._written_first: set[str] = set()
        self._read: dict[str, list[Test | None]] = {}  # by which `if` alone; None: however it goes on

    def arms(self) -> Iterator[Touch]:
        """What arms and loops touch."""
        for (name, guards), (reads, writes) in self._found.items():
            yield Touch(name, reads, writes, guards)

    def in_place(self) -> Iterator[InPlace]:
        """What is written first and read, or carried on."""
        for name in sorted(self._written_first & set(self._read)):
            tests = self._read[name]
            yield InPlace(name, () if None in tests else tuple(test for test in tests if test is not None))

    # -- what happens to a tensor ---------------------------------------------------------------------

    def _root(self, node: ast.AST) -> str | None:
        """The tensor from outside that an expression names."""
        if not isinstance(node, ast.Name):
            return None
        return self._names.get(node.id, None if self._callers else node.id)

    def _roots(self, nodes: Sequence[ast.stmt]) -> set[str]:
        """The tensors from outside that statements name."""
        found = (self._root(ast.Name(name, ast.Load())) for name in loaded_names(nodes))
        return {root for root in found if root is not None}

    def _touch(self, name: str, guards: tuple[Guard, ...], *, write: bool) -> None:
        if self._nested:
            self._found.setdefault((name, guards), [False, False])[write] = True

    def _reads(self, name: str, guards: tuple[Guard, ...]) -> None:
        self._touch(name, guards, write=False)
        self._uses(name, None)

    def _uses(self, name: str, test: Test | None) -> None:
        if self._state.get(name, "") != "carried":
            self._read.setdefault(name, []).append(test)

    def _writes(self, name: str, guards: tuple[Guard, ...], *, rebinds: bool) -> None:
        self._touch(name, guards, write=True)
        if not self._state.get(name):
            self._written_first.add(name)
            if rebinds:
                self._state[name] = "written"
        if rebinds:
            self._rebound.add(name)

    def _carry(self, names: set[str], test: Test | None) -> None:
        """Names go into a loop that rebinds them, or come out of an `if` that did."""
        for name in names:
            self._uses(name, test)
            self._state[name] = "carried"

    def _guard(self, condition: ast.expr) -> Test | None:
        """A test that names only what is known as the task begins, and loop variables; None for another."""
        names = {node.id for node in ast.walk(condition) if isinstance(node, ast.Name)}
        counters = tuple((name, self._counters[name]) for name in sorted(names & set(self._counters)))
        return None if self._callers or names & set(self._names) - set(self._counters) else Test(condition, counters)

    # -- statements -----------------------------------------------------------------------------------

    def statements(self, nodes: Sequence[ast.stmt], guards: tuple[Guard, ...]) -> None:
        for place, node in enumerate(nodes):
            self._later.append(self._later[-1] | self._roots(nodes[place + 1 :]))
            self._statement(node, guards)
            self._later.pop()

    def _statement(self, node: ast.stmt, guards: tuple[Guard, ...]) -> None:
        if isinstance(node, ast.If):
            self._if(node, guards)
        elif isinstance(node, (ast.For, ast.While)):
            self._loop(node, guards)
        elif isinstance(node, ast.With):
            for item in node.items:
                self._expression(item.context_expr, guards)
            self.statements(node.body, guards)
        elif isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            self._assign(targets[0], node.value, guards)
        elif isinstance(node, ast.Expr):
            self._expression(node.value, guards)

    def _assign(self, target: ast.expr, value: ast.expr, guards: tuple[Guard, ...]) -> None:
        written = self._written(value)
        own = isinstance(target, ast.Name) and isinstance(written, ast.Name) and target.id == written.id
        self._expression(value, guards, rebinds=own)
        if isinstance(target, ast.Subscript):
            self._expression(target.slice, guards)
            root = self._root(target.value)
            if root is not None:
                self._writes(root, guards, rebinds=True)
        elif isinstance(target, ast.Name) and not own:
            self._counters.pop(target.id, None)
            self._names[target.id] = self._stands_for(value)
        elif isinstance(target, ast.Tuple):
            for part in target.elts:
                if isinstance(part, ast.Name):
                    self._names[part.id] = None

    def _stands_for(self, value: ast.expr) -> str | None:
        """The tensor from outside that a name bound to `value` stands for."""
        if isinstance(value, ast.Call) and value.args and called_attribute(value) in _VIEWS:
            return self._root(value.args[0])
        written = self._written(value)
        return self._root(value if written is None else written)

    def _if(self, node: ast.If, guards: tuple[Guard, ...]) -> None:
        self._expression(node.test, guards)
        verdict = None if self._callers else constant_verdict(node.test, self._constants)
        if verdict is not None:
            self.statements(node.body if verdict else node.orelse, guards)
            self._folded(node.orelse if verdict else node.body, guards)
            return
        test = self._guard(node.test)
        then, other = (guards, guards) if test is None else ((*guards, (test, True)), (*guards, (test, False)))
        before, outer = dict(self._state), self._rebound
        self._rebound = set()
        self._nested += 1
        self.statements(node.body, then)
        self._state = dict(before)
        self.statements(node.orelse, other)
        self._nested -= 1
        rebound, self._rebound = self._rebound, outer | self._rebound
        self._state = before
        self._carry(rebound & self._later[-1], test)

    def _folded(self, arm: Sequence[ast.stmt], guards: tuple[Guard, ...]) -> None:
        """An arm that is gone: the loop around it still carries what the arm rebinds, so that it is an argument."""
        if self._loops:
            for name in self._probe(arm)._rebound:
                self._touch(name, guards, write=False)
                self._rebound.add(name)

    def _probe(self, body: Sequence[ast.stmt]) -> _Body:
        """What a list of statements does that stands here, apart."""
        probe = _Body(self._callees, self._constants)
        probe._names, probe._callers = dict(self._names), list(self._callers)
        probe._counters, probe._loops, probe._later = dict(self._counters), self._loops, list(self._later)
        probe.statements(body, ())
        return probe

    def _loop(self, node: ast.For | ast.While, guards: tuple[Guard, ...]) -> None:
        if isinstance(node, ast.For):
            self._expression(node.iter, guards)
            for name in ast.walk(node.target):
                if isinstance(name, ast.Name):
                    self._names[name.id] = None
                    self._counters.pop(name.id, None)
            if isinstance(node.target, ast.Name) and isinstance(node.iter, ast.Call) and node.iter.args:
                self._counters[node.target.id] = tuple(node.iter.args)
            if called_attribute(node.iter) not in _CARRYING:
                self.statements(node.body, guards)
                return
        else:
            self._expression(node.test, guards)
        self._nested, self._loops = self._nested + 1, self._loops + 1
        rebound = self._probe(node.body)._rebound
        self._carry(rebound, None)
        self._rebound |= rebound
        self._later.append(self._later[-1] | self._roots(node.body))
        self.statements(node.body, guards)
        self._later.pop()
        self._nested, self._loops = self._nested - 1, self._loops - 1

    # -- expressions ----------------------------------------------------------------------------------

    def _expression(self, node: ast.AST, guards: tuple[Guard, ...], *, rebinds: bool = False) -> None:
        if isinstance(node, ast.Call):
            self._call(node, guards, rebinds)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            return  # x.shape reads nothing
        elif isinstance(node, ast.Name):
            root = self._root(node)
            if root is not None:
                self._reads(root, guards)
        else:
            for child in ast.iter_child_nodes(node):
                self._expression(child, guards)

    def _call(self, node: ast.Call, guards: tuple[Guard, ...], rebinds: bool) -> None:
        arguments: list[ast.expr] = [*node.args, *(keyword.value for keyword in node.keywords)]
        callee = self._callees.get(node.func.id) if isinstance(node.func, ast.Name) else None
        if callee is not None and callee.name not in self._callers:
            self._inlined(callee, node, guards)
            return
        if called_attribute(node) == "dim" or called_attribute(node) in _VIEWS:
            arguments = arguments[1:]
        written = self._written(node)
        for argument in arguments:
            if argument is not written:
                self._expression(argument, guards)
        root = None if written is None else self._root(written)
        if root is None:
            return
        if called_attribute(node) == "write":
            self._touch(root, guards, write=True)
            self._uses(root, None)  # the compiler takes an element's write for a use
            return
        self._writes(root, guards, rebinds=rebinds)
        if any(keyword.arg == "atomic" for keyword in node.keywords):
            self._reads(root, guards)

    @staticmethod
    def _written(node: ast.expr) -> ast.expr | None:
        """The operand that a call writes to."""
        name = called_attribute(node)
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            return None
        place = {"write": 0, "assemble": 0, "store": 2}.get(name or "")
        if place is None:
            return None
        named = [keyword.value for keyword in node.keywords if keyword.arg == "output_tensor"]
        return node.args[place] if len(node.args) > place else named[0] if named else None

    def _inlined(self, callee: ast.FunctionDef, node: ast.Call, guards: tuple[Guard, ...]) -> None:
        """The body of a function that becomes part of this one."""
        parameters = parameter_names(callee)
        given = [*zip(parameters, node.args, strict=False)]
        given += [(k.arg, k.value) for k in node.keywords if k.arg is not None]
        inner: dict[str, str | None] = dict.fromkeys(parameters)
        for name, value in given:
            inner[name] = self._root(value)
            if inner[name] is None:
                self._expression(value, guards)
        outer, self._names = self._names, inner
        self._callers.append(callee.name)
        self.statements(callee.body, guards)
        self._callers.pop()
        self._names = outer
