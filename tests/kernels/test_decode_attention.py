"""Decode attention layers at small size: kernels against references, faults."""

import functools

import numpy as np
import pytest

from kernels.dsv4 import config

from .kernel_layout import differences
from .planted import Bench, each_kind_quick
from .sandbox import load
from .small_layers import SIZES

# Rows so large that the attention of a head rests on few of them, and a sink that weighs as much as some of these.
STRONGER = {"gamma_ckv": 2, "cmp_norm_w": 2, "kv_cache": 2, "cmp_kv": 2}
SINK = 4.0


def loaded(place, kind, start_pos=None):
    """The entry, its specs, the reference and the tolerance: what `differences` takes."""
    kernel, script = load(place, f"decode_attention_{kind}", "decode_attention_script", sizes=SIZES)
    specs = script.SPECS[kind](start_pos)
    return getattr(kernel, f"attention_{kind}_test"), specs, script.GOLDEN[kind], script.tolerance(specs)


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    """bench(kind): pages of the ring in another order; and where values by themselves make no difference, `STRONGER`
    ones. Made when it is first asked for."""

    @functools.cache
    def made(kind):
        def given(script, _):
            specs = script.SPECS[kind](None)
            reorder_pages(specs)
            if kind != "csa":
                strengthen(specs)
            return specs, script.GOLDEN[kind], script.tolerance(specs)

        module = f"decode_attention_{kind}"
        entry = f"attention_{kind}_test"
        return Bench(tmp_path_factory.mktemp(kind), module, entry, "decode_attention_script", SIZES, given)

    return made


def reorder_pages(specs):
    by_name = {spec.name: spec for spec in specs}
    table = by_name.get("block_table", by_name.get("ori_block_table"))
    slots = by_name["ori_slot_mapping"]
    table.init_value = table.create_tensor(0)[::-1].copy()
    pages, rows = np.divmod(slots.create_tensor(0), config.BLOCK_SIZE)
    slots.init_value = table.init_value[pages, 0] * config.BLOCK_SIZE + rows


def strengthen(specs):
    for spec in specs:
        if spec.name in STRONGER:
            spec.init_value = spec.create_tensor(0) * STRONGER[spec.name]
        elif spec.name == "attn_sink":
            spec.init_value = SINK


@pytest.mark.parametrize("kind", ["swa", "hca", pytest.param("csa", marks=pytest.mark.slow)])
def test_small_kernel_equals_its_reference(tmp_path, kind):
    assert not any(differences(*loaded(tmp_path, kind)))


@pytest.mark.parametrize("kind", ["swa", "hca", "csa"])
def test_small_kernel_passes_what_the_faults_are_planted_in(tmp_path, bench, kind):
    assert not any(bench(kind).said(tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "start_pos"), [("swa", 300), ("hca", 254), ("csa", 126)])
def test_small_kernel_equals_its_reference_at_one_position(tmp_path, kind, start_pos):
    assert not any(differences(*loaded(tmp_path, kind, start_pos)))


