"""Errors that reach a kernel author. Each says the rule, the place, the values, and what to do instead."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from pto_sim.program.model import Program, Site


class PtoError(Exception):
    """A rejected kernel or input.

    code: stable, 'PTO' and three digits, one docs page each. rule: what is violated. site: the author's line,
    or None for an input that is not source. values: the values at hand. hint: what to do instead.
    """

    def __init__(self, code: str, rule: str, *, site: Site | None = None, values: str = "", hint: str = "") -> None:
        self.code, self.rule, self.site, self.values, self.hint = code, rule, site, values, hint
        super().__init__(self.render())

    def render(self) -> str:
        """The message as one text of up to four lines."""
        place = f" at {self.site}" if self.site is not None else ""
        lines = [f"{self.code}{place}: {self.rule}"]
        if self.values:
            lines.append(f"  values: {self.values}")
        if self.hint:
            lines.append(f"  instead: {self.hint}")
        return "\n".join(lines)


class KernelError(PtoError):
    """The kernel breaks a rule of the language or of the hardware."""


class InputError(PtoError):
    """An argument, file or option that the user gave cannot be used."""


class UnsupportedError(PtoError):
    """A construct that pto-sim does not model. Its message names it."""

    def __init__(self, construct: str, *, site: Site | None = None, hint: str = "") -> None:
        super().__init__("PTO001", f"{construct} is not modelled by pto-sim", site=site, hint=hint)
        self.construct = construct


class RuntimeFault(PtoError):
    """The simulated runtime stopped with one of its own error codes (1-11, 100-103).

    runtime_code and runtime_name are upstream's; ring_state is the dump that comes with it.
    """

    def __init__(
        self,
        runtime_code: int,
        runtime_name: str,
        rule: str,
        *,
        ring_state: dict[str, object],
        site: Site | None = None,
        values: str = "",
        hint: str = "",
    ) -> None:
        super().__init__(
            f"PTO9{runtime_code:02d}" if runtime_code < 100 else f"PTO{runtime_code}",
            rule,
            site=site,
            values=values,
            hint=hint,
        )
        self.runtime_code, self.runtime_name, self.ring_state = runtime_code, runtime_name, ring_state


class Interrupted(KeyboardInterrupt):
    """Ctrl-C while a kernel ran. program: what it had recorded, up to its last complete task."""

    def __init__(self, program: Program) -> None:
        super().__init__(f"{program.name}: {len(program.tasks)} tasks were recorded")
        self.program = program


def nearest_name(name: str, known: Iterable[str]) -> str:
    """A hint that names the known option which is spelled most like `name`, and all of them."""
    names = list(known)
    close = difflib.get_close_matches(name, names, 1, 0.5)
    meant = f"did you mean {close[0]}? " if close else ""
    return f"{meant}known: {', '.join(names)}"
