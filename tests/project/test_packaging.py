"""pyproject.toml, the lock files and the Makefile agree with each other."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

LOCKS = ("requirements.lock", "requirements-test.lock")
PYTHONS = ("3.10", "3.11", "3.12", "3.13")


def read_lock(path: Path) -> list[Requirement]:
    lines = path.read_text().splitlines()
    return [Requirement(line) for line in lines if line.strip() and not line.lstrip().startswith("#")]


def environment(python: str) -> dict[str, str]:
    return {"python_version": python, "python_full_version": f"{python}.0", "sys_platform": "linux"}


def pinned(lock: list[Requirement], python: str) -> dict[str, str]:
    """Version of each distribution that the lock gives one Python; fails on two pins of one name."""
    chosen: dict[str, str] = {}
    for requirement in lock:
        if requirement.marker is None or requirement.marker.evaluate(environment(python)):
            name = canonicalize_name(requirement.name)
            assert name not in chosen, f"{name} is pinned twice for Python {python}"
            (specifier,) = requirement.specifier
            assert specifier.operator == "==", f"{requirement} is not a pin"
            chosen[name] = specifier.version
    return chosen


@pytest.fixture(scope="module")
def project(repository: Path) -> dict:
    return tomllib.loads((repository / "pyproject.toml").read_text())["project"]


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("lock_name", LOCKS)
def test_the_lock_satisfies_the_project(repository: Path, project: dict, lock_name: str, python: str) -> None:
    wanted = list(project["dependencies"])
    if lock_name == "requirements-test.lock":
        wanted += project["optional-dependencies"]["test"]
    chosen = pinned(read_lock(repository / lock_name), python)
    for line in wanted:
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate(environment(python)):
            version = chosen.get(canonicalize_name(requirement.name))
            assert version and requirement.specifier.contains(version), f"{lock_name} gives {line!r} version {version}"


@pytest.mark.parametrize("python", PYTHONS)
def test_both_locks_pin_the_same_versions(repository: Path, python: str) -> None:
    core, full = (pinned(read_lock(repository / name), python) for name in LOCKS)
    assert core.items() <= full.items()


@pytest.mark.parametrize("lock_name", LOCKS)
def test_the_lock_names_no_host(repository: Path, lock_name: str) -> None:
    text = (repository / lock_name).read_text()
    assert not re.search(r"://|--(index|extra-index|find-links)| @ ", text)


def test_the_command_and_the_backend_are_declared(project: dict) -> None:
    assert project["scripts"]["pto-sim"] == "pto_sim.cli:main"
    assert project["entry-points"]["pto_sim.backends"]["sim"] == "pto_sim.backend:SimBackend"


def test_supported_pythons_are_classified(project: dict) -> None:
    classified = {line.rsplit(" ", 1)[1] for line in project["classifiers"] if "Python :: 3." in line}
    assert classified == set(PYTHONS)
    assert project["requires-python"] == ">=3.10,<3.14"


def test_core_dependencies_are_the_designed_ones(project: dict) -> None:
    names = {canonicalize_name(Requirement(line).name) for line in project["dependencies"]}
    assert names == {"numpy", "numba", "simpy", "ml-dtypes", "typer", "rich", "tomli"}


def test_the_makefile_has_every_target_that_ci_and_the_readme_name(repository: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (repository / "Makefile").read_text(), re.MULTILINE))
    named = re.findall(r"make ([a-z-]+)", (repository / ".ci/run").read_text() + (repository / "README.md").read_text())
    assert set(named) <= targets
    assert {"demo", "test", "test-all", "lint", "bench"} <= targets
