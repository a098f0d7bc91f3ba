"""Stacks of all layers' tensors as specs, with one layer at a time in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from pto_sim.golden.specs import TensorSpec
from pto_sim.program.stacked import Stack, StackedArray

LayerSpecs = Callable[[int], Mapping[str, TensorSpec]]
Along = Callable[[int, Mapping[str, np.ndarray]], None]


class LayerStacks:
    """The tensors of many layers, each name's stacked along the first axis.

    specs_of: gives a layer's specs by name; those of other names in it are ignored. seed_of: the seed of a layer's
    tensors, from the run's. along: called once for each layer when its tensors have been made and before a kernel has
    seen them, with arrays by name; those that the kernel writes are copies. A reference can go along with the run
    there, on the same weights, which exist once and go when the layer is over.
    """

    def __init__(
        self, specs_of: LayerSpecs, along: Along | None = None, seed_of: Callable[[int, int], int] | None = None
    ) -> None:
        self._specs_of, self._along = specs_of, along
        self._seed_of = seed_of or (lambda seed, layer: seed * 1000 + layer)
        self._layers: dict[str, Sequence[int]] = {}
        self._stacks: dict[str, Stack] = {}
        self._seen: set[int] = set()
        self._seed = 0

    def stacked(self, name: str, layers: Sequence[int]) -> TensorSpec:
        """The spec of the stack of `name` over `layers`, in that order. With is_output it is written in place."""
        spec = self._specs_of(layers[0])[name]
        shape = tuple(spec.shape)
        self._layers[name] = layers

        def start(seed: int) -> StackedArray:
            self._seed = seed
            stack = self._stacks[name] = Stack(
                len(layers),
                shape,
                spec.numpy_dtype,
                lambda part: self._make(layers[part]),
                kept=spec.is_output,
            )
            return stack.array()

        return TensorSpec(name, [len(layers) * shape[0], *shape[1:]], spec.dtype, start, is_output=spec.is_output)

    def of(self, layer: int) -> dict[str, Stack]:
        """The stacks that have a part of `layer`, by name."""
        return {name: stack for name, stack in self._stacks.items() if layer in self._layers[name]}

    def part(self, name: str, layer: int) -> np.ndarray:
        """What the stack of `name` holds for `layer` now."""
        return self._stacks[name].part(list(self._layers[name]).index(layer))

    def _make(self, layer: int) -> None:
        """Fill what is missing of a layer, and let the reference go along."""
        specs, seed = self._specs_of(layer), self._seed_of(self._seed, layer)
        stacks = self.of(layer)
        for name, stack in stacks.items():
            part = list(self._layers[name]).index(layer)
            if not stack.is_made(part):
                stack.fill(part, specs[name].initial_array(seed))
        if self._along is None or layer in self._seen:
            return
        self._seen.add(layer)
        arrays = {}
        for name, stack in stacks.items():
            array = self.part(name, layer)
            arrays[name] = array.copy() if stack.kept else array
            arrays[name].flags.writeable = stack.kept
        self._along(layer, arrays)
