"""The command line of the prefill attention kernels: build the inputs, run, compare."""

from collections.abc import Callable, Sequence
from typing import Any

from command_line import base_parser, run_script
from prefill_attention_fixtures import TOKENS, swa_specs
from prefill_attention_reference import Tensors, golden_prefill_attention_swa

from pto_sim.golden import ScalarSpec, TensorSpec, ratio_allclose, ratio_reldiff

SPECS: dict[str, Callable[[int, int], list[TensorSpec | ScalarSpec]]] = {"swa": swa_specs}
GOLDEN: dict[str, Callable[[Tensors], None]] = {"swa": golden_prefill_attention_swa}


def of_tokens(comparer: Callable[..., Any], num_tokens: int) -> Callable[..., Any]:
    """`comparer` of the first rows: those of padding are nobody's."""

    def compare(actual: Any, expected: Any, **context: Any) -> Any:
        return comparer(actual[:num_tokens], expected[:num_tokens], **context)

    compare.__name__ = f"{comparer.__name__} of the first {num_tokens} rows"
    return compare


def tolerance(kind: str, num_tokens: int) -> dict[str, Any]:
    """A comparer for each output of a kind of attention."""
    return {
        "x_out": of_tokens(ratio_reldiff(diff_thd=3e-3, pct_thd=0.005, max_diff_hd=1), num_tokens),
        "kv_cache": ratio_allclose(atol=1e-4, rtol=1e-2),
    }


def main(kernel: object, *, kind: str, argv: Sequence[str] | None = None) -> None:
    """Run `kernel` as the flags say. kind: 'swa', 'hca' or 'csa'."""
    flags = base_parser()
    flags.add_argument("--start-pos", type=int, default=0, help="position of the first token")
    flags.add_argument("--num-tokens", type=int, default=TOKENS, help="tokens that are not padding")
    args = flags.parse_args(argv)
    specs = SPECS[kind](args.start_pos, args.num_tokens)
    run_script(kernel, specs, GOLDEN[kind], tolerance(kind, args.num_tokens), args)
