"""What may stand where in a task that uses both kinds of core, checked on the operations that a block recorded.

Once a task opens a pl.split_aiv region, vector work belongs in regions and cube work outside, and a tile crosses only
through pl.aiv_shard and pl.aic_gather (pypto: docs/en/dev/passes/99-verifier.md, AivSplitValid). Nothing reduces the
axis along which the lanes share their tiles. A barrier counts the cores that take part.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from pto_sim.numerics.optable import OP_TABLE
from pto_sim.program.errors import KernelError
from pto_sim.program.model import OpSignature, TaskRecord

if TYPE_CHECKING:
    from pto_sim.engine.run import Run

Op = tuple[int, int, tuple[int, ...], int]
_VECTOR = frozenset({"full", "arange", "fillpad"})
_REDUCTIONS = tuple(f"_{kind}" for kind in ("sum", "max", "min", "prod", "argmax", "argmin"))
_CLUSTERS, _AIV = 24, 48


class Participants(NamedTuple):
    """What the blocks of a task have used so far: kinds of work ('cube', 'vector'), regions, barriers."""

    kinds: set[str]
    regions: set[bool]
    barriers: dict[OpSignature, None]


def check_regions(run: Run, ops: Sequence[Op], task: TaskRecord, seen: Participants) -> None:
    """Raises KernelError (PTO246) for the first violation of a group of blocks of `task`; adds to `seen`."""
    split = task.split
    signatures = run.recorder.signatures
    regions = any(_attribute(signatures[op[0]], "unit") in ("aiv0", "aiv1") for op in ops)
    kinds = {_kind(signatures[op[0]].op) for op in ops}
    mixed = {"cube", "vector"} <= kinds
    seen.kinds.update(kinds)
    seen.regions.add(regions)
    seen.barriers.update(dict.fromkeys(s for op in ops if (s := signatures[op[0]]).op == "syncall"))
    unit, mode = "", split if mixed else "none"
    made: dict[int, str] = {}
    for number, out, ins, _ in ops:
        signature = signatures[number]
        if signature.op == "core.mark":
            unit = str(_attribute(signature, "unit"))
            mode = str(_attribute(signature, "mode")) if unit else split if mixed else "none"
            continue
        kind = _kind(signature.op)
        if regions:
            _check_place(run, signature, kind, unit, [made.get(value, "") for value in ins])
        if kind == "vector":
            _check_reduction(run, signature, mode)
        if out >= 0:
            view = signature.op in ("slice", "reshape") and ins
            made[out] = made.get(ins[0], "") if view else kind and (f"{kind} in a region" if unit else kind)
            if signature.op in ("tpush", "tpop"):
                made[out] = ""


def _attribute(signature: OpSignature, name: str) -> object:
    return dict(signature.attrs).get(name) if signature.op == "core.mark" else None


def _kind(op: str) -> str:
    row = OP_TABLE.get(op)
    if op in _VECTOR:
        return "vector"
    return "" if row is None else "cube" if row.unit == "M" else "vector"


def _error(run: Run, signature: OpSignature, rule: str, values: str, hint: str, code: str = "PTO246") -> KernelError:
    return KernelError(code, rule, site=run.recorder.sites[signature.site], values=values, hint=hint)


def _check_place(run: Run, signature: OpSignature, kind: str, unit: str, sources: list[str]) -> None:
    name = f"pl.{signature.op}"
    if kind == "cube" and unit:
        raise _error(
            run, signature, "cube work stands outside every pl.split_aiv region", name, "move it out of the region"
        )
    if kind == "vector" and not unit:
        raise _error(
            run,
            signature,
            "in a task with a pl.split_aiv region, vector work stands in regions",
            name,
            "wrap it in `for _ in pl.split_aiv(2, mode=pl.SplitMode.NONE):`",
        )
    if kind == "vector" and "cube" in sources:
        raise _error(
            run,
            signature,
            "a value of the cube enters a region through pl.aiv_shard",
            f"{name} reads one that did not",
            "x = pl.aiv_shard(x) at the top of the region",
        )
    if kind == "cube" and "vector in a region" in sources:
        raise _error(
            run,
            signature,
            "a value of a region reaches the cube through pl.aic_gather",
            f"{name} reads one that did not",
            "x = pl.aic_gather(x) inside the region, and read that outside",
        )


def _check_reduction(run: Run, signature: OpSignature, mode: str) -> None:
    name = signature.op
    if mode == "none" or not name.endswith(_REDUCTIONS) or not name.startswith(("row_", "col_")):
        return
    axis = -1 if name.startswith("row_") else 0
    if (mode == "left_right") == (axis == -1) and signature.ins[0].shape[axis] > 1:
        raise _error(
            run,
            signature,
            "nothing reduces the axis that the two vector cores share",
            f"pl.{name} of {list(signature.ins[0].shape)} under {mode}",
            "reduce the other axis, choose the other mode, or gather the lanes first",
        )


def check_barriers(run: Run, task: TaskRecord, seen: Participants) -> None:
    """Raises KernelError (PTO244, PTO264) for a barrier that never completes. All blocks have run."""
    for signature in seen.barriers:
        _check_barrier(run, signature, task, seen.kinds, True in seen.regions)


def _check_barrier(run: Run, signature: OpSignature, task: TaskRecord, kinds: set[str], regions: bool) -> None:
    """Who takes part (pypto: src/ir/verifier/verify_hard_syncall_occupancy.cpp): both kinds of core in a mixed task."""
    attrs = dict(signature.attrs)
    core_type, used = str(attrs["core_type"]), int(str(attrs["used"]))
    cube, vector = "cube" in kinds, "vector" in kinds
    pure = "" if cube and vector else "aic_only" if cube else "aiv_only" if vector else ""
    if pure and core_type != pure and not regions:
        raise _error(
            run,
            signature,
            "a barrier waits for cores that the task has",
            f"core_type={core_type!r} in a task of {'cube' if cube else 'vector'} cores",
            f"core_type={pure!r}",
            code="PTO244",
        )
    lanes = 2 if cube or regions else 1
    taking_part = {"aic_only": task.blocks, "aiv_only": lanes * task.blocks, "mix": 3 * task.blocks}[core_type]
    if attrs["mode"] == "hard":
        wanted = _AIV if pure == "aiv_only" and not regions else _CLUSTERS
        if task.blocks != wanted or not task.sync_start:
            raise _error(
                run,
                signature,
                "a hard pl.system.syncall needs every core, started together",
                f"the task has {task.blocks} blocks, {wanted} fill the chip; sync_start={task.sync_start}",
                "pl.spmd(one block for each core, sync_start=True), or mode='soft'",
                code="PTO244",
            )
    elif used and used != taking_part:
        raise _error(
            run,
            signature,
            "a soft barrier counts the cores that take part",
            f"used_cores={used}, {taking_part} cores arrive ({task.blocks} blocks, {core_type})",
            "blocks times 1 for one core each; a mixed task has 1 cube and 2 vector cores for each block",
            code="PTO264",
        )
