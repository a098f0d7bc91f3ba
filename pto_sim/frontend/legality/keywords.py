"""Keywords of loops, tasks and scopes. Operators' own keywords are checked against their signatures (calls.py)."""

from __future__ import annotations

import ast
import difflib
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType

from pto_sim.frontend.legality.problem import Problem, problem
from pto_sim.frontend.legality.surroundings import Surroundings

_SPMD = ("core_num", "sync_start", "name_hint", "optimizations", "allow_early_resolve", "predicate")
# pypto: python/pypto/language/parser/ast_parser.py (_ITERATOR_KEYWORDS, _SPMD_KWARGS, _parse_at_kwargs).
KEYWORDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "range": ("init_values", "attrs"),
        "parallel": ("init_values", "attrs"),
        "unroll": ("attrs",),
        "pipeline": ("init_values", "stage", "attrs"),
        "while_": ("init_values",),
        "spmd": (*_SPMD, "deps"),
        "at": (
            "level", "role", "optimizations", "deps", "no_dep_args", "dumps", "allow_early_resolve", "name_hint",
            "windowize", "predicate",
        ),
        "split_aiv": ("mode",),
        "scope": ("mode",),
        "manual_scope": (),
        "cluster": ("name_hint",),
        "split": ("slot_num",),
        "cross_core_slot": ("slot_num",),
        "submit": ("deps", "dumps", "allow_early_resolve", "predicate", "attrs"),
        "spmd_submit": ("core_num", "sync_start", "deps", "dumps", "allow_early_resolve", "predicate", "attrs"),
        "system.task_dummy": ("deps", "attrs"),
        "aiv_shard": ("split", "lane_stride"),
        "aic_gather": ("split",),
    }
)  # fmt: skip


def nearest(name: str, known: Iterable[str], spell: str = "{}") -> str:
    """'did you mean x?' for the closest known name, '' if none is close."""
    close = difflib.get_close_matches(name, [k for k in known if not k.startswith("__")], n=1)
    return f"did you mean {spell.format(close[0])}?" if close else ""


def unknown_keywords(function: ast.FunctionDef, around: Surroundings) -> Iterator[Problem]:
    """PTO238: a keyword that a loop, task or scope does not have."""
    for_heads = {id(node.iter) for node in ast.walk(function) if isinstance(node, ast.For)}
    for node in ast.walk(function):
        name = around.operator(node)
        if name is None or name not in KEYWORDS or not isinstance(node, ast.Call):
            continue
        known = KEYWORDS[name]
        if name == "spmd" and id(node) in for_heads:
            known = _SPMD
        for keyword in node.keywords:
            if keyword.arg is None:
                yield problem("PTO238", node, f"pl.{name} takes no **keywords", "write each keyword out")
            elif keyword.arg not in known:
                yield _unknown(keyword, name, known)


def _unknown(keyword: ast.keyword, name: str, known: tuple[str, ...]) -> Problem:
    assert keyword.arg is not None
    if name == "spmd" and keyword.arg == "deps":
        hint = "with pl.spmd(n, deps=[...]) as tid:, and i = pl.tile.get_block_idx() inside"
        return problem("PTO238", keyword, "the for form of pl.spmd has no deps=", hint, _text(keyword))
    if name in ("range", "parallel", "unroll") and keyword.arg == "stage":
        return problem("PTO238", keyword, f"pl.{name} has no stages", "use pl.pipeline(n, stage=2)", _text(keyword))
    if name == "unroll" and keyword.arg == "init_values":
        return problem("PTO228", keyword, "pl.unroll carries no values", "rebind the name in the body", _text(keyword))
    listed = f"it has {', '.join(known)}" if known else "it has no keywords"
    hint = nearest(keyword.arg, known, "{}=") or listed
    return problem("PTO238", keyword, f"pl.{name} has no keyword '{keyword.arg}'", hint, f"{_text(keyword)}; {listed}")


def _text(keyword: ast.keyword) -> str:
    return f"{keyword.arg}={ast.unparse(keyword.value)}"[:80]
