"""The mixture of experts of one layer on one card, between the two halves of its hyper-connection.

Scopes: {hc_pre, gate} frees the mixed and the normalised activations and the gate's scores; {dispatch, expert_routed,
combine} frees the received rows, the experts' outputs and the sum by token, the largest buffers here. The shared expert
and hc_post stand between them. At the frame stays what passes from one to another: hc_post's weights, the quantised
activations, the routes, the shared expert's output and the sum.
"""

from combine import combine_ep1
from config import DECODE_BATCH, DECODE_SEQ, EP_WORLD_SIZE, FLASH, RECV_MAX
from dispatch import dispatch_ep1
from expert_shared import expert_shared
from gate import gate
from hc_post import hc_post
from hc_pre import hc_pre
from routed_tile import expert_routed

import pto_sim.language as pl

T = DECODE_BATCH * DECODE_SEQ
D = FLASH.hidden_size
TOPK = FLASH.num_experts_per_tok
VOCAB = FLASH.vocab_size
HC_MULT = FLASH.hc_mult
MIX_HC = FLASH.mix_hc
HC_DIM = FLASH.hc_dim
MOE_INTER = FLASH.moe_intermediate_size
N_LOCAL = FLASH.n_routed_experts // EP_WORLD_SIZE


@pl.jit.inline(auto_scope=False)
def moe_ep1(
    x_hc: pl.Tensor[[T, HC_MULT, D], pl.BF16],
    hc_ffn_fn: pl.Tensor[[MIX_HC, HC_DIM], pl.FP32],
    hc_ffn_scale: pl.Tensor[[3], pl.FP32],
    hc_ffn_base: pl.Tensor[[MIX_HC], pl.FP32],
    norm_w: pl.Tensor[[D], pl.BF16],
    gate_w: pl.Tensor[[N_LOCAL, D], pl.FP32],
    gate_bias: pl.Tensor[[N_LOCAL], pl.FP32],
    tid2eid: pl.Tensor[[VOCAB, TOPK], pl.INT32],
    input_ids: pl.Tensor[[T], pl.INT64],
    routed_w1: pl.Tensor[[N_LOCAL, MOE_INTER, D], pl.INT8],
    routed_w1_scale: pl.Tensor[[N_LOCAL, MOE_INTER], pl.FP32],
    routed_w3: pl.Tensor[[N_LOCAL, MOE_INTER, D], pl.INT8],
    routed_w3_scale: pl.Tensor[[N_LOCAL, MOE_INTER], pl.FP32],
    routed_w2: pl.Tensor[[N_LOCAL, D, MOE_INTER], pl.INT8],
    routed_w2_scale: pl.Tensor[[N_LOCAL, D], pl.FP32],
    shared_w1: pl.Tensor[[MOE_INTER, D], pl.INT8],
    shared_w1_scale: pl.Tensor[[MOE_INTER], pl.FP32],
    shared_w3: pl.Tensor[[MOE_INTER, D], pl.INT8],
    shared_w3_scale: pl.Tensor[[MOE_INTER], pl.FP32],
    shared_w2: pl.Tensor[[D, MOE_INTER], pl.INT8],
    shared_w2_scale: pl.Tensor[[D], pl.FP32],
    x_next: pl.Tensor[[T, HC_MULT, D], pl.BF16],
    layer_id: pl.Scalar[pl.INT32],
):
    """One feed-forward layer of a decode step; this card holds every expert that its tokens can go to.

    x_hc: the residual streams. hc_ffn_*: the layer's gate between streams, see `hc_pre`. norm_w, gate_*, tid2eid,
    input_ids, layer_id: see `gate`. routed_w*, shared_w*: see `expert_routed` and `expert_shared`. x_next: written.
    """
    post_ffn = pl.create_tensor([T, HC_MULT], dtype=pl.FP32)
    comb_ffn = pl.create_tensor([T, HC_MULT * HC_MULT], dtype=pl.FP32)
    x_norm_i8 = pl.create_tensor([T, D], dtype=pl.INT8)
    x_norm_scale = pl.create_tensor([T, 1], dtype=pl.FP32)
    indices = pl.create_tensor([T, TOPK], dtype=pl.INT32)
    weights = pl.create_tensor([T, TOPK], dtype=pl.FP32)
    with pl.scope():
        x_mixed = pl.create_tensor([T, D], dtype=pl.BF16)
        hc_pre(x_hc, hc_ffn_fn, hc_ffn_scale, hc_ffn_base, x_mixed, post_ffn, comb_ffn)

        # The gate's own output; the experts take the quantised rows.
        x_norm = pl.create_tensor([T, D], dtype=pl.BF16)  # pto-sim: ignore[PTO406] of the gate
        # fmt: off
        gate(
            x_mixed, norm_w, gate_w, gate_bias, layer_id, tid2eid, input_ids,
            x_norm, x_norm_i8, x_norm_scale, indices, weights,
        )
        # fmt: on

    sh = pl.create_tensor([T, D], dtype=pl.BF16)
    # fmt: off
    expert_shared(
        x_norm_i8, x_norm_scale, shared_w1, shared_w1_scale, shared_w3, shared_w3_scale, shared_w2, shared_w2_scale,
        sh,
    )
    # fmt: on

    ffn_out = pl.create_tensor([T, D], dtype=pl.BF16)
    with pl.scope():
        recv_x = pl.create_tensor([N_LOCAL, RECV_MAX, D], dtype=pl.INT8)
        recv_scale_dq = pl.create_tensor([N_LOCAL, RECV_MAX], dtype=pl.FP32)
        recv_weights = pl.create_tensor([N_LOCAL, RECV_MAX], dtype=pl.FP32)
        recv_token = pl.create_tensor([N_LOCAL, RECV_MAX], dtype=pl.INT32)
        recv_count = pl.create_tensor([N_LOCAL, 1], dtype=pl.INT32)
        # fmt: off
        dispatch_ep1(
            x_norm_i8, x_norm_scale, indices, weights, recv_x, recv_scale_dq, recv_weights, recv_token, recv_count,
        )
        # fmt: on

        recv_y = pl.create_tensor([N_LOCAL, RECV_MAX, D], dtype=pl.BF16)
        # fmt: off
        expert_routed(
            recv_x, recv_scale_dq, recv_weights, recv_count, routed_w1, routed_w1_scale, routed_w3, routed_w3_scale,
            routed_w2, routed_w2_scale, recv_y,
        )
        # fmt: on
        combine_ep1(recv_y, recv_token, recv_count, sh, ffn_out)

    hc_post(ffn_out, x_hc, post_ffn, comb_ffn, x_next)
    return x_next


