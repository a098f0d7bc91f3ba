"""Rotary tables of DeepSeek-V4: cos and sin of position times frequency.

Frequencies of the dim/2 pairs: f_i = theta^(-2i/dim). Layers with compression use a larger theta and YaRN: slow
pairs are slowed down by `rope_factor`, fast ones stay, with a linear ramp between the pairs that turn beta_fast and
beta_slow times over the original context. Source: the model's reference implementation, as in pypto-lib 9f31b7eb,
models/deepseek/v4/rope_tables.py.
"""

import math

import ml_dtypes
import numpy as np
from config import ModelConfig


def frequencies(config: ModelConfig, compress_ratio: int) -> np.ndarray:
    """Radians per position of each pair, [qk_rope_head_dim / 2] FP64."""
    dim = config.qk_rope_head_dim
    theta = config.compress_rope_theta if compress_ratio else config.rope_theta
    plain = theta ** (-np.arange(0, dim, 2, dtype=np.float64) / dim)
    context = config.original_max_position_embeddings if compress_ratio else 0
    if not context:
        return plain
    low = math.floor(_pair_that_turns(config.beta_fast, dim, theta, context))
    high = math.ceil(_pair_that_turns(config.beta_slow, dim, theta, context))
    low, high = max(low, 0), min(high, dim - 1)
    width = high - low if high > low else 1e-3
    slowed = np.clip((np.arange(dim // 2) - low) / width, 0.0, 1.0)
    return plain / config.rope_factor * slowed + plain * (1.0 - slowed)


def _pair_that_turns(turns: int, dim: int, theta: float, context: int) -> float:
    """The (fractional) pair index whose frequency makes `turns` full turns within `context` positions."""
    return dim * math.log(context / (turns * 2 * math.pi)) / (2 * math.log(theta))


def rope_rows(config: ModelConfig, compress_ratio: int, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """cos and sin at each position, [len(positions), qk_rope_head_dim] BF16; the second half repeats the first."""
    angles = np.outer(np.asarray(positions, np.float64), frequencies(config, compress_ratio))
    cos, sin = (np.concatenate([side, side], axis=1).astype(np.float32) for side in (np.cos(angles), np.sin(angles)))
    return cos.astype(ml_dtypes.bfloat16), sin.astype(ml_dtypes.bfloat16)


def rope_tables(config: ModelConfig, compress_ratio: int) -> tuple[np.ndarray, np.ndarray]:
    """`rope_rows` for every position of the model, [max_position_embeddings, qk_rope_head_dim] BF16 each."""
    return rope_rows(config, compress_ratio, np.arange(config.max_position_embeddings))
