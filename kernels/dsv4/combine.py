"""Sum of the experts' outputs by token on one card.

Rows go to their token first, each expert to its own place, then a block for every four tokens adds them up: the order
of the sum is that of the experts, whatever the order in which rows arrived.
"""

from config import DECODE_BATCH, DECODE_SEQ, EP_WORLD_SIZE, FLASH, RECV_MAX

import pto_sim.language as pl

T = DECODE_BATCH * DECODE_SEQ
D = FLASH.hidden_size
N_LOCAL_EXPERTS = FLASH.n_routed_experts // EP_WORLD_SIZE

# tiles
ZERO_ROWS = 16 if D <= 4096 else 8  # a tile of zeros must fit UB
T_TILE = 4

assert (T * N_LOCAL_EXPERTS) % ZERO_ROWS == 0 and T % T_TILE == 0


@pl.jit.inline
def combine_ep1(
    recv_y: pl.Tensor[[N_LOCAL_EXPERTS, RECV_MAX, D], pl.BF16],
    recv_token: pl.Tensor[[N_LOCAL_EXPERTS, RECV_MAX], pl.INT32],
    recv_expert_count: pl.Tensor[[N_LOCAL_EXPERTS, 1], pl.INT32],
    sh: pl.Tensor[[T, D], pl.BF16],
    ffn_out: pl.Tensor[[T, D], pl.BF16],
):
    """ffn_out = sh + the rows of recv_y that belong to the token.

    recv_y: outputs of the experts, already weighted. recv_token: token of each row. recv_expert_count: rows of each
    expert. sh: output of the shared expert. ffn_out: written. The experts of a token must differ from one another.
    """
    routed_y_buf = pl.create_tensor([T, N_LOCAL_EXPERTS, D], dtype=pl.BF16)
    by_token = pl.reshape(routed_y_buf, [T * N_LOCAL_EXPERTS, D])
    recv_y_flat = pl.reshape(recv_y, [N_LOCAL_EXPERTS * RECV_MAX, D])
    with pl.at(level=pl.Level.CORE_GROUP, name_hint="combine_scatter"):
        for z in pl.range(T * N_LOCAL_EXPERTS // ZERO_ROWS):
            z0 = z * ZERO_ROWS
            by_token[z0 : z0 + ZERO_ROWS, :] = pl.full([ZERO_ROWS, D], dtype=pl.BF16, value=0.0)
        for s_e in pl.range(N_LOCAL_EXPERTS):
            s_rows = pl.cast(pl.read(recv_expert_count, [s_e, 0]), pl.INDEX)
            for s_r in pl.range(s_rows):
                s_t = pl.cast(pl.read(recv_token, [s_e, s_r]), pl.INDEX)
                s_from = s_e * RECV_MAX + s_r
                s_to = s_t * N_LOCAL_EXPERTS + s_e
                by_token[s_to : s_to + 1, :] = recv_y_flat[s_from : s_from + 1, :]

    for r_block in pl.spmd(T // T_TILE, name_hint="combine_reduce"):
        for r_i in pl.range(T_TILE):
            r_t = r_block * T_TILE + r_i
            r_sum = pl.cast(sh[r_t : r_t + 1, :], target_type=pl.FP32)
            for r_e in pl.pipeline(N_LOCAL_EXPERTS, stage=2):
                r_row = r_t * N_LOCAL_EXPERTS + r_e
                r_sum = pl.add(r_sum, pl.cast(by_token[r_row : r_row + 1, :], target_type=pl.FP32))
            ffn_out[r_t : r_t + 1, :] = pl.cast(r_sum, target_type=pl.BF16, mode="rint")
    return ffn_out


@pl.jit
def combine_test(
    recv_y: pl.Tensor[[N_LOCAL_EXPERTS, RECV_MAX, D], pl.BF16],
    recv_token: pl.Tensor[[N_LOCAL_EXPERTS, RECV_MAX], pl.INT32],
    recv_expert_count: pl.Tensor[[N_LOCAL_EXPERTS, 1], pl.INT32],
    sh: pl.Tensor[[T, D], pl.BF16],
    ffn_out: pl.Out[pl.Tensor[[T, D], pl.BF16]],
):
    """`combine_ep1` on its own."""
    combine_ep1(recv_y, recv_token, recv_expert_count, sh, ffn_out)
    return ffn_out


if __name__ == "__main__":
    from dispatch_script import combine_main

    combine_main(combine_test)
