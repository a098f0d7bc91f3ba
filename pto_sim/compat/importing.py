"""The import hook: which names are served, and what an import of another part of `pypto` says."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

# Import name -> the module that answers for it.
SERVED = {
    "golden": "pto_sim.golden",
    "pypto": "pto_sim.compat.pypto",
    "pypto.backend": "pto_sim.compat.backends",
    "pypto.ir": "pto_sim.compat.ir",
    "pypto.ir.compiled_program": "pto_sim.compat.ir",
    "pypto.ir.distributed_compiled_program": "pto_sim.compat.ir",
    "pypto.ir.pass_manager": "pto_sim.compat.ir",
    "pypto.jit": "pto_sim.compat.jit",
    "pypto.language": "pto_sim.language",
    "pypto.language.distributed": "pto_sim.language.distributed",
    "pypto.runtime": "pto_sim.compat.runtime",
    "pypto.runtime.runner": "pto_sim.compat.runtime",
    "pypto.runtime.tensor_spec": "pto_sim.golden",
    "pypto.runtime.log_config": "pto_sim.compat.runtime",
}


class _Refuse(MetaPathFinder):
    """Answers for the parts of `pypto` that are not served, so that the error names them."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname.split(".")[0] != "pypto":
            return None
        raise ModuleNotFoundError(
            f"pto-sim does not serve '{fullname}': it simulates kernels and has no part of the compiler. "
            f"Served: {', '.join(sorted(SERVED))}",
            name=fullname,
        )


@contextmanager
def served_names() -> Iterator[None]:
    """Serve the names of SERVED for the duration of a `with` block; afterwards imports are as before.

    A real `pypto` or `golden` that is installed or on sys.path is hidden meanwhile.
    """
    hidden = {name: module for name, module in sys.modules.items() if name.split(".")[0] in ("pypto", "golden")}
    for name in hidden:
        del sys.modules[name]
    refuse = _Refuse()
    sys.meta_path.insert(0, refuse)
    sys.modules.update({name: importlib.import_module(module) for name, module in SERVED.items()})
    try:
        yield
    finally:
        sys.meta_path.remove(refuse)
        for name in [n for n in sys.modules if n.split(".")[0] in ("pypto", "golden")]:
            del sys.modules[name]
        sys.modules.update(hidden)
