"""The import tiers of docs/architecture.md, held against the code."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.project.import_graph import OURS, Import, read_imports

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

TIER = {
    "cli": 5,
    "compat": 4,
    "study": 4,
    "testing": 4,
    "golden": 3,
    "backend": 3,
    "report": 3,
    "language": 2,
    "frontend": 2,
    "engine": 2,
    "checks": 2,
    "lowering": 2,
    "program": 1,
    "numerics": 1,
}
"""Any package may import the tiers below its own. `ascend_model` stands apart: see USES_THE_MODEL."""

ARROWS = {
    "golden": {"backend", "report"},
    "backend": {"report"},
    "language": {"frontend", "engine"},
    "frontend": {"engine"},
}
"""What a package may import within its own tier."""

USES_THE_MODEL = {"lowering", "backend", "report", "study"}
"""The only packages that may import ascend_model, which imports nothing of ours."""

HEAVY = {"torch", "pypto", "hypothesis", "jax", "triton"}
"""Imported where they are used, never when a module of ours is imported; `testing` is for hypothesis users."""


def violation(arrow: Import) -> str | None:
    """Why an import breaks the tiers, or None."""
    source, target = arrow.unit, arrow.target
    ours = arrow.module.split(".")[0] in OURS
    if not ours or source == target or arrow.module in ("pto_sim", "pto_sim.__version__"):
        return None
    if source == "ascend_model":
        return "ascend_model imports nothing of ours"
    if source == "pto_sim":
        return "pto_sim/__init__.py imports nothing, so that every import stays cheap"
    if source not in TIER:
        return f"package {source} is in no tier"
    if target == "ascend_model":
        return None if source in USES_THE_MODEL else f"only {sorted(USES_THE_MODEL)} import ascend_model"
    if target not in TIER:
        return f"package {target} is in no tier"
    if TIER[target] < TIER[source] or target in ARROWS.get(source, set()):
        return None
    return f"tier {TIER[source]} may not import tier {TIER[target]}" if TIER[target] > TIER[source] else "sideways"


def arrow(source: str, module: str) -> Import:
    return Import(Path("made_up.py"), 1, source, module, True)


def test_every_import_follows_the_tiers(repository: Path) -> None:
    broken = [f"{found}: {reason}" for found in read_imports(repository) if (reason := violation(found))]
    assert not broken, "\n".join(broken)


@pytest.mark.parametrize(
    ("source", "module"),
    [
        ("engine", "pto_sim.language"),
        ("engine", "pto_sim.checks.bounds"),
        ("checks", "pto_sim.engine"),
        ("checks", "ascend_model.ring"),
        ("cli", "ascend_model.chipspec"),
        ("program", "pto_sim.numerics"),
        ("ascend_model", "pto_sim.program"),
        ("report", "pto_sim.backend"),
        ("pto_sim", "pto_sim.backend"),
        ("engine", "pto_sim.shortcuts"),
    ],
)
def test_a_forbidden_arrow_is_found(source: str, module: str) -> None:
    assert violation(arrow(source, module))


@pytest.mark.parametrize(
    ("source", "module"),
    [
        ("language", "pto_sim.engine"),
        ("golden", "pto_sim.backend"),
        ("lowering", "ascend_model.isa"),
        ("engine", "pto_sim.numerics.matmul"),
        ("engine", "pto_sim.engine.tile"),
        ("engine", "numpy"),
    ],
)
def test_an_allowed_arrow_is_silent(source: str, module: str) -> None:
    assert violation(arrow(source, module)) is None


def test_relative_and_deferred_imports_are_seen(tmp_path: Path) -> None:
    package = tmp_path / "pto_sim" / "engine"
    package.mkdir(parents=True)
    package.joinpath("tile.py").write_text(
        "from ..checks import bounds\n"
        "def late():\n"
        "    from pto_sim import cli\n"
        "    import importlib\n"
        "    importlib.import_module('pto_sim.golden')\n"
    )
    found = {(item.module, item.at_top) for item in read_imports(tmp_path, ("pto_sim",))}
    assert {("pto_sim.checks", True), ("pto_sim.cli", False), ("pto_sim.golden", False)} <= found


def test_heavy_packages_are_imported_where_they_are_used(repository: Path) -> None:
    early = [
        str(found)
        for found in read_imports(repository)
        if found.at_top and found.target in HEAVY and (found.unit, found.target) != ("testing", "hypothesis")
    ]
    assert not early, "\n".join(early)


def test_every_third_party_import_is_a_declared_dependency(repository: Path) -> None:
    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    declared = [
        *project["dependencies"],
        *(line for extra in project["optional-dependencies"].values() for line in extra),
    ]
    names = {line.split(";")[0].split(">")[0].split("=")[0].strip().lower() for line in declared}
    names |= {"llvmlite", "pypto"}  # part of numba; the vendor's toolchain, which the backend looks for
    known = names | set(sys.stdlib_module_names) | {"tomllib"} | set(OURS)
    unknown = [str(found) for found in read_imports(repository) if found.module.split(".")[0].lower() not in known]
    assert not unknown, "\n".join(unknown)
