"""Executing a kernel script or a module as `__main__`, and saying clearly why one cannot be executed."""

from __future__ import annotations

import importlib.util
import os
import runpy
import sys
import traceback
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import NamedTuple

from pto_sim.backend import current_session
from pto_sim.compat import served_names
from pto_sim.compat.pytest_processes import environment
from pto_sim.program.errors import InputError, PtoError
from pto_sim.program.seeding import seeded_generators

_OURS = str(Path(__file__).resolve().parent.parent) + os.sep


class ScriptEnd(NamedTuple):
    """How a script ended. status: its exit status. error: the text of what it raised, '' if nothing."""

    status: int
    error: str


def check_script(path: Path) -> None:
    """Raises InputError PTO050 if there is no such file, PTO051 if it is not Python."""
    hint = "give the path of a Python file that runs a kernel"
    try:
        source = path.read_bytes()
    except OSError as error:
        raise InputError("PTO050", f"cannot read the script {path}", values=str(error.strerror), hint=hint) from error
    try:
        compile(source, str(path), "exec", dont_inherit=True)
    except SyntaxError as error:
        where = f"line {error.lineno}: {error.msg}" if error.lineno else str(error.msg)
        raise InputError("PTO051", f"{path} is not a Python script", values=where, hint=hint) from None
    except ValueError as error:  # null bytes
        raise InputError("PTO051", f"{path} is not a Python script", values=str(error), hint=hint) from None


def execute(path: Path, argv: list[str], seed: int | None = None) -> ScriptEnd:
    """Run the script at `path` as Python itself would, with `argv` behind its name.

    seed: of every generator that the script does not seed itself; None is 0, so that a run can be repeated.
    Errors of pto_sim and Ctrl-C pass through; anything else that the script raises is returned as text.
    """
    with served_names(), _as_main(str(path), argv, path.resolve().parent), _seeded(seed or 0), _pytest_plugin():
        try:
            runpy.run_path(str(path), run_name="__main__")
        except SystemExit as end:
            return _system_exit(end)
        except PtoError:
            raise
        except Exception as error:
            return ScriptEnd(1, _author_traceback(error, path))
    return ScriptEnd(0, "")


def execute_module(name: str, argv: list[str], seed: int | None = None) -> ScriptEnd:
    """Run the module `name` as `python -m NAME ARGS` would; seed and errors as with `execute`.

    Raises InputError (PTO057) if there is no such module.
    """
    with served_names(), _as_main(name, argv, Path.cwd()), _seeded(seed), _pytest_plugin():
        _check_module(name)
        try:
            runpy.run_module(name, run_name="__main__", alter_sys=True)
        except SystemExit as end:
            return _system_exit(end)
        except PtoError:
            raise
        except Exception:
            return ScriptEnd(1, traceback.format_exc().rstrip())
    return ScriptEnd(0, "")


def _seeded(seed: int | None) -> AbstractContextManager[None]:
    return nullcontext() if seed is None else seeded_generators(seed)


def _pytest_plugin() -> AbstractContextManager[None]:
    """Should pytest run, in this process or in one that is started, it loads our plugin."""
    session = current_session()
    return nullcontext() if session is None else environment(session.options)


def _check_module(name: str) -> None:
    try:
        found = importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):  # a part of a package that is not there, or of a plain module
        found = False
    if not found:
        raise InputError(
            "PTO057",
            f"there is no module {name!r}",
            hint="install it into the Python that runs pto-sim, or name another",
        )


@contextmanager
def _as_main(name: str, argv: list[str], first: Path) -> Iterator[None]:
    """sys.argv and sys.path as Python itself has them for a script or module, for the duration of a `with` block."""
    old_argv, old_path = sys.argv, list(sys.path)
    sys.argv, sys.path[:0] = [name, *argv], [str(first)]
    try:
        yield
    finally:
        sys.argv, sys.path[:] = old_argv, old_path


def _system_exit(end: SystemExit) -> ScriptEnd:
    if end.code is None or isinstance(end.code, int):
        return ScriptEnd(int(end.code or 0), "")
    return ScriptEnd(1, str(end.code))


def _author_traceback(error: Exception, path: Path) -> str:
    """The traceback from the script on: neither the runner above it nor the engine inside is the author's."""
    frames = traceback.extract_tb(error.__traceback__)
    first = next((i for i, frame in enumerate(frames) if frame.filename == str(path)), 0)
    kept = [frame for frame in frames[first:] if not frame.filename.startswith(_OURS)] or frames[first:]
    lines = traceback.format_list(kept) + traceback.format_exception_only(type(error), error)
    return "Traceback (most recent call last):\n" + "".join(lines).rstrip()
