"""Issues a matmul: extracts to L0A and L0B in turn, products into one accumulator."""

from __future__ import annotations

from ascend_model.isa import Core, Kind
from pto_sim.lowering.block_emitter import BlockEmitter
from pto_sim.lowering.cube_ops import CubeStep, cube_steps, l0_uses, matmul_shape
from pto_sim.lowering.lowered import L0Use
from pto_sim.numerics.l0_tiling import L0A_BYTES, L0B_BYTES
from pto_sim.program.model import OpSignature

ACCUMULATOR_BYTES = 4


class _L0Side:
    """L0A or L0B: two halves in turn where two tiles fit, else one.

    The product that last used each extract, oldest first; an extract waits for the one that used its half.
    """

    def __init__(self, capacity_bytes: int) -> None:
        self.capacity_bytes = capacity_bytes
        self.peak_bytes = 0
        self.users: list[int] = []

    def waits(self, nbytes: int) -> list[int]:
        depth = 2 if 2 * nbytes <= self.capacity_bytes else 1
        self.peak_bytes = max(self.peak_bytes, depth * nbytes)
        return self.users[-depth:][:1] if len(self.users) >= depth else []


class CubeEmission:
    """The cube's L0 state over a block. uses: distinct L0 products so far, in order of first use."""

    def __init__(self, emitter: BlockEmitter) -> None:
        self.emitter = emitter
        self.sides = {Kind.L1_TO_L0A: _L0Side(L0A_BYTES), Kind.L1_TO_L0B: _L0Side(L0B_BYTES)}
        self.uses: dict[L0Use, None] = {}

    @property
    def left_bytes(self) -> int:
        """Largest use of L0A."""
        return self.sides[Kind.L1_TO_L0A].peak_bytes

    @property
    def right_bytes(self) -> int:
        """Largest use of L0B."""
        return self.sides[Kind.L1_TO_L0B].peak_bytes

    def emit(
        self,
        signature: OpSignature,
        operands: list[object],
        accumulator: object,
        *,
        fresh: bool,
        bias: object | None = None,
    ) -> None:
        """One recorded matmul. operands: storage keys of A and B in L1. fresh: it starts a new accumulator.

        bias: storage key of the bias in L1; each output tile moves its window to the bias table first.
        """
        shape = matmul_shape(signature)
        self.uses.update(dict.fromkeys(l0_uses(signature.op, shape)))
        held = {Kind.L1_TO_L0A: -1, Kind.L1_TO_L0B: -1}
        for step in cube_steps(shape):
            for kind, nbytes, operand in self._extracts(step, operands):
                side = self.sides[kind]
                held[kind] = self.emitter.issue(
                    kind, Core.AIC, (nbytes,), deps=side.waits(nbytes), reads=[operand], site=signature.site
                )
                side.users.append(-1)
            table = [self._bias(step, bias, signature)] if bias is not None and step.starts else []
            product = self.emitter.issue(
                Kind.MMAD, Core.AIC, (step.m, step.k, step.n, shape.itemsize_bytes), deps=[*held.values(), *table],
                defines=accumulator if fresh else None, updates=None if fresh else accumulator, site=signature.site,
            )  # fmt: skip
            fresh = False
            for side in self.sides.values():
                side.users[-1] = product

    def _bias(self, step: CubeStep, bias: object, signature: OpSignature) -> int:
        return self.emitter.issue(
            Kind.L1_TO_BIAS, Core.AIC, (step.n * ACCUMULATOR_BYTES,), reads=[bias], site=signature.site
        )

    @staticmethod
    def _extracts(step: CubeStep, operands: list[object]) -> list[tuple[Kind, int, object]]:
        wanted = ((Kind.L1_TO_L0A, step.a_bytes, operands[0]), (Kind.L1_TO_L0B, step.b_bytes, operands[1]))
        return [(kind, nbytes, operand) for kind, nbytes, operand in wanted if nbytes is not None]
