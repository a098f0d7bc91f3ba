"""The qk_pv stage for JAX Pallas, run by its TPU interpret mode, with or without the race detector."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

from benchmarks.qk_pv_case import HEAD_TILE, HEADS, KEYS, SCALE, STORE_TILE, WIDTH, Case, Partial

TILES = HEAD_TILE // STORE_TILE


def qk_pv_kernel(q_ref, kv_ref, bias_ref, m_ref, l_ref, o_ref):
    """One (token, block, head tile): refs hold (1, HEAD_TILE, WIDTH), (1, 1, KEYS, WIDTH) and (1, 1, 1, KEYS)."""
    keys = kv_ref[0, 0]
    product = functools.partial(jax.lax.dot_general, preferred_element_type=jnp.float32)
    scores = product(q_ref[0], keys, (((1,), (1,)), ((), ()))) * SCALE + bias_ref[0, 0]
    m = jnp.max(scores, axis=1, keepdims=True)
    e = jnp.exp(scores - m)
    o = product(e.astype(jnp.bfloat16), keys, (((1,), (0,)), ((), ())))
    m_ref[0, :, 0] = m.reshape(TILES, STORE_TILE, 1)
    l_ref[0, :, 0] = jnp.sum(e, axis=1, keepdims=True).reshape(TILES, STORE_TILE, 1)
    o_ref[0, :, 0] = o.reshape(TILES, STORE_TILE, WIDTH)


@functools.partial(jax.jit, static_argnames="detect_races")
def qk_pv_call(q, kv, bias, *, detect_races: bool):
    """m, l, o of all tokens; one grid step for each (token, block, head tile)."""
    tokens, blocks = kv.shape[:2]
    stored = (tokens, HEADS // STORE_TILE, blocks, STORE_TILE)

    def result(width: int) -> tuple[jax.ShapeDtypeStruct, pl.BlockSpec]:
        spec = pl.BlockSpec((1, TILES, 1, STORE_TILE, width), lambda t, b, h: (t, h, b, 0, 0))
        return jax.ShapeDtypeStruct((*stored, width), jnp.float32), spec

    shapes, specs = zip(result(1), result(1), result(WIDTH), strict=True)
    return pl.pallas_call(
        qk_pv_kernel,
        grid=(tokens, blocks, HEADS // HEAD_TILE),
        in_specs=[
            pl.BlockSpec((1, HEAD_TILE, WIDTH), lambda t, b, h: (t, h, 0)),
            pl.BlockSpec((1, 1, KEYS, WIDTH), lambda t, b, h: (t, b, 0, 0)),
            pl.BlockSpec((1, 1, 1, KEYS), lambda t, b, h: (t, b, 0, 0)),
        ],
        out_shape=shapes,
        out_specs=specs,
        interpret=pltpu.InterpretParams(detect_races=detect_races),
    )(q, kv, bias)


def qk_pv(case: Case, *, detect_races: bool = False) -> Partial:
    """Partial attention of each (token, block); see qk_pv_case."""
    m, l, o = qk_pv_call(case.q, case.kv, case.bias[:, :, None, :], detect_races=detect_races)
    m, l = (np.asarray(x)[..., 0] for x in (m, l))
    return Partial(m, l, np.asarray(o))
