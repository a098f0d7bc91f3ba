"""`-m MODULE` of `pto-sim run`: as with `python -m`, everything behind the module's name belongs to the module."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand


class ModuleCommand(TyperCommand):
    """A command whose option -m ends its own options."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """See click: `--` is put behind `-m MODULE`, so that options after it are left alone."""
        place = self._module_place(args)
        if place is not None:
            args = [*args[: place + 2], "--", *args[place + 2 :]]
        parsed: list[str] = super().parse_args(ctx, args)
        return parsed

    def _module_place(self, args: list[str]) -> int | None:
        """Index of -m among the options of the command; None if a script comes first, or nothing behind it."""
        flags = {name for option in self.params if getattr(option, "is_flag", False) for name in option.opts}
        place = 0
        while place + 1 < len(args) and args[place].startswith("-") and args[place] != "--":
            if args[place] == "-m":
                return place
            alone = args[place] in flags or "=" in args[place]
            place += 1 if alone else 2
        return None
