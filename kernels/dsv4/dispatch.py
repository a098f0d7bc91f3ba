"""Packing of tokens by expert on one card: from rows by token to the rows that each expert receives.

One task goes over the routes one by one, since a row's place depends on all routes before it. The INT8 values come
quantised from the gate; only rows, factors and weights move.
"""

from config import DECODE_BATCH, DECODE_SEQ, EP_RANK, EP_WORLD_SIZE, FLASH, RECV_MAX

import pto_sim.language as pl

T = DECODE_BATCH * DECODE_SEQ
D = FLASH.hidden_size
TOPK = FLASH.num_experts_per_tok
N_LOCAL_EXPERTS = FLASH.n_routed_experts // EP_WORLD_SIZE
FIRST_EXPERT = EP_RANK * N_LOCAL_EXPERTS


@pl.jit.inline
def dispatch_ep1(
    x_norm_i8: pl.Tensor[[T, D], pl.INT8],
    x_norm_scale: pl.Tensor[[T, 1], pl.FP32],
    indices: pl.Tensor[[T, TOPK], pl.INT32],
    weights: pl.Tensor[[T, TOPK], pl.FP32],
    recv_x: pl.Tensor[[N_LOCAL_EXPERTS, RECV_MAX, D], pl.INT8],
    recv_scale_dq: pl.Tensor[[N_LOCAL_EXPERTS, RECV_MAX], pl.FP32],
    recv_weights: pl.Tensor[[N_LOCAL_EXPERTS, RECV_MAX], pl.FP32],
    recv_token: pl.Tensor[[N_LOCAL_EXPERTS, RECV_MAX], pl.INT32],
    recv_expert_count: pl.Tensor[[N_LOCAL_EXPERTS, 1], pl.INT32],
):
    """Append every token to the rows of its experts.

    x_norm_i8, x_norm_scale: tokens, and the factor that turns each row back. indices, weights: experts of each token,
    and what their outputs are multiplied by. recv_x: written up to each expert's count, later rows keep what they held.
    recv_scale_dq, recv_weights, recv_token: factor, weight and token of every row; 0 behind an expert's last one.
    recv_expert_count: rows of each expert.
    """
    recv_x_flat = pl.reshape(recv_x, [N_LOCAL_EXPERTS * RECV_MAX, D])
    with pl.at(level=pl.Level.CORE_GROUP, name_hint="dispatch"):
        recv_scale_dq[:, :] = pl.full([N_LOCAL_EXPERTS, RECV_MAX], dtype=pl.FP32, value=0.0)
        recv_weights[:, :] = pl.full([N_LOCAL_EXPERTS, RECV_MAX], dtype=pl.FP32, value=0.0)
        recv_token[:, :] = pl.full([N_LOCAL_EXPERTS, RECV_MAX], dtype=pl.INT32, value=0)
        # A row of one element is no multiple of 32 bytes, so no tile can fill the counts.
        for c_e in pl.range(N_LOCAL_EXPERTS):
            pl.write(recv_expert_count, [c_e, 0], pl.cast(0, pl.INT32))
        for t in pl.range(T):
            for k in pl.range(TOPK):
                e = pl.cast(pl.read(indices, [t, k]) - FIRST_EXPERT, pl.INDEX)
                count = pl.read(recv_expert_count, [e, 0])
                slot = pl.cast(count, pl.INDEX)
                row = e * RECV_MAX + slot
                recv_x_flat[row : row + 1, :] = x_norm_i8[t : t + 1, :]
                pl.write(recv_scale_dq, [e, slot], pl.read(x_norm_scale, [t, 0]))
                pl.write(recv_weights, [e, slot], pl.read(weights, [t, k]))
                pl.write(recv_token, [e, slot], pl.cast(t, pl.INT32))
                pl.write(recv_expert_count, [e, 0], pl.cast(count + 1, pl.INT32))
    return recv_x


@pl.jit
def dispatch_test(
    x_norm_i8: pl.Tensor[[T, D], pl.INT8],
    x_norm_scale: pl.Tensor[[T, 1], pl.FP32],
    indices: pl.Tensor[[T, TOPK], pl.INT32],
    weights: pl.Tensor[[T, TOPK], pl.FP32],
    recv_x: pl.Out[pl.Tensor[[N_LOCAL_EXPERTS, RECV_MAX, D], pl.INT8]],
    recv_scale_dq: pl.Out[pl.Tensor[[N_LOCAL_EXPERTS, RECV_MAX], pl.FP32]],
    recv_weights: pl.Out[pl.Tensor[[N_LOCAL_EXPERTS, RECV_MAX], pl.FP32]],
    recv_token: pl.Out[pl.Tensor[[N_LOCAL_EXPERTS, RECV_MAX], pl.INT32]],
    recv_expert_count: pl.Out[pl.Tensor[[N_LOCAL_EXPERTS, 1], pl.INT32]],
):
    """`dispatch_ep1` on its own."""
    # fmt: off
    dispatch_ep1(
        x_norm_i8, x_norm_scale, indices, weights, recv_x, recv_scale_dq, recv_weights, recv_token, recv_expert_count,
    )
    # fmt: on
    return recv_x, recv_scale_dq, recv_weights, recv_token, recv_expert_count


if __name__ == "__main__":
    from dispatch_script import dispatch_main

    dispatch_main(dispatch_test)
