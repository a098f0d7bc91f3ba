"""The import hook: which names are served, and what an import of another part of `pypto` says."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

from pto_sim.compat.builds import Builds
from pto_sim.program.launch import kernel_compiler, kernel_runner

# Import name -> the module that answers for it.
SERVED = {
    "golden": "pto_sim.golden",
    "pypto": "pto_sim.compat.pypto",
    "pypto.backend": "pto_sim.compat.backends",
    "pypto.backend.pto_backend": "pto_sim.compat.code_generator",
    "pypto.ir": "pto_sim.compat.ir",
    "pypto.ir.compiled_program": "pto_sim.compat.ir",
    "pypto.ir.distributed_compiled_program": "pto_sim.compat.ir",
    "pypto.ir.pass_manager": "pto_sim.compat.pass_pipeline",
    "pypto.jit": "pto_sim.compat.jit",
    "pypto.jit.decorator": "pto_sim.compat.jit",
    "pypto.language": "pto_sim.language",
    "pypto.language.distributed": "pto_sim.language.distributed",
    "pypto.passes": "pto_sim.compat.pass_pipeline",
    "pypto.pypto_core": "pto_sim.compat.core",
    "pypto.pypto_core.ir": "pto_sim.compat.ir",
    "pypto.pypto_core.passes": "pto_sim.compat.pass_pipeline",
    "pypto.runtime": "pto_sim.compat.runtime",
    "pypto.runtime.bench": "pto_sim.compat.benchmarking",
    "pypto.runtime.device_runner": "pto_sim.compat.device_runner",
    "pypto.runtime.device_tensor": "pto_sim.compat.device_memory",
    "pypto.runtime.golden_writer": "pto_sim.compat.golden_writer",
    "pypto.runtime.log_config": "pto_sim.compat.device_log",
    "pypto.runtime.runner": "pto_sim.compat.runner",
    "pypto.runtime.tensor_spec": "pto_sim.compat.tensor_spec",
    "pypto.runtime.worker": "pto_sim.compat.chip_worker",
    "simpler": "pto_sim.compat.device_runtime",
    "simpler.worker": "pto_sim.compat.device_worker",
}
_ROOTS = ("golden", "pypto", "simpler", "simpler_setup")

# Import name -> functions in it that need to know what the script has compiled: methods of its Builds.
_BOUND = {
    "pypto.ir": ("compile", "CompiledProgram"),
    "pypto.ir.compiled_program": ("CompiledProgram",),
    "pypto.pypto_core.ir": ("CompiledProgram",),
    "pypto.runtime": ("compile_program", "execute_compiled", "run"),
    "pypto.runtime.device_runner": ("compile_and_assemble",),
    "pypto.runtime.runner": ("compile_program", "execute_compiled", "run"),
}


class _Refuse(MetaPathFinder):
    """Answers for the parts of `pypto` and of its device runtime that are not served, so that the error names them."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname.split(".")[0] not in _ROOTS:
            return None
        raise ModuleNotFoundError(
            f"PTO001: pto-sim does not serve '{fullname}': it simulates kernels, and has no part of the compiler or of "
            f"the device's runtime",
            name=fullname,
        )


@contextmanager
def served_names() -> Iterator[Builds]:
    """Serve the names of SERVED for the duration of a `with` block; afterwards imports are as before.

    A real `pypto`, `golden` or `simpler` that is installed or on sys.path is hidden meanwhile. Gives its builds.
    """
    hidden = {name: module for name, module in sys.modules.items() if _is_served(name)}
    for name in hidden:
        del sys.modules[name]
    refuse, builds = _Refuse(), Builds()
    sys.meta_path.insert(0, refuse)
    sys.modules.update(_modules(builds))
    tokens = kernel_runner.set(builds.run_kernel), kernel_compiler.set(builds.compile_kernel)
    try:
        yield builds
    finally:
        kernel_runner.reset(tokens[0])
        kernel_compiler.reset(tokens[1])
        sys.meta_path.remove(refuse)
        for name in [name for name in sys.modules if _is_served(name)]:
            del sys.modules[name]
        sys.modules.update(hidden)


def _is_served(name: str) -> bool:
    return name.split(".")[0] in _ROOTS


def _modules(builds: Builds) -> dict[str, ModuleType]:
    """The modules to serve. One with functions of `builds` is made anew, so that two scripts share nothing."""
    made: dict[str, ModuleType] = {}
    for name, source in SERVED.items():
        made[name] = importlib.import_module(source)
        if name in _BOUND:
            made[name] = _with_functions(made[name], builds, _BOUND[name])
    made["pypto"] = _with_functions(made["pypto"], builds, ())
    for name, module in made.items():
        parent, _, child = name.rpartition(".")
        if parent in ("pypto", "pypto.runtime") and child not in vars(made[parent]):
            setattr(made[parent], child, module)
    vars(made["pypto"]).update(ir=made["pypto.ir"], runtime=made["pypto.runtime"])
    return made


def _with_functions(source: ModuleType, builds: Builds, functions: Sequence[str]) -> ModuleType:
    """A module like `source` whose `functions` are methods of `builds`."""
    module = ModuleType(source.__name__, source.__doc__)
    vars(module).update({key: value for key, value in vars(source).items() if not key.startswith("__spec")})
    for name in functions:
        setattr(module, name, builds.Compiled if name == "CompiledProgram" else getattr(builds, name))
    return module
