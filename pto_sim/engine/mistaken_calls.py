"""An operator that fails on operands which it was never meant to take, said as an error of the kernel.

Operators check what can sensibly be passed to them. Whatever else an author passes (None, a string, a list of strings)
ends in an exception of Python or NumPy somewhere inside; it belongs to the author's line, with the operands in view.
"""

from __future__ import annotations

import traceback
from types import FrameType
from typing import Any

from pto_sim.program.errors import KernelError
from pto_sim.program.model import Site

MISTAKES = (TypeError, ValueError, LookupError, AttributeError, ArithmeticError, AssertionError)
_WRAPPERS = frozenset(("call", "form", "operator", "apply", "subscript", "assign", "_binary"))
_TITLES = {"__getitem__": "a subscript", "__setitem__": "an assignment to elements"}


def mistaken_call(error: BaseException, package: str) -> KernelError | None:
    """The kernel's error (PTO260) behind `error`; None if the author's own code raised it. package: path of pto_sim."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    lines = [line for _, line in traceback.walk_tb(error.__traceback__)]
    authors = [i for i, frame in enumerate(frames) if not frame.f_code.co_filename.startswith((package, "<"))]
    authors = [i for i in authors if "site-packages" not in frames[i].f_code.co_filename]
    if not authors or authors[-1] == len(frames) - 1:
        return None
    author, inside = authors[-1], frames[authors[-1] + 1 :]
    if not inside[0].f_code.co_filename.startswith(package):
        return None
    called = next((f for f in inside if f.f_code.co_name not in _WRAPPERS), inside[0])
    name = called.f_code.co_name
    title = _TITLES.get(name, f"pl.{name}" if not name.startswith("_") else "an operator on scalars")
    code = frames[author].f_code
    return KernelError(
        "PTO260",
        f"{title} cannot take these operands",
        site=Site(code.co_filename, lines[author], code.co_name),
        values=f"{_operands(called)} ({type(error).__name__}: {error})",
        hint=f"see `pto-sim ops {name}` for what it takes" if title.startswith("pl.") else "check the operands",
    )


def _operands(frame: FrameType) -> str:
    code = frame.f_code
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount + bool(code.co_flags & 4)]
    shown = [f"{n}={_short(frame.f_locals[n])}" for n in names if n not in ("self", "run") and n in frame.f_locals]
    return ", ".join(shown) or "no operands"


def _short(value: Any) -> str:
    try:
        text = repr(value)
    except MISTAKES:
        text = type(value).__name__
    return text if len(text) <= 60 else text[:57] + "..."
