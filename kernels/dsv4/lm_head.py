"""The product of normalised hidden states and the vocabulary, for one card's share of it.

The vocabulary is cut into as many shares as cards work together; each computes the logits of its share for the tokens
of every card. A share is filled up with zero rows to whole tiles; the columns of the logits that would belong to them
stay unwritten. Exchanging hidden states and logits between the cards is not part of this file.
"""

from config import DECODE_TOKENS, FLASH, LM_HEAD_TP_SIZE

import pto_sim.language as pl

TP_SIZE = 2  # cards that share the vocabulary: upstream's check takes two, deployment LM_HEAD_TP_SIZE

T = DECODE_TOKENS
D = FLASH.hidden_size
VOCAB = FLASH.vocab_size

# tiles
LM_HEAD_K_TILE = 128
VOCAB_TILE = 512
T_TILE = 16

assert D % LM_HEAD_K_TILE == 0 and T % T_TILE == 0
assert VOCAB % TP_SIZE == 0 and TP_SIZE <= LM_HEAD_TP_SIZE

VOCAB_PER_TP = VOCAB // TP_SIZE
VOCAB_FULL_TILES = VOCAB_PER_TP // VOCAB_TILE
VOCAB_TAIL = VOCAB_PER_TP % VOCAB_TILE  # rows behind the last full tile
VOCAB_PADDED_PER_TP = (VOCAB_FULL_TILES + (1 if VOCAB_TAIL else 0)) * VOCAB_TILE


@pl.jit.inline
def lm_head(
    hidden_states: pl.Tensor[[T, D], pl.BF16],
    lm_head_weight: pl.Tensor[[VOCAB_PADDED_PER_TP, D], pl.BF16],
    logits_shard: pl.Out[pl.Tensor[[T, VOCAB_PADDED_PER_TP], pl.FP32]],
):
    """logits_shard = hidden_states . lm_head_weight^T.

    hidden_states: after the final norm. lm_head_weight: this card's rows of the vocabulary, filled up with zeros.
    logits_shard: written in the first VOCAB_PER_TP columns.
    """
    for t0 in pl.parallel(0, T, T_TILE):
        for vb in pl.parallel(VOCAB_FULL_TILES):
            v0 = vb * VOCAB_TILE
            with pl.at(level=pl.Level.CORE_GROUP, name_hint="lm_head"):
                v_x0 = hidden_states[t0 : t0 + T_TILE, 0:LM_HEAD_K_TILE]
                v_w0 = lm_head_weight[v0 : v0 + VOCAB_TILE, 0:LM_HEAD_K_TILE]
                v_acc = pl.matmul(v_x0, v_w0, b_trans=True, out_dtype=pl.FP32)
                for v_kb in pl.range(1, D // LM_HEAD_K_TILE):
                    v_k0 = v_kb * LM_HEAD_K_TILE
                    v_x = hidden_states[t0 : t0 + T_TILE, v_k0 : v_k0 + LM_HEAD_K_TILE]
                    v_w = lm_head_weight[v0 : v0 + VOCAB_TILE, v_k0 : v_k0 + LM_HEAD_K_TILE]
                    v_acc = pl.matmul_acc(v_acc, v_x, v_w, b_trans=True)
                logits_shard[t0 : t0 + T_TILE, v0 : v0 + VOCAB_TILE] = v_acc

        # Names of its own: a tile of another shape under the same name would be another value of that name.
        if VOCAB_TAIL != 0:
            r0 = VOCAB_FULL_TILES * VOCAB_TILE
            with pl.at(level=pl.Level.CORE_GROUP, name_hint="lm_head_tail"):
                r_x0 = hidden_states[t0 : t0 + T_TILE, 0:LM_HEAD_K_TILE]
                r_w0 = lm_head_weight[r0 : r0 + VOCAB_TAIL, 0:LM_HEAD_K_TILE]
                r_acc = pl.matmul(r_x0, r_w0, b_trans=True, out_dtype=pl.FP32)
                for r_kb in pl.range(1, D // LM_HEAD_K_TILE):
                    r_k0 = r_kb * LM_HEAD_K_TILE
                    r_x = hidden_states[t0 : t0 + T_TILE, r_k0 : r_k0 + LM_HEAD_K_TILE]
                    r_w = lm_head_weight[r0 : r0 + VOCAB_TAIL, r_k0 : r_k0 + LM_HEAD_K_TILE]
                    r_acc = pl.matmul_acc(r_acc, r_x, r_w, b_trans=True)
                logits_shard[t0 : t0 + T_TILE, r0 : r0 + VOCAB_TAIL] = r_acc
    return logits_shard


@pl.jit
def lm_head_test(
    hidden_states: pl.Tensor[[T, D], pl.BF16],
    lm_head_weight: pl.Tensor[[VOCAB_PADDED_PER_TP, D], pl.BF16],
    logits_shard: pl.Out[pl.Tensor[[T, VOCAB_PADDED_PER_TP], pl.FP32]],
):
    """`lm_head` on its own, on one card."""
    lm_head(hidden_states, lm_head_weight, logits_shard)
    return logits_shard


if __name__ == "__main__":
    from lm_head_script import main

    main(lm_head_test)
