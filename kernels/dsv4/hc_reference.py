"""NumPy references of the hyper-connection kernels and of the RMS norm, written from their equations."""

from collections.abc import MutableMapping

import numpy as np
from config import FLASH
from equations import BF16, f32, product, rms_norm, sigmoid, softmax

Tensors = MutableMapping[str, np.ndarray]


def hc_pre(
    x: np.ndarray, fn: np.ndarray, scale: np.ndarray, base: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """x_mixed [tokens, hidden] BF16, post [tokens, mult] and comb [tokens, mult * mult] FP32.

    x: [tokens, mult, hidden]. fn: [mult * (2 + mult), mult * hidden]. comb is brought close to a matrix whose rows and
    columns sum to one: softmax over rows, then columns, then 19 times rows and columns.
    """
    tokens, mult, _ = x.shape
    eps = np.float32(FLASH.hc_eps)
    mixes = product(rms_norm(x.reshape(tokens, -1), eps=FLASH.rms_norm_eps), fn.T)
    pre = sigmoid(mixes[:, :mult] * scale[0] + base[:mult]) + eps
    post = 2 * sigmoid(mixes[:, mult : 2 * mult] * scale[1] + base[mult : 2 * mult])
    comb = softmax((mixes[:, 2 * mult :] * scale[2] + base[2 * mult :]).reshape(tokens, mult, mult)) + eps
    comb /= comb.sum(axis=1, keepdims=True) + eps
    for _ in range(FLASH.hc_sinkhorn_iters - 1):
        comb /= comb.sum(axis=2, keepdims=True) + eps
        comb /= comb.sum(axis=1, keepdims=True) + eps
    mixed = np.einsum("th,thd->td", pre, f32(x))
    return mixed.astype(BF16), post.astype(np.float32), comb.reshape(tokens, -1)


def hc_head(x: np.ndarray, fn: np.ndarray, scale: np.ndarray, base: np.ndarray) -> np.ndarray:
    """[..., hidden] BF16, the streams of a token weighed. x: [..., mult, hidden]. fn: [mult, mult * hidden]."""
    *tokens, mult, hidden = x.shape
    mixes = product(rms_norm(x.reshape(*tokens, mult * hidden), eps=FLASH.rms_norm_eps), fn.T)
    weights = sigmoid(mixes * scale[0] + base) + np.float32(FLASH.hc_eps)
    return np.einsum("...h,...hd->...d", weights, f32(x)).astype(BF16)


def hc_post(x: np.ndarray, residual: np.ndarray, post: np.ndarray, comb: np.ndarray) -> np.ndarray:
    """[tokens, mult, hidden] BF16. comb: [tokens, mult * mult], from stream (row) to stream (column)."""
    tokens, mult, _ = residual.shape
    weights = f32(comb).reshape(tokens, mult, mult)
    mixed = np.matmul(weights.transpose(0, 2, 1), f32(residual))
    return (post[:, :, None] * f32(x)[:, None] + mixed).astype(BF16)


def golden_hc_pre(tensors: Tensors) -> None:
    """Fill x_mixed, post and comb."""
    found = hc_pre(tensors["x"], tensors["hc_fn"], tensors["hc_scale"], tensors["hc_base"])
    for name, value in zip(("x_mixed", "post", "comb"), found, strict=True):
        tensors[name][...] = value


def golden_hc_head(tensors: Tensors) -> None:
    """Fill y."""
    arguments = ("x_hc", "hc_head_fn", "hc_head_scale", "hc_head_base")
    tensors["y"][...] = hc_head(*(tensors[name] for name in arguments))


def golden_hc_post(tensors: Tensors) -> None:
    """Fill y."""
    tensors["y"][...] = hc_post(tensors["x"], tensors["residual"], tensors["post"], tensors["comb"])


def golden_rms_norm(tensors: Tensors) -> None:
    """Fill x_normed."""
    tensors["x_normed"][...] = rms_norm(tensors["x"], f32(tensors["norm_w"]), FLASH.rms_norm_eps).astype(BF16)
