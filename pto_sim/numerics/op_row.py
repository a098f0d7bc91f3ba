"""What the table says of one operator."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pto_sim.numerics.typing_rules import OperandType


@dataclass(frozen=True, kw_only=True)
class OpRow:
    """One operator.

    operands: 'tile', 'scalar' or 'tile_or_scalar' for each. variadic: the last operand may repeat. attrs: names of the
    keyword attributes that `function` takes besides profile. dtypes: element types of the main operand.
    shape_rule: a key of typing_rules.SHAPE_RULES. out_dtype_rule: 'same', 'target' (attr), 'accumulator',
    'accumulator_in' (operand 0 is the accumulator), 'index' (operand 1 is an index),
    'expanded' (that of operand 1), 'attr' (attr dtype), 'free'
    (that of operand 0, whatever the others have) or 'reinterpreted' (attr dtype, whatever the operands have).
    function(*operands, profile=, **attrs) takes [L, *shape] arrays and returns one. unit: 'V' vector or
    'M' cube. cost_class: the instructions that one pass over the tile issues. profiles_differ: `a2a3` and
    `cpu-sim` may give different bits. promise: 'exact' where bits are fixed by the rule in `note`.
    """

    name: str
    operands: tuple[str, ...]
    attrs: tuple[str, ...] = ()
    dtypes: tuple[str, ...]
    shape_rule: str
    out_dtype_rule: str = "same"
    function: Callable[..., np.ndarray]
    unit: str = "V"
    cost_class: tuple[str, ...]
    profiles_differ: bool = False
    variadic: bool = False
    promise: str = "exact"
    note: str = ""
    check: Callable[[Sequence[OperandType], Mapping[str, Any]], None] | None = None
