"""`pl.tensor`: operators under their tensor name, and shape queries."""

from __future__ import annotations

from typing import Any

from pto_sim.language import cube, indexed, operators, padding, selection, storage
from pto_sim.language.dialects import operators_of
from pto_sim.language.names import unknown_name
from pto_sim.language.operand_names import named_calls
from pto_sim.language.tensor_views import view
from pto_sim.language.tile import get_block_idx as get_block_idx
from pto_sim.language.tile import get_block_num as get_block_num
from pto_sim.language.tile import get_subblock_idx as get_subblock_idx


def dim(x: Any, axis: int) -> int:
    """Extent of one axis; negative axes count from the end."""
    return x.shape[axis]


_MODULES = (operators, storage, padding, cube, selection, indexed)
create = storage.create_tensor
_FORMS = operators_of("pl.tensor", _MODULES)
_FORMS["ci"] = _FORMS["arange"]
_FORMS["view"] = view
_FORMS.update(named_calls("pl.tensor", _FORMS))


def __getattr__(name: str) -> Any:
    if name in _FORMS:
        return _FORMS[name]
    raise unknown_name(name, _FORMS, "pl.tensor")
