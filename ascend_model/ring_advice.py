"""What would let a program that stopped on a full ring complete: sizes of the rings, or smaller scopes.

Everything is found by replaying the events of the program (`replay`, reading 'max_lag'): a size is advised
because the program completes with it, and is the smallest because it does not with half of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from ascend_model.replay import replay
from ascend_model.ring import (
    DEP_POOL_OVERFLOW,
    FLOW_CONTROL_DEADLOCK,
    HEAP_RING_DEADLOCK,
    OUTPUT_ALIGN_BYTES,
    RING_COUNT,
    SCOPE_DEADLOCK,
    OpenScope,
    RingFault,
    RingSizes,
    RingState,
    smallest_power_of_two,
)
from ascend_model.scope_cuts import MEASURES, instances_of, with_less
from ascend_model.stall import ALLOCATION_TIMEOUT_US
from ascend_model.workload import Workload

RESOURCE_OF_CODE = {
    SCOPE_DEADLOCK: "task_window",
    HEAP_RING_DEADLOCK: "heap_bytes",
    FLOW_CONTROL_DEADLOCK: "task_window",
    DEP_POOL_OVERFLOW: "dep_pool",
}
"""Which field of `RingSizes` a larger value of would have avoided the error."""

_LEAST = {"task_window": 4, "heap_bytes": 1024, "dep_pool": 4}
_MOST = {"task_window": 2**30, "heap_bytes": 2**40, "dep_pool": 2**30}
"""Windows and pools are 32-bit numbers of the runtime; 1 TiB is above any device's memory."""


@dataclass(frozen=True)
class ScopeShrink:
    """How much less one open scope would have to take for the present size to do; None: even nothing is too much.

    unit: 'tasks', 'bytes' or 'entries'. less: of this unit, in every instance of the scope.
    """

    site: str
    depth: int
    unit: str
    less: int | None

    def __str__(self) -> str:
        who = f"scope of {self.site} (depth {self.depth})" if self.depth else "root scope"
        if self.less is None:
            return f"no smaller {who} alone would let the present size do"
        return f"the present size would do if the {who} took {self.less} {self.unit} less"


@dataclass(frozen=True, kw_only=True)
class RingAdvice:
    """sizes: the smallest powers of two with which the program completes; None if there are none.

    otherwise: the error that no sizes avoid, '' if there is none. scopes: see `ScopeShrink`, outermost first.
    """

    resource: str
    ring: int
    sizes: RingSizes | None
    otherwise: str = ""
    scopes: tuple[ScopeShrink, ...] = ()

    def lines(self) -> tuple[str, ...]:
        """The advice as text lines, the size of the ring that was full first."""
        if self.sizes is None:
            return (f"No size of the rings would do: {self.otherwise}",)
        names = {"task_window": "task window", "heap_bytes": "heap", "dep_pool": "dep pool"}
        enough = getattr(self.sizes, self.resource)[self.ring]
        settings = " ".join(
            f"{variable}={','.join(map(str, values))}"
            for variable, values in (
                ("PTO2_RING_TASK_WINDOW", self.sizes.task_window),
                ("PTO2_RING_HEAP", self.sizes.heap_bytes),
                ("PTO2_RING_DEP_POOL", self.sizes.dep_pool),
            )
        )
        return (
            f"The smallest power of two with which this program passes is {enough} "
            f"({names[self.resource]} of ring {self.ring})",
            f"smallest sizes of all rings: {settings}",
            *map(str, self.scopes),
        )

    def as_dict(self) -> dict[str, object]:
        """The advice for a report."""
        sizes = self.sizes
        return {
            "ring": self.ring,
            "task_window": None if sizes is None else list(sizes.task_window),
            "heap_bytes": None if sizes is None else list(sizes.heap_bytes),
            "dep_pool": None if sizes is None else list(sizes.dep_pool),
            "otherwise": self.otherwise,
            "scopes": [
                {"site": scope.site, "depth": scope.depth, "unit": scope.unit, "less": scope.less}
                for scope in self.scopes
            ],
        }


def with_advice(fault: RingFault, workload: Workload, sizes: RingSizes) -> RingFault:
    """A fault of code 1 to 4 with what would avoid it; any other fault unchanged."""
    if not isinstance(fault.state, RingState) or fault.code not in RESOURCE_OF_CODE or fault.advice is not None:
        return fault
    if completes(workload, sizes):
        text = (
            f"{fault.message}. The present sizes are enough; the ring freed nothing for "
            f"{ALLOCATION_TIMEOUT_US / 1e6:g} s because the tasks that hold it run so long"
        )
        return RingFault(fault.code, text, fault.state, fault.samples)
    advice = ring_advice(fault, workload, sizes)
    return RingFault(fault.code, f"{fault.message}. {advice.lines()[0]}", fault.state, fault.samples, advice)


