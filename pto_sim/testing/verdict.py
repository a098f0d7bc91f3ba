"""What an invariant says of a run: true or false, with the reason in its text."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Verdict:
    """The answer of an invariant. It is true or false in `assert`, `if` and `hypothesis.assume`.

    reason: why it is false, with the values at hand; '' where it holds. pytest shows it in the assertion message.
    """

    holds: bool
    reason: str = ""

    def __bool__(self) -> bool:
        return self.holds

    def __repr__(self) -> str:
        return "holds" if self.holds else f"does not hold: {self.reason}"


HOLDS = Verdict(True)


def broken(reason: str) -> Verdict:
    """A verdict that does not hold."""
    return Verdict(False, reason)
