"""From option texts to RunOptions, with one clear error for each that cannot be used."""

from __future__ import annotations

from pathlib import Path

from pto_sim.program.errors import InputError
from pto_sim.program.findings import SEVERITIES
from pto_sim.program.options import RunOptions

SCOPES = ("written", "flat", "auto")
PIPE_SLOTS = ("current", "seed")
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


def run_options(
    *,
    chip: str,
    numerics: str,
    profile_diff: bool,
    out: Path | None,
    json: Path | None,
    fail_on: str | None,
    timing: bool,
    checks: bool,
    seed: int | None,
    scopes: str,
    hoist: str,
    ring_heap: str | None,
    pipe_slots: str,
    backend: str,
    loop_limit: int | None,
) -> RunOptions:
    """The options of one run. Raises InputError PTO053 for a value that is not allowed."""
    from pto_sim.numerics.profiles import A2A3, CPU_SIM, PROFILES

    _one_of("--numerics", numerics, PROFILES)
    if profile_diff and numerics not in (A2A3, CPU_SIM):
        raise _refused("--profile-diff", f"with --numerics {numerics}", f"--numerics {A2A3} or {CPU_SIM}")
    _one_of("--scopes", scopes, SCOPES)
    _one_of("--pipe-slots", pipe_slots, PIPE_SLOTS)
    if loop_limit is not None and loop_limit < 1:
        raise _refused("--loop-limit", str(loop_limit), "a number from 1")
    if seed is not None and seed < 0:
        raise _refused("--seed", str(seed), "a number from 0")
    return RunOptions(
        chip=chip,
        numerics=numerics,
        profile_diff=profile_diff,
        # Block after block, so that the first op is the first in program order.
        lanes=1 if profile_diff else RunOptions().lanes,
        out_dir=out,
        json_path=json,
        fail_on=_codes(fail_on),
        timing=timing,
        checks=checks,
        seed=seed,
        scopes=scopes,
        hoist=_names(hoist),
        ring_heap_bytes=RunOptions().ring_heap_bytes if ring_heap is None else _ring_heap(ring_heap),
        ring_heap_given=ring_heap is not None,
        pipe_slots=pipe_slots,
        backend=backend,
        loop_limit=loop_limit,
    )


def _refused(option: str, value: str, allowed: str) -> InputError:
    return InputError("PTO053", f"{option} cannot be {value!r}", hint=f"give {allowed}")


def _one_of(option: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise _refused(option, value, f"one of {', '.join(allowed)}")


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _codes(text: str | None) -> tuple[str, ...] | None:
    """Finding codes; None keeps the default, 'none' is the empty set. A code that no check reports is refused.

    'info', 'warning' and 'error' stand for the codes of that severity or a higher one.
    """
    from pto_sim.checks.catalogue import CATALOGUE

    if text is None:
        return None
    codes: list[str] = []
    for name in () if text.strip() == "none" else _names(text):
        if name in SEVERITIES:
            least = SEVERITIES.index(name)
            codes += [code for code, kind in CATALOGUE.items() if SEVERITIES.index(kind.severity) >= least]
        elif name in CATALOGUE:
            codes.append(name)
        else:
            raise _refused(
                "--fail-on", name, f"'none', one of {', '.join(SEVERITIES)}, or some of {', '.join(CATALOGUE)}"
            )
    return tuple(codes)


def _ring_heap(text: str) -> tuple[int, int, int, int]:
    sizes = [_nbytes(part.strip()) for part in text.split(",")]
    if len(sizes) == 1:
        sizes *= 4
    if len(sizes) != 4 or not all(sizes):
        raise _refused("--ring-heap", text, "one size above 0, or four: one for each ring")
    return sizes[0], sizes[1], sizes[2], sizes[3]


def _nbytes(text: str) -> int:
    digits, unit = (text[:-1], text[-1].upper()) if text and text[-1].isalpha() else (text, "")
    if not (digits.isascii() and digits.isdigit()) or unit not in _UNITS:
        raise _refused("--ring-heap", text, "bytes such as 268435456, or 256M, 1G")
    return int(digits) * _UNITS[unit]