def ring_advice(fault: RingFault, workload: Workload, sizes: RingSizes) -> RingAdvice:
    """What would avoid `fault`, which stopped `workload` on rings of `sizes`."""
    assert isinstance(fault.state, RingState)
    resource, ring = RESOURCE_OF_CODE[fault.code], fault.state.ring
    grown, otherwise = _grown(workload, sizes)
    if grown is None:
        return RingAdvice(resource=resource, ring=ring, sizes=None, otherwise=otherwise)
    present = _with_size(grown, resource, ring, getattr(sizes, resource)[ring])
    scopes = tuple(_shrink(workload, present, resource, scope) for scope in fault.state.open_scopes)
    return RingAdvice(resource=resource, ring=ring, sizes=smallest_sizes(workload, grown), scopes=scopes)


def completes(workload: Workload, sizes: RingSizes) -> bool:
    """No ring stops the workload, however late tasks complete and retire."""
    return _fault(workload, sizes) is None


def smallest_sizes(workload: Workload, enough: RingSizes) -> RingSizes:
    """The smallest powers of two with which `workload` completes, which it does with `enough`."""
    rounded, _ = _grown(workload, _rounded_up(enough))
    sizes = enough if rounded is None else rounded
    while True:
        smaller = sizes
        for resource, ring in _entries():
            smaller = _with_size(smaller, resource, ring, _smallest(workload, smaller, resource, ring))
        if smaller == sizes:
            return sizes
        sizes = smaller


def _entries() -> Iterator[tuple[str, int]]:
    return ((resource, ring) for resource in _LEAST for ring in range(RING_COUNT))


def _fault(workload: Workload, sizes: RingSizes) -> RingFault | None:
    try:
        replay(workload, sizes, "max_lag", 0)
    except RingFault as fault:
        return fault
    return None


def _grown(workload: Workload, sizes: RingSizes) -> tuple[RingSizes | None, str]:
    """Sizes doubled where they do not do, up to completion; or None and the error that remains."""
    while (fault := _fault(workload, sizes)) is not None:
        resource = RESOURCE_OF_CODE.get(fault.code)
        if resource is None or not isinstance(fault.state, RingState):
            return None, f"the program also stops with error {fault.code} {fault.name}: {fault.message}"
        ring = fault.state.ring
        size = smallest_power_of_two(getattr(sizes, resource)[ring] + 1)
        if size > _MOST[resource]:
            return None, f"ring {ring} would need more than {_MOST[resource]}"
        sizes = _with_size(sizes, resource, ring, size)
    return sizes, ""


def _smallest(workload: Workload, sizes: RingSizes, resource: str, ring: int) -> int:
    """The smallest power of two of one size with which the workload, given the others, completes."""
    low = _LEAST[resource].bit_length() - 1
    high = getattr(sizes, resource)[ring].bit_length() - 1

    def does(exponent: int) -> bool:
        return completes(workload, _with_size(sizes, resource, ring, 1 << exponent))

    return 1 << _first(low, high, does)


def _first(low: int, high: int, does: Callable[[int], bool]) -> int:
    """The first number from `low` for which `does` holds, which it does for `high`."""
    while low < high:
        middle = (low + high) // 2
        if does(middle):
            high = middle
        else:
            low = middle + 1
    return high


def _shrink(workload: Workload, sizes: RingSizes, resource: str, scope: OpenScope) -> ScopeShrink:
    """By how much the instances of a scope have to shrink, with the rings at `sizes`."""
    unit, measure = MEASURES[resource]
    step = OUTPUT_ALIGN_BYTES if resource == "heap_bytes" else 1
    instances = instances_of(workload, scope.site, scope.depth)
    most = max((sum(measure(workload.tasks[task]) for task in tasks) for tasks in instances), default=0)

    def does(steps: int) -> bool:
        return completes(with_less(workload, instances, resource, steps * step), sizes)

    last = -(-most // step)
    if not last or not does(last):
        return ScopeShrink(scope.site, scope.depth, unit, None)
    return ScopeShrink(scope.site, scope.depth, unit, min(most, _first(1, last, does) * step))


def _rounded_up(sizes: RingSizes) -> RingSizes:
    return replace(sizes, heap_bytes=tuple(map(smallest_power_of_two, sizes.heap_bytes)),
                   dep_pool=tuple(map(smallest_power_of_two, sizes.dep_pool)))  # fmt: skip


def _with_size(sizes: RingSizes, resource: str, ring: int, size: int) -> RingSizes:
    values = list(getattr(sizes, resource))
    values[ring] = size
    changed: dict[str, tuple[int, ...]] = {resource: tuple(values)}
    return replace(sizes, **changed)  # type: ignore[arg-type]
