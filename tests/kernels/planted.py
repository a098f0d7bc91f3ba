"""Planted faults: as parameters of a test, and run on one set of inputs at small size."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from .kernel_layout import inputs_and_expected, said_of_a_run
from .sandbox import load, load_all

Given = tuple[list, object, dict]  # specs, reference, tolerance


def first_ones_quick(names: Iterable[str], quick: int) -> list[Any]:
    """The names of faults: the first `quick` ones for every day, the others for the exhaustive run."""
    return [pytest.param(name, marks=[] if i < quick else [pytest.mark.slow]) for i, name in enumerate(names)]


def each_kind_quick(faults: Mapping[Any, Mapping[str, Any]], quick: int) -> list[Any]:
    """The same for faults by kind, as parameters (kind, name)."""
    return [
        pytest.param(kind, *name.values, marks=name.marks)
        for kind, named in faults.items()
        for name in first_ones_quick(named, quick)
    ]


class Bench:
    """A kernel at small size on one set of inputs.

    The kernel's modules, the inputs and what is expected are made once, so that a fault costs the loading of its file
    and of those that import it, and a run.
    """

    def __init__(
        self,
        place: Path,
        module: str,
        entry: str,
        script: str,
        sizes: Mapping[str, Any],
        given: Callable[[ModuleType, Any], Given],
    ) -> None:
        """module, entry: the kernel's file and name. given: specs, reference and tolerance from the script's module
        and the kernel."""
        self.module, self.entry, self.sizes = module, entry, sizes
        self.modules = load_all(place / "whole", module, script, sizes=sizes)
        kernel = getattr(self.modules[module], entry)
        specs, golden, self.tolerance = given(self.modules[script], kernel)
        self.values, self.expected = inputs_and_expected(specs, golden)

    def said(self, place: Path, fault: tuple[str, str, str] | None = None) -> list[str]:
        """What the comparers say of each output, '' where it agrees. fault: file, old text, new text."""
        (module,) = load(place, self.module, sizes=self.sizes, fault=fault, kept=self.modules)
        return said_of_a_run(getattr(module, self.entry), self.values, self.expected, self.tolerance)
