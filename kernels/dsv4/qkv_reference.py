"""NumPy reference of the query and latent projections, written from their equations."""

from collections.abc import MutableMapping
from dataclasses import dataclass

import numpy as np
from config import FLASH
from equations import BF16, f32, product, rms_norm, rope, w8a8
from quantization import quantize_rows


@dataclass(frozen=True)
class Projected:
    """q: [tokens, heads, head_dim] BF16. kv: [tokens, head_dim] BF16. qr: [tokens, rank] INT8 with the factors
    qr_scale [tokens, 1]."""

    q: np.ndarray
    kv: np.ndarray
    qr: np.ndarray
    qr_scale: np.ndarray


def qkv(
    x: np.ndarray,
    wq_a: np.ndarray,
    wq_b: np.ndarray,
    wq_b_scale: np.ndarray,
    wkv: np.ndarray,
    rope_cos: np.ndarray,
    rope_sin: np.ndarray,
    gamma_cq: np.ndarray,
    gamma_ckv: np.ndarray,
) -> Projected:
    """x: [tokens, hidden]. Weights are [inputs, outputs]. rope_cos, rope_sin: [tokens, columns]; half of them count."""
    tokens, eps = len(x), FLASH.rms_norm_eps
    pairs = rope_cos.shape[1] // 2
    cos, sin = rope_cos[:, :pairs], rope_sin[:, :pairs]
    qr, factors = quantize_rows(rms_norm(product(x, wq_a), f32(gamma_cq), eps))
    heads = w8a8(qr, factors, wq_b.T, wq_b_scale).reshape(tokens, -1, FLASH.head_dim)
    q = rope(rms_norm(heads, eps=eps), cos[:, None], sin[:, None])
    kv = rope(rms_norm(product(x, wkv), f32(gamma_ckv), eps), cos, sin)
    return Projected(q.astype(BF16), kv.astype(BF16), qr, factors[:, None])


def golden_qkv_proj_rope(tensors: MutableMapping[str, np.ndarray]) -> None:
    """Fill q, kv, qr and qr_scale."""
    names = ("x", "wq_a", "wq_b", "wq_b_scale", "wkv", "rope_cos", "rope_sin", "gamma_cq", "gamma_ckv")
    found = qkv(*(tensors[name] for name in names))
    for name in ("q", "kv", "qr", "qr_scale"):
        tensors[name][...] = getattr(found, name)