@pl.jit(auto_scope=False)
def moe_ep1_test(
    x_hc: pl.Tensor[[T, HC_MULT, D], pl.BF16],
    hc_ffn_fn: pl.Tensor[[MIX_HC, HC_DIM], pl.FP32],
    hc_ffn_scale: pl.Tensor[[3], pl.FP32],
    hc_ffn_base: pl.Tensor[[MIX_HC], pl.FP32],
    norm_w: pl.Tensor[[D], pl.BF16],
    gate_w: pl.Tensor[[N_LOCAL, D], pl.FP32],
    gate_bias: pl.Tensor[[N_LOCAL], pl.FP32],
    tid2eid: pl.Tensor[[VOCAB, TOPK], pl.INT32],
    input_ids: pl.Tensor[[T], pl.INT64],
    routed_w1: pl.Tensor[[N_LOCAL, MOE_INTER, D], pl.INT8],
    routed_w1_scale: pl.Tensor[[N_LOCAL, MOE_INTER], pl.FP32],
    routed_w3: pl.Tensor[[N_LOCAL, MOE_INTER, D], pl.INT8],
    routed_w3_scale: pl.Tensor[[N_LOCAL, MOE_INTER], pl.FP32],
    routed_w2: pl.Tensor[[N_LOCAL, D, MOE_INTER], pl.INT8],
    routed_w2_scale: pl.Tensor[[N_LOCAL, D], pl.FP32],
    shared_w1: pl.Tensor[[MOE_INTER, D], pl.INT8],
    shared_w1_scale: pl.Tensor[[MOE_INTER], pl.FP32],
    shared_w3: pl.Tensor[[MOE_INTER, D], pl.INT8],
    shared_w3_scale: pl.Tensor[[MOE_INTER], pl.FP32],
    shared_w2: pl.Tensor[[D, MOE_INTER], pl.INT8],
    shared_w2_scale: pl.Tensor[[D], pl.FP32],
    x_next: pl.Out[pl.Tensor[[T, HC_MULT, D], pl.BF16]],
    layer_id: pl.Scalar[pl.INT32],
):
    """`moe_ep1` on its own."""
    # fmt: off
    moe_ep1(
        x_hc, hc_ffn_fn, hc_ffn_scale, hc_ffn_base, norm_w, gate_w, gate_bias, tid2eid, input_ids,
        routed_w1, routed_w1_scale, routed_w3, routed_w3_scale, routed_w2, routed_w2_scale,
        shared_w1, shared_w1_scale, shared_w3, shared_w3_scale, shared_w2, shared_w2_scale, x_next, layer_id,
    )
    # fmt: on
    return x_next


if __name__ == "__main__":
    from moe_script import main

    main(moe_ep1_test)