SPARSE = {"swa": "decode_sparse_attn_swa.py", "hca": "decode_sparse_attn_hca.py", "csa": "decode_sparse_attn.py"}
LIST = "pl.cast(WIN + S + o_c, pl.INT32)"
LAYER = {  # old and new text in the layer's own file
    "own rows from the ring, which has them not": ("if o_row == o_own_pos % WIN", "if o_row == o_own_pos"),
    "last token not committed": ("if w_row >= 0", "if w_row >= 0 and w_t < T - 1"),
    "rotation of the first token": ("r_pos = pl.cast(pl.read(position_ids, [r_t])",
                                    "r_pos = pl.cast(pl.read(position_ids, [r_b * S])"),
    "half of the window twice": ("(o_oldest + o_k) % WIN", "(o_oldest + o_k // 2) % WIN"),
    "other places committed": ("w_row = pl.cast(pl.read(ori_slot_mapping, [w_t])",
                               "w_row = pl.cast(pl.read(ori_slot_mapping, [T - 1 - w_t])"),
    "sin as cos": ("freqs_cos[r_pos : r_pos + 1, 0:ROPE_DIM]", "freqs_sin[r_pos : r_pos + 1, 0:ROPE_DIM]"),
    "first token's row for both": ("if o_k == o_own_pos % WIN", "if o_k == o_own_pos % WIN - o_own"),
    "token itself left out": ("if o_k <= o_pos", "if o_k < o_pos"),
}  # fmt: skip
ATTENTION = {  # in the sparse attention that the layer calls
    "page table not used": ("pl.cast(pl.read(ori_block_table, [g_b, 0]), pl.INDEX) * BLOCK_SIZE", "g_b * BLOCK_SIZE"),
    "missing softmax scale": ("pl.mul(a_raw, SOFTMAX_SCALE)", "pl.mul(a_raw, 1.0)"),
    "dropped sink": ("pl.add(m_sum, pl.exp(pl.sub(m_sink_col, m_max)))", "m_sum"),
    "row of the next token": ("g_step = g_step_base + (g_raw - WIN)", "g_step = g_step_base + (g_raw - WIN + 1) % S"),
}
COMPRESSION = {
    "row seen a token late": ("(o_pos + 1) // COMPRESS_RATIO", "o_pos // COMPRESS_RATIO"),
    "compressed row turned the other way": ("cmp_norm_w, cmp_cos, cmp_sin,", "cmp_norm_w, cmp_sin, cmp_cos,"),
    "row seen a token early": ("(o_pos + 1) // COMPRESS_RATIO", "(o_pos + 2) // COMPRESS_RATIO"),
}
OWN = {
    "swa": {"projections before the norm": ("qkv_proj_rope(\n            x_normed_t,",
                                            "qkv_proj_rope(\n            x_mixed,")},
    "hca": {
        **COMPRESSION,
        "compressed rows of other slots": (LIST, "pl.cast(WIN + S + o_c + 1, pl.INT32)"),
        "compressed row turned at the token": ("r_first - r_first % COMPRESS_RATIO", "r_first"),
        "values and scores exchanged": ("table, cmp_wkv, cmp_wgate, cmp_ape,", "table, cmp_wgate, cmp_wkv, cmp_ape,"),
    },
    "csa": {
        **COMPRESSION,
        "offset of the indexer left out": ("kv_seq_lens, WIN + S,", "kv_seq_lens, WIN,"),
        "compressed row turned at the token": ("c_first - c_first % COMPRESS_RATIO", "c_first"),
        "values and scores exchanged": ("cmp_wkv, cmp_wgate, cmp_ape,\n                cmp_norm_w",
                                        "cmp_wgate, cmp_wkv, cmp_ape,\n                cmp_norm_w"),
        "indexer turned at the window": ("r_first = pl.cast(pl.read(position_ids, [r_b * S])",
                                         "r_first = pl.cast(pl.read(position_ids, [r_b * S]) // 4 * 4"),
        "row listed a place late": ("pl.read(idx_topk_flat, [o_t, o_c])", "pl.read(idx_topk_flat, [o_t, o_c + 1])"),
    },
}  # fmt: skip
FAULTS = {
    kind: {
        **{name: (f"decode_attention_{kind}.py", *texts) for name, texts in {**OWN[kind], **LAYER}.items()},
        **{name: (SPARSE[kind], *texts) for name, texts in ATTENTION.items()},
    }
    for kind in SPARSE
}


@pytest.mark.plants("decode_attention_{kind}")
@pytest.mark.parametrize(("kind", "name"), each_kind_quick(FAULTS, 10))
def test_small_planted_fault_is_caught(tmp_path, bench, kind, name):
    assert any(bench(kind).said(tmp_path, FAULTS[kind][name]))
