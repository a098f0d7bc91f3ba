"""Where each recorded op stands in the loop nest of its stream.

A stream is a trace: every iteration of a loop is spelled out. Buffers and cross-core transfers belong to
the static program, so this module finds again which ops are one statement executed several times.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from pto_sim.program.model import OpSignature, Stream


@dataclass
class Body:
    """One executed iteration of a loop (or the whole stream: id 0).

    statement: identity of the loop body in the source, equal for all iterations except those of an unrolled
    loop. first, last: op indices of the iteration, `loop.iter` and the next loop mark excluded. trip: index of
    the iteration. loop: op index of its `loop.begin` (-1 for the stream).
    """

    id: int
    parent: int
    statement: tuple[object, ...]
    kind: str
    stage: int
    trip: int
    loop: int
    first: int
    last: int = -1
    seen: dict[object, int] = field(default_factory=dict)


@dataclass(frozen=True)
class LoopNest:
    """bodies: all executed bodies, parents before children. body_of: body of each op."""

    bodies: tuple[Body, ...]
    body_of: tuple[int, ...]

    def chain(self, body: int) -> list[int]:
        """The body and its enclosing bodies, innermost first."""
        found = []
        while body >= 0:
            found.append(body)
            body = self.bodies[body].parent
        return found


def scan_loops(stream: Stream, signatures: list[OpSignature]) -> LoopNest:
    """Build the loop nest of a stream from its loop.begin / loop.iter / loop.end marks.

    Raises ValueError if the marks do not nest, which is an error of the recorder.
    """
    bodies = [Body(0, -1, (), "stream", 1, 0, -1, 0)]
    body_of: list[int] = []
    open_loops: list[tuple[int, int, object, str, int]] = []  # (op, parent body, statement, kind, stage)
    current = 0
    trips: list[int] = []
    for index, op in enumerate(stream.ops):
        signature = signatures[op.signature]
        if signature.op == "loop.begin":
            body_of.append(current)
            attrs = dict(signature.attrs)
            parent = bodies[current]
            nth = parent.seen.get(op.signature, 0)
            parent.seen[op.signature] = nth + 1
            stage = attrs.get("stage") or 1
            open_loops.append((index, current, (op.signature, nth), str(attrs.get("kind", "range")), int(str(stage))))
            trips.append(0)
        elif signature.op == "loop.iter":
            if not open_loops:
                raise ValueError(f"loop.iter outside a loop at op {index}")
            begin, parent_id, key, kind, stage_count = open_loops[-1]
            if current != parent_id:
                bodies[current].last = index
            trip = trips[-1]
            trips[-1] += 1
            statement = (*bodies[parent_id].statement, key)
            if kind == "unroll":
                statement = (*statement, trip)
            current = len(bodies)
            bodies.append(Body(current, parent_id, statement, kind, stage_count, trip, begin, index + 1))
            body_of.append(current)
        elif signature.op == "loop.end":
            if not open_loops:
                raise ValueError(f"loop.end outside a loop at op {index}")
            _, parent_id, _, _, _ = open_loops.pop()
            trips.pop()
            if current != parent_id:
                bodies[current].last = index
            current = parent_id
            body_of.append(current)
        else:
            body_of.append(current)
    if open_loops:
        raise ValueError("a loop of the stream is not closed")
    bodies[0].last = len(stream.ops)
    return LoopNest(tuple(bodies), tuple(body_of))
