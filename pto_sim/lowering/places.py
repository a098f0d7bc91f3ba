"""On which core an op was recorded: a lane of pl.split_aiv, or a function of one core. Elsewhere lowering decides."""

from __future__ import annotations

from typing import NamedTuple

from ascend_model.isa import Core
from pto_sim.program.model import OpSignature, Stream


class Place(NamedTuple):
    """unit: 'aic', 'aiv0', 'aiv1', or '' where lowering decides. half: the part of a tile that the lane works on."""

    unit: str
    half: str

    @property
    def core(self) -> Core:
        """The core of a placed op."""
        return CORES[self.unit]


ANYWHERE = Place("", "none")
CORES = {"aic": Core.AIC, "aiv0": Core.AIV0, "aiv1": Core.AIV1}


def places_of(stream: Stream, signatures: list[OpSignature]) -> tuple[Place, ...]:
    """The place of each op, from the marks of the stream."""
    found: list[Place] = []
    here = ANYWHERE
    for op in stream.ops:
        signature = signatures[op.signature]
        if signature.op == "core.mark":
            attrs = dict(signature.attrs)
            here = Place(str(attrs["unit"]), str(attrs["half"]))
        found.append(here)
    return tuple(found)
