"""Functions of one core, and groups of them: pl.FunctionType.AIC, AIV and Group.

An AIV function runs on one vector lane, or on both: with the attribute split_aiv its body is written for one lane's
half; with a split mode (an attribute, or split= of its pipe operations) it is written for whole tiles, and each lane
keeps its half of what it stores (pypto: docs/en/dev/passes/23-split_vector_kernel.md).
"""

from __future__ import annotations

import ast
import functools
from typing import Any

from pto_sim.engine.aiv_lanes import LANE_UNITS, MODES
from pto_sim.engine.cluster import AIC, Cluster
from pto_sim.engine.halves import MODE_OF_CODE
from pto_sim.engine.run import require_run
from pto_sim.frontend.kernel import InlineKernel
from pto_sim.frontend.names import called_attribute
from pto_sim.frontend.reach import closure_values
from pto_sim.frontend.task_functions import InCoreKernel
from pto_sim.program.errors import KernelError, UnsupportedError

_PIPE_OPS = frozenset({"tpush_to_aiv", "tpush_to_aic", "tpop_from_aic", "tpop_from_aiv"})


class CoreFunction(InCoreKernel):
    """A function of the cube (kind 'aic') or of the vector cores ('aiv')."""

    kind = "aiv"
    attrs: Any = None

    @functools.cached_property
    def attributes(self) -> dict[str, Any]:
        """What attrs= and pl.func_attr say of the function, for the keys that matter to its cores."""
        found = dict(self.attrs or {})
        for node in self.tree.body:
            if isinstance(node, ast.Expr) and called_attribute(node.value) == "func_attr":
                assert isinstance(node.value, ast.Call)
                table = node.value.args[0] if node.value.args else None
                if isinstance(table, ast.Dict):
                    for key, value in zip(table.keys, table.values, strict=True):
                        if isinstance(key, ast.Constant) and key.value in ("split", "split_aiv"):
                            found[str(key.value)] = self.constant(value)
        return found

    def constant(self, node: ast.expr) -> Any:
        """The value of an expression of module constants."""
        spaces = {**self.function.__globals__, **closure_values(self.function)}
        return eval(compile(ast.Expression(node), self.site.file, "eval"), spaces)

    @functools.cached_property
    def split_mode(self) -> str:
        """'none', 'up_down' or 'left_right': from the attribute, else from the pipe operations."""
        mode = self.attributes.get("split")
        if mode is not None:
            return str(mode) if mode in MODES else "none"
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Call) and called_attribute(node) in _PIPE_OPS:
                for keyword in node.keywords:
                    if keyword.arg == "split":
                        found = MODE_OF_CODE.get(self.constant(keyword.value), "none")
                        if found != "none":
                            return found
        return "none"

    def units(self) -> list[tuple[str, str]]:
        """(core, what it keeps of a tile) for each core that runs the function."""
        if self.kind == AIC:
            return [(AIC, "none")]
        if self.attributes.get("split_aiv"):
            return [(unit, "none") for unit in LANE_UNITS]
        if self.split_mode != "none":
            return [(unit, self.split_mode) for unit in LANE_UNITS]
        return [(LANE_UNITS[0], "none")]

    def in_task(self, *args: Any, **kwargs: Any) -> Any:
        """Start it on its cores. In a group the others go on as soon as it waits."""
        run = require_run(f"'{self.name}'")
        core = run.task_core(f"'{self.name}'")
        units = self.units()
        if core.unit or (core.cluster is None and not self.meets_cores and len(units) == 1):
            return InlineKernel.__call__(self, *args, **kwargs)
        alone = core.cluster is None
        cluster = Cluster(run, core) if core.cluster is None else core.cluster
        body = functools.partial(InlineKernel.__call__, self, *args, **kwargs)
        threads = [cluster.start(unit, self.name, half, body) for unit, half in units]
        if alone:
            cluster.finish()
        return threads[0].result if threads[0].done else self._promised(args, kwargs)

    def _promised(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """What the function will return: its written arguments, which are its results."""
        bound = self._bind(args, kwargs, self.site, {})
        written = [v for p, v in zip(self.parameters, bound, strict=True) if p.is_written]
        returned = [n.value for n in ast.walk(self.tree) if isinstance(n, ast.Return) and n.value is not None]
        if not returned:
            return None
        count = len(returned[-1].elts) if isinstance(returned[-1], ast.Tuple) else 1
        if count != len(written):
            raise UnsupportedError(
                f"'{self.name}' waits for another core before its result is known, and returns {count} of "
                f"{len(written)} outputs",
                site=self.site,
                hint="return every pl.Out parameter, in order",
            )
        return written[0] if count == 1 else tuple(written)


class GroupFunction(InCoreKernel):
    """A group: the functions of cores that it calls run together, as one task."""

    def in_task(self, *args: Any, **kwargs: Any) -> Any:
        """Run the group's calls, then every core to its end."""
        run = require_run(f"'{self.name}'")
        core = run.task_core(f"'{self.name}'")
        if core.cluster is not None:
            raise KernelError(
                "PTO261",
                "a group cannot run inside a group",
                site=run.site(),
                values=self.name,
                hint="call the functions of its cores from one group",
            )
        cluster = Cluster(run, core)
        try:
            result = InlineKernel.__call__(self, *args, **kwargs)
        except BaseException:
            cluster.abandon()
            raise
        cluster.finish()
        return result
