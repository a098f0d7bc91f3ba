"""The error of an operator that is used on shapes or types which it does not take."""

from __future__ import annotations

from collections.abc import Sequence

Shape = tuple[int, ...]


class OpTypeError(ValueError):
    """An operator is used on shapes or types that it does not take. The caller adds the source line."""

    def __init__(self, rule: str, values: str, hint: str) -> None:
        super().__init__(f"{rule}: {values}; {hint}")
        self.rule, self.values, self.hint = rule, values, hint


def shapes_text(shapes: Sequence[Shape]) -> str:
    """Shapes as they stand in messages."""
    return " and ".join(str(list(shape)) for shape in shapes)
