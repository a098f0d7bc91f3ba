"""Ring sizes as a script asks for them, in RunConfig or in runtime_cfg: checked, and as fields of RunOptions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pto_sim.program.errors import InputError
from pto_sim.program.options import RunOptions

RINGS = 4  # pypto: python/pypto/runtime/runner.py, _RING_DEPTH


def _power_of_two(least: int) -> Callable[[int], bool]:
    return lambda size: size >= least and size & (size - 1) == 0


# Name -> field of RunOptions, rule in words, rule.
_RULES: dict[str, tuple[str, str, Callable[[int], bool]]] = {
    "ring_task_window": ("ring_task_window", "a power of two from 4", _power_of_two(4)),
    "ring_heap": ("ring_heap_bytes", "a power of two of bytes from 1024", _power_of_two(1024)),
    "ring_dep_pool": ("ring_dep_pool", "from 4 to 2147483647", lambda size: 4 <= size < 2**31),
}


class RingSizeError(InputError, ValueError):
    """A ring size that pypto refuses with a ValueError (PTO018)."""


def check_ring_sizes(where: str, name: str, value: Any) -> int | list[int] | None:
    """One size for all rings, or a list of 4 with 0 for a default; None is none. Raises RingSizeError (PTO018).

    where: what the value belongs to, for the message. Rules: pypto, RunConfig._validate_ring_overrides.
    """
    if value is None:
        return None
    _, rule, fits = _RULES[name]
    each = isinstance(value, (list, tuple))
    sizes = list(value) if each else [value]
    whole = all(isinstance(size, int) and not isinstance(size, bool) for size in sizes)
    if not whole or (each and len(sizes) != RINGS) or not all(fits(size) or (each and size == 0) for size in sizes):
        raise RingSizeError(
            "PTO018",
            f"{where}: {name}={value!r}",
            hint=f"give {rule}, or a list of {RINGS} such sizes, one for each ring, 0 for its default",
        )
    return sizes if each else int(value)


def ring_fields(options: RunOptions, where: str, asked: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """The fields of RunOptions that the sizes in `asked` change; None and 0 keep what `options` have.

    A heap size that the user gave on the command line stands. Raises RingSizeError (PTO018).
    """
    changed: dict[str, tuple[int, ...]] = {}
    for name, (field, _, _) in _RULES.items():
        value = check_ring_sizes(where, name, asked.get(name))
        if value is None or (name == "ring_heap" and options.ring_heap_given):
            continue
        sizes = value if isinstance(value, list) else [value] * RINGS
        changed[field] = tuple(size or held for size, held in zip(sizes, getattr(options, field), strict=True))
    return changed
