"""Names that are not in `pl`: unknown ones, and those of the language that pto-sim does not model."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterable

from pto_sim.program.errors import KernelError, PtoError, UnsupportedError
from pto_sim.program.model import Site

# Names of pypto.language that are known and not modelled (pypto: python/pypto/language/__init__.py).
_NOT_MODELLED_TEXT = """
AtomicType MaskPattern Mem MemRef PadValue PipeType ScopeMode Tile TileView TensorView Tuple Array
abs_ addc adds addsc aic_gather aiv_shard and_ array arange_ axpy barrier batch_matmul bind_dynamic
ci cluster cmp cmps col_argmax col_argmin col_expand_expdif col_prod cond cos create_l1 dump_tag
expand_clone expands extern fillpad_expand fillpad_inplace fmod fmods func_attr function
gather_compare gather_mask gather_row gatherb gemv gemv_acc gemv_bias incore inline lrelu
matmul_bias matmul_mx mgather move mrgsort mscatter muls no_dep not_ opaque or_ paged_gather
part_add part_max part_min part_mul prefetch prelu program random rdivs reinterpret_view relu rem
rems row_argmax row_argmin row_expand_expdif row_prod scatter scatter_mask scatter_update sel sels
shl shls shr shrs sin sort32 split_aiv spmd_submit static_assert static_print subc submit subs subsc
syncall system tfree_to_aic tfree_to_aiv tpop_from_aic tpop_from_aiv tpush_to_aic tpush_to_aiv
transpose_view tri view while_ xor yield_
"""
NOT_MODELLED = frozenset(_NOT_MODELLED_TEXT.split())


class UnknownNameError(KernelError, AttributeError):
    """`pl.x` where there is no x."""


class UnmodelledNameError(UnsupportedError, AttributeError):
    """`pl.x` where x is part of the language and not modelled."""


def unknown_name(name: str, known: Iterable[str], prefix: str = "pl") -> PtoError:
    """The error for `pl.<name>`. A dunder name gives a plain AttributeError-like error, for introspection."""
    site = _author_site()
    if name in NOT_MODELLED:
        return UnmodelledNameError(f"{prefix}.{name}", site=site, hint="see `pto-sim ops` for what is modelled")
    close = difflib.get_close_matches(name, [n for n in known if not n.startswith("_")], n=1)
    return UnknownNameError(
        "PTO201",
        f"{prefix} has no name '{name}'",
        site=site,
        hint=f"did you mean {prefix}.{close[0]}?" if close else "see `pto-sim ops` for the operators",
    )


def _author_site() -> Site | None:
    frame = sys._getframe(3)
    if frame is None or frame.f_code.co_filename.startswith("<"):
        return None
    return Site(frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name)
