"""The one rewrite of a kernel's source.

Everything that ordinary Python runs as the language means it stays as it is. Changed are:

* `with pl.spmd(n) as tid:` becomes a loop over the blocks, as the `for` form is;
* `if` and `for v in pl.range(...)` whose condition or bounds are not constants become calls of
  `engine.control`, so that blocks which disagree run apart;
* `and`, `or`, `not` evaluate all operands, as the language has no short circuit; divisions drop the fraction;
* a value that a `pl.at` computes and that is read after it becomes a buffer at the end of its body;
* `x = pl.create_tensor(...)` tells the buffer its name, and whether its size is computed just before it;
  so does the number of blocks of a `pl.spmd`;
* an assignment that may not change the type of its name says what the name held before;
* task ids that a `pl.parallel` rebinds become arrays, one id for each iteration;
* a launch tells which elements its `predicate=` reads (`frontend.predicates`), and the first statement of its body
  which run-time scalars it takes from outside and what its arms touch (`frontend.task_touches`);
* a product that other products alone read says so (`frontend.chained_products`);
* a value whose name is annotated as a tile or a tensor is compared with its annotation;
* a `pl.split_aiv` region knows whether its body names its crossings, a `tpop` what its annotation declares.

Line numbers are those of the file: a debugger stops, and a traceback points, at the author's line.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from pto_sim.frontend.branch_tests import Test, test_ends
from pto_sim.frontend.chained_products import mark_chained_products
from pto_sim.frontend.declared_calls import declared_call, task_names
from pto_sim.frontend.declared_values import annotated_kind
from pto_sim.frontend.names import (
    bound_names,
    called_attribute,
    leaves_loop,
    loaded_names,
    never_changes,
    parameter_names,
)
from pto_sim.frontend.predicates import mark_predicates
from pto_sim.frontend.runtime_sizes import RuntimeNames, size_arguments
from pto_sim.frontend.scalar_logic import ScalarLogic
from pto_sim.frontend.settled_names import SettledNames
from pto_sim.frontend.statement_names import StatementNames
from pto_sim.frontend.syntax_nodes import (
    RUNTIME,
    at,
    call,
    join,
    leave,
    load,
    loads,
    method,
    restore,
    store,
    stores,
    strings,
    touch_entry,
)
from pto_sim.frontend.task_touches import Place, TaskTouches, task_place
from pto_sim.frontend.typed_names import TypedNames

_POPS = frozenset({"tpop_from_aic", "tpop_from_aiv"})
_CROSSINGS = frozenset({"aiv_shard", "aic_gather"})
LOOPS = frozenset({"range", "pipeline", "unroll", "parallel"})
_NAMED = frozenset({"create_tensor", "create_tile", "create"})


def rewrite(
    function: ast.FunctionDef, renames: bool = True, touches: Mapping[Place, TaskTouches] = MappingProxyType({})
) -> ast.FunctionDef:
    """Rewrite `function` in place, and drop its decorators and annotations.

    renames: see `typed_names.TypedNames`. touches: of its tasks, see `task_touches`.
    """
    runtime_names = RuntimeNames(function)
    function.decorator_list = []
    function.returns = None
    for argument in [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]:
        argument.annotation = None
    mark_predicates(function, RUNTIME)
    mark_chained_products(function)
    names = StatementNames(function.body)
    rewriter = _Rewriter(names.bound(function.body), set(parameter_names(function)), runtime_names, names, renames)
    rewriter.touches = touches
    function.body = rewriter.statements(function.body)
    return ast.fix_missing_locations(function)


class _Rewriter:
    """Walks statements in order, knowing which names are bound so far. names: of the statements as they were."""

    def __init__(
        self, own: set[str], parameters: set[str], runtime_names: RuntimeNames, names: StatementNames, renames: bool
    ) -> None:
        self._locals = own | parameters
        self._runtime_names = runtime_names
        self._names = names
        self._bound = set(parameters)
        self._typed = TypedNames(parameters, names, renames)
        self._settled = SettledNames(self._locals, parameters)
        self.touches: Mapping[Place, TaskTouches] = MappingProxyType({})
        self._count = 0
        self._following: list[ast.stmt] = []

    def block(self, statements: Sequence[ast.stmt]) -> list[ast.stmt]:
        """A nested statement list."""
        outer = self._runtime_names.enter()
        result = self.statements(statements)
        self._runtime_names.leave(outer)
        return result

    def statements(self, statements: Sequence[ast.stmt]) -> list[ast.stmt]:
        """The statements of one list, in order."""
        result: list[ast.stmt] = []
        known = [self._names.definite([statement]) | self._bound_by_loop(statement) for statement in statements]
        for position, statement in enumerate(statements):
            outer = self._following
            self._following = [*statements[position + 1 :], *outer]
            result.extend(self.statement(statement))
            self._following = outer
            self._bound |= known[position]
        return result

    def _bound_by_loop(self, node: ast.stmt) -> set[str]:
        """Names that a loop leaves bound: they are used after it as if it had run at least once."""
        if not isinstance(node, (ast.For, ast.While)):
            return set()
        inner = self._names.definite(node.body).union(*(self._bound_by_loop(statement) for statement in node.body))
        return inner | (bound_names([node.target]) if isinstance(node, ast.For) else set())

    def statement(self, node: ast.stmt) -> list[ast.stmt]:
        if isinstance(node, ast.If):
            return self._if(node)
        if isinstance(node, ast.For):
            return self._for(node)
        if isinstance(node, ast.With):
            return self._with(node)
        if isinstance(node, ast.While):
            return self._while(node)
        if isinstance(node, ast.Assign):
            return self._assign(node)
        if isinstance(node, ast.AnnAssign) and node.value is not None and called_attribute(node.value) in _POPS:
            node.value = at(node.value, declared_call(node.value, node.annotation))
        elif isinstance(node, ast.AnnAssign) and node.value is not None and annotated_kind(node.annotation):
            node.value = at(node.value, call("annotated", self._expression(node.value)))
            return [node]
        return [ScalarLogic(self._locals).visit(node)]

    def _expression(self, node: ast.expr) -> ast.expr:
        return ScalarLogic(self._locals).visit(node)

    def _is_constant(self, nodes: Sequence[ast.expr]) -> bool:
        return not (loaded_names(nodes) & self._locals)

    def _fresh(self, stem: str) -> str:
        self._count += 1
        return f"{RUNTIME}_{stem}{self._count}"

    # -- assignment ---------------------------------------------------------------------------------

    def _assign(self, node: ast.Assign) -> list[ast.stmt]:
        target = node.targets[0]
        if isinstance(target, ast.Tuple) and len(target.elts) == 1 and called_attribute(node.value) == "yield_":
            node.targets = [target.elts[0]]  # one yielded value is no tuple
        self._runtime_names.assign(target, node.value)
        operands = self._settled.operands([node.value]) if isinstance(target, ast.Name) else None
        node.value = self._expression(node.value)
        if isinstance(target, ast.Name) and operands is not None:
            self._settled.assigned(target.id)
            node.value = at(node.value, call("derived", node.value, loads(operands)))
        if isinstance(target, ast.Name) and called_attribute(node.value) in _NAMED:
            arguments = [ast.Constant(target.id), node.value]
            assert isinstance(node.value, ast.Call)
            if self._runtime_names.are_local(size_arguments(node.value)):
                arguments.append(ast.Constant(value=True))
            node.value = at(node.value, call("named", *arguments))
        if isinstance(target, ast.Name):
            if self._typed.keeps_type(target.id) and target.id in self._bound:
                old = ast.Name(target.id, ast.Load())
                node.value = at(node.value, call("rebound", ast.Constant(target.id), old, node.value))
        else:
            self._typed.bind(bound_names([target]))
        return [node]

    def _computed_blocks(self, launch: ast.expr) -> None:
        """Mark the number of blocks of a `pl.spmd` that this list has computed."""
        assert isinstance(launch, ast.Call)
        if launch.args and self._runtime_names.are_local(launch.args[:1]):
            launch.args[0] = at(launch.args[0], call("computed", launch.args[0]))

    # -- with -----------------------------------------------------------------------------------------

    def _with(self, node: ast.With) -> list[ast.stmt]:
        item = node.items[0]
        if called_attribute(item.context_expr) != "spmd":
            launches = called_attribute(item.context_expr) == "at"
            leaving = self._leaving(node) if launches else []
            outside = [*self._scalars(node), *self._touched(node)] if launches else []
            with self._typed.deeper():
                node.body = [*outside, *self.block(node.body), *leaving]
            return [node]
        self._computed_blocks(item.context_expr)
        launch = self._fresh("launch")
        before = at(node, ast.Assign([ast.Name(launch, ast.Store())], item.context_expr))
        outside = [*self._scalars(node), *self._touched(node)]
        with self._typed.deeper():
            body = [*outside, *self.block(node.body)]
        loop = at(
            node,
            ast.For(ast.Name(self._fresh("block"), ast.Store()), ast.Name(launch, ast.Load()), body, []),
        )
        result: list[ast.stmt] = [before]
        if item.optional_vars is not None:
            task = ast.Attribute(ast.Name(launch, ast.Load()), "task_id", ast.Load())
            result.append(at(node, ast.Assign([item.optional_vars], task)))
        return [*result, loop]

    def _scalars(self, launch: ast.With | ast.For) -> list[ast.stmt]:
        """The first statement of a launch's body: the run-time scalars that it takes from outside."""
        exposed = self._names.exposed(launch.body) & self._bound
        if isinstance(launch, ast.For):
            exposed -= bound_names([launch.target])
        entries: list[ast.expr] = [
            ast.Tuple([ast.Constant(name), ast.Constant(dtype), load(name)], ast.Load())
            for name, dtype in self._runtime_names.captured(launch.body, exposed)
        ]
        return [at(launch, ast.Expr(call("scalars", *entries)))] if entries else []

    def _touched(self, node: ast.stmt) -> list[ast.stmt]:
        """The first statement of a task: what its arms touch, and what is in place."""
        touched, in_place = self.touches.get(task_place(node), TaskTouches())
        entries: list[ast.expr] = []
        for touch in touched:
            if touch.name in self._bound:
                arms = [self._verdict("reached", test, ast.Constant(arm)) for test, arm in touch.guards]
                reached = [verdict for verdict in arms if verdict is not None]
                entries.append(touch_entry(touch.name, touch.reads, touch.writes, reached, ast.And()))
        for name, tests in in_place:
            if name in self._bound:
                stay = [verdict for verdict in (self._verdict("stays", t) for t in tests) if verdict is not None]
                entries.append(touch_entry(name, True, None, stay if len(stay) == len(tests) else [], ast.Or()))
        if not entries:
            return []
        return [at(node.body[0], ast.Expr(call("touches", ast.Tuple(entries, ast.Load()))))]  # type: ignore[attr-defined]

    def _verdict(self, what: str, test: Test, *more: ast.expr) -> ast.expr | None:
        """A question about a test to the run-time object; None if the compiler cannot know its answer."""
        ends = test_ends(test)
        operands = None if ends is None else self._settled.operands(ends)
        if ends is None or operands is None:
            return None
        values = ast.Tuple([self._expression(end) for end in ends], ast.Load())
        return call(what, values, loads(operands), *more)

    def _leaving(self, node: ast.With) -> list[ast.stmt]:
        """The last statements of a `pl.at`: what it binds and what is read after it leaves the task."""
        names = self._names.definite(node.body) & self._names.exposed(self._following)
        last = node.body[-1]
        return [
            at(last, ast.Assign([store(name)], call("leaving", ast.Constant(name), load(name))))
            for name in sorted(names)
        ]

    # -- if -------------------------------------------------------------------------------------------

    def _if(self, node: ast.If) -> list[ast.stmt]:
        if self._is_constant([node.test]) or leaves_loop([*node.body, *node.orelse]):
            node.test = at(node.test, call("uniform", self._expression(node.test)))
            with self._typed.deeper(), self._typed.arms() as other_arm:
                node.body = self.block(node.body)
                other_arm()
                node.orelse = self.block(node.orelse)
            return [node]
        later = self._names.exposed(self._following)
        changed = self._names.bound([*node.body, *node.orelse])
        names = sorted(changed & self._bound & (later | self._names.exposed(node.orelse)))
        new = sorted((self._names.definite(node.body) & self._names.definite(node.orelse) & later) - self._bound)
        late = sorted((changed & later) - self._bound - set(new))
        branch, arm = self._fresh("branch"), self._fresh("arm")
        operands = self._settled.operands([node.test])
        known = [] if operands is None else [loads(operands)]
        condition = self._expression(node.test)
        choice = call("branch", condition, loads(names), strings(late), *known)
        start = at(node, ast.Assign([store(branch)], choice))
        bound = set(self._bound)
        with self._typed.deeper(), self._typed.arms() as other_arm:
            taken = self.block(node.body)
            self._bound = set(bound)
            other_arm()
            other = self.block(node.orelse)
        self._bound = bound
        ends = leave(node, branch, [*names, *new])
        body, orelse = [*taken, *ends], [*restore(node, branch, names), *other, *ends]
        choose = at(node, ast.If(load(arm), body, orelse))
        loop = at(node, ast.For(store(arm), load(branch), [choose], []))
        return [start, loop, *join(node, branch, [*names, *new])]

    def _while(self, node: ast.While) -> list[ast.stmt]:
        turns = self._fresh("turns")
        names = sorted(self._names.bound(node.body) & self._bound)
        changing = [at(node, ast.Assign([stores(names)], call("changing", loads(names))))] if names else []
        start = at(node, ast.Assign([store(turns)], call("turns", ast.Constant(never_changes(node)))))
        node.test = at(node.test, ast.Call(method(turns, "goes_on"), [self._expression(node.test)], []))
        with self._typed.deeper():
            node.body = [*copy.deepcopy(changing), *self.block(node.body)]
        return [*changing, start, node, *copy.deepcopy(changing)]

    # -- for ------------------------------------------------------------------------------------------

    def _carrying(self, node: ast.For) -> list[ast.stmt]:
        """A loop with init_values: it is kept by name, and pl.yield_'s target is read from it afterwards."""
        loop = self._fresh("carried")
        start = at(node, ast.Assign([store(loop)], node.iter))
        node.iter = at(node.iter, load(loop))
        last = node.body[-1]
        target = last.targets[0] if isinstance(last, ast.Assign) and called_attribute(last.value) == "yield_" else None
        outer_following, outer_bound = self._following, set(self._bound)
        self._bound = self._bound | bound_names([node.target])
        with self._typed.loop(node):
            body = self.block(node.body)
        if called_attribute(start.value) == "while_":
            stop = ast.UnaryOp(ast.Not(), ast.Attribute(load(loop), "goes_on", ast.Load()))
            body.insert(1, at(node.body[0], ast.If(stop, [ast.Break()], [])))
        node.body = body
        self._following, self._bound = outer_following, outer_bound
        if target is None:
            return [start, node]
        several = isinstance(target, ast.Tuple)
        values: ast.expr = ast.Attribute(load(loop), "carried", ast.Load())
        if not several:
            values = ast.Subscript(values, ast.Constant(0), ast.Load())
        return [start, node, at(node, ast.Assign([copy.deepcopy(target)], values))]

    def _carrying_ids(self, node: ast.For, names: set[str]) -> list[ast.stmt]:
        """A pl.parallel keeps the task ids that it binds to `names` in every iteration."""
        if not names:
            return [node]
        ids = sorted(names)
        loop, carry = self._fresh("loop"), self._fresh("carry")
        before = at(node, ast.Assign([store(loop)], node.iter))
        start = at(node, ast.Assign([store(carry)], call("carry_ids", load(loop), loads(ids))))
        node.iter = at(node.iter, load(loop))
        held: ast.expr = ast.Call(method(carry, "enter"), [], [])
        enter = at(node, ast.Assign([stores(ids)], held))
        node.body = [enter, *node.body, *leave(node, carry, ids)]
        after = at(node, ast.Assign([stores(ids)], copy.deepcopy(held)))
        return [before, start, node, after]

    def _for(self, node: ast.For) -> list[ast.stmt]:
        outside: list[ast.stmt] = []
        if called_attribute(node.iter) == "spmd":
            outside = [*self._scalars(node), *self._touched(node)]
            self._computed_blocks(node.iter)
        self._runtime_names.counts(node.target)
        bounds = node.iter.args if isinstance(node.iter, ast.Call) else []
        operands = self._settled.operands(bounds)
        node.iter = self._expression(node.iter)
        if called_attribute(node.iter) == "split_aiv":
            explicit = any(called_attribute(inner) in _CROSSINGS for part in node.body for inner in ast.walk(part))
            node.iter = at(node.iter, call("region", node.iter, ast.Constant(explicit)))
        if isinstance(node.iter, ast.Call) and any(k.arg == "init_values" for k in node.iter.keywords):
            return self._carrying(node)
        targets = bound_names([node.target])
        ids = task_names(node.body)
        later = self._names.exposed(self._following)
        changed = self._names.bound(node.body)
        names = sorted((changed & self._bound & (later | self._names.exposed(node.body))) - targets)
        late = sorted(((changed | targets) - self._bound) & later)
        plain = called_attribute(node.iter) not in LOOPS or self._is_constant(bounds)
        outer_following, outer_bound = self._following, set(self._bound)
        self._following, self._bound = [*node.body, *outer_following], self._bound | targets
        with self._typed.loop(node):
            node.body = self.block(node.body)
        self._following, self._bound = outer_following, outer_bound
        first, settle = self._kept_shapes(node, names)
        node.body = [*outside, *copy.deepcopy(settle), *node.body]
        parallel = called_attribute(node.iter) == "parallel"
        if called_attribute(node.iter) == "range" and operands is not None:
            node.iter = at(node.iter, call("settled_loop", node.iter, loads(operands)))
        if plain:
            if parallel:
                return [*first, *self._carrying_ids(node, set(names) & ids), *settle]
            return [*first, node, *settle]
        loop, part = self._fresh("loop"), self._fresh("part")
        start = at(node, ast.Assign([store(loop)], call("loop", node.iter, loads(names), strings(late))))
        node.iter = at(node.iter, load(part))
        body = [*restore(node, loop, names), *first, node, *settle, *leave(node, loop, names)]
        return [start, at(node, ast.For(store(part), load(loop), body, [])), *join(node, loop, names)]

    def _kept_shapes(self, node: ast.stmt, names: Sequence[str]) -> tuple[list[ast.stmt], list[ast.stmt]]:
        """Before a loop: note the shapes of the names that it carries. In and after it: give them back."""
        if not names:
            return [], []
        shapes = self._fresh("shapes")
        note = at(node, ast.Assign([store(shapes)], call("carried", loads(names))))
        settled = ast.Call(method(shapes, "turned"), [loads(names)], [])
        return [note], [at(node, ast.Assign([stores(names)], settled))]
