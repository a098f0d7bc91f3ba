"""Every finding that a check can report: code, title, severity. Codes are stable; each has a page in docs/findings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from pto_sim.program.findings import Finding


@dataclass(frozen=True)
class FindingKind:
    """One kind of finding and what to do about it. severity: 'info', 'warning' or 'error'."""

    code: str
    title: str
    severity: str
    hint: str

    def at(self, site: str, message: str, *, other: str = "", allocation: str = "") -> Finding:
        """A finding of this kind at `site` ('file:line')."""
        return Finding(self.code, self.title, self.severity, site, message, other, allocation, self.hint)


OUTPUT_NEVER_WRITTEN = FindingKind(
    "PTO401",
    "output never written",
    "warning",
    "assign with out[...] = value or pl.assemble: `out = value` only rebinds the name",
)
OUTPUT_PARTLY_WRITTEN = FindingKind(
    "PTO402",
    "output partly written",
    "info",
    "store the rest, or pass the tensor as pl.InOut if its old values are meant to stay",
)
INPUT_CHANGED = FindingKind(
    "PTO403",
    "input argument changed",
    "warning",
    "declare the parameter pl.InOut: the caller does not see what is written to an input",
)
INPUT_WRITTEN_UNCHANGED = FindingKind(
    "PTO404",
    "input argument written with its own bits",
    "info",
    "nothing changes for the caller; the store still costs time and orders tasks",
)
SCRATCH_NEVER_USED = FindingKind(
    "PTO405",
    "scratch allocated but never used",
    "warning",
    "remove the pl.create_tensor: it holds ring heap until its scope closes",
)
SCRATCH_NEVER_READ = FindingKind(
    "PTO406", "scratch written but never read", "warning", "remove the tensor and the stores to it, or read it"
)
WRITE_DROPPED = FindingKind(
    "PTO407",
    "write to an output dropped",
    "warning",
    "assign with out[...] = value: `out = value` binds the name to a new tensor and leaves the caller's buffer alone",
)
SCRATCH_READ_UNWRITTEN = FindingKind(
    "PTO408",
    "scratch read where nothing wrote",
    "warning",
    "write it first (pl.full, or init_value= of pl.create_tensor), or read less: valid_shape=, a narrower slice",
)
OUTPUT_READ_UNWRITTEN = FindingKind(
    "PTO409",
    "output parameter read where nothing wrote",
    "warning",
    "declare the parameter pl.InOut: the caller's values of a pl.Out parameter do not reach the device",
)
ROWS_READ_UNWRITTEN = FindingKind(
    "PTO410",
    "rows read where nothing wrote",
    "info",
    "nothing, if what is computed of these rows is masked or never used; else write them first",
)
UNDEFINED_INDEX = FindingKind(
    "PTO420",
    "index outside its source",
    "warning",
    "clamp the index, or mask the rows that have none: the device reads whatever is there",
)
PROFILES_PART = FindingKind(
    "PTO421",
    "the profiles part",
    "info",
    "see docs/numerics.md for the rule that differs; what follows may differ because of this operator",
)
WINDOW_TRIMMED = FindingKind(
    "PTO422",
    "window trimmed at the end of its tensor",
    "info",
    "nothing, if no task touches what is beyond the end; else narrow the slice with pl.min",
)
RACE_READ_AFTER_WRITE = FindingKind(
    "PTO430",
    "race: a read that may come before its write",
    "error",
    "let the runtime track the tensor (no manual_dep, no no_dep, no manual scope), or add deps=[id of the writer]",
)
RACE_WRITE_AFTER_READ = FindingKind(
    "PTO431",
    "race: a write that may come before an earlier read",
    "error",
    "the runtime orders no writer after a reader: add deps=[id of the reader] to the writer, or write elsewhere",
)
RACE_WRITE_AFTER_WRITE = FindingKind(
    "PTO432",
    "race: two writes in any order",
    "error",
    "declare the later output pl.InOut, or add deps=[id of the earlier writer], or write to separate slices",
)
RACE_BETWEEN_BLOCKS = FindingKind(
    "PTO433",
    "race between the blocks of a task",
    "error",
    "give each block elements of its own, add with atomic=, or end the task and start another",
)
RECYCLED_UNDER_TASK = FindingKind(
    "PTO434",
    "heap block may be reused under a task",
    "error",
    "create the tensor outside the scope that closes, or add deps= on a task of the scope that uses the tensor",
)
RACE_OF_EQUAL_BITS = FindingKind(
    "PTO435",
    "unordered access to bits that do not change",
    "info",
    "harmless as long as every writer writes what is there; it costs time all the same",
)
STALE_PREDICATE = FindingKind(
    "PTO436",
    "a predicate may read another value",
    "error",
    "add the id of the task that writes the operand to deps= of the launch; deps=[id of the launch] for a later writer",
)
BARRIER_OF_WAVES = FindingKind(
    "PTO437",
    "a barrier that blocks of a second wave never reach",
    "error",
    "launch at most one block for each core, pl.spmd(pl.system.available_cluster_count()), and loop inside the block",
)
RACE_BETWEEN_CORES = FindingKind(
    "PTO438",
    "race between the cores of a block",
    "error",
    "give each vector core elements of its own, or order the cores: pass a tile, pl.system.sync_set and sync_wait, "
    "or end the task and start another",
)
WRITERS_CHAINED = FindingKind(
    "PTO440",
    "writers of separate parts wait for each other",
    "info",
    "pass each task its slice, made in the orchestration, or use pl.parallel, or pl.no_dep with deps= for the readers",
)
FALSE_OVERLAP = FindingKind(
    "PTO441",
    "views that cannot be compared",
    "info",
    "use views of one shape and layout for the tensor, or pl.no_dep for the one that needs no order",
)
MANUAL_DEP_VIEW = FindingKind(
    "PTO442",
    "a view brings back the edges of a manual_dep tensor",
    "info",
    "pl.no_dep(view) or no_dep_args= for that launch, or pass the whole tensor",
)
LOOP_KEEPS_HEAP = FindingKind(
    "PTO443",
    "a loop that frees nothing",
    "info",
    "open `with pl.scope():` around the body of the loop, or create the tensors once before it",
)
SCOPES_SHARE_RING = FindingKind(
    "PTO444",
    "scopes too deep for a ring of their own",
    "warning",
    "close a scope around it, or move the tasks between the scopes into the innermost one: four depths have rings",
)
EARLY_RESOLVE_WITHOUT_EFFECT = FindingKind(
    "PTO445",
    "allow_early_resolve without effect",
    "info",
    "flag every producer of the consumer, or remove the flag",
)
SUPPRESSION_WITHOUT_REASON = FindingKind(
    "PTO450",
    "suppression without a reason",
    "warning",
    "say why behind the bracket: # pto-sim: ignore[PTO435] orders the ring",
)
SUPPRESSION_UNUSED = FindingKind(
    "PTO451",
    "suppression that meets no finding",
    "info",
    "remove the comment, or move it to the line that the report names",
)
_KINDS = (
    OUTPUT_NEVER_WRITTEN,
    OUTPUT_PARTLY_WRITTEN,
    INPUT_CHANGED,
    INPUT_WRITTEN_UNCHANGED,
    SCRATCH_NEVER_USED,
    SCRATCH_NEVER_READ,
    WRITE_DROPPED,
    SCRATCH_READ_UNWRITTEN,
    OUTPUT_READ_UNWRITTEN,
    ROWS_READ_UNWRITTEN,
    UNDEFINED_INDEX,
    PROFILES_PART,
    WINDOW_TRIMMED,
    RACE_READ_AFTER_WRITE,
    RACE_WRITE_AFTER_READ,
    RACE_WRITE_AFTER_WRITE,
    RACE_BETWEEN_BLOCKS,
    RECYCLED_UNDER_TASK,
    RACE_OF_EQUAL_BITS,
    STALE_PREDICATE,
    BARRIER_OF_WAVES,
    RACE_BETWEEN_CORES,
    WRITERS_CHAINED,
    FALSE_OVERLAP,
    MANUAL_DEP_VIEW,
    LOOP_KEEPS_HEAP,
    SCOPES_SHARE_RING,
    EARLY_RESOLVE_WITHOUT_EFFECT,
    SUPPRESSION_WITHOUT_REASON,
    SUPPRESSION_UNUSED,
)

CATALOGUE: Mapping[str, FindingKind] = MappingProxyType({kind.code: kind for kind in _KINDS})
