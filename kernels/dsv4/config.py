"""Sizes of the DeepSeek-V4 models and of the deployment that the kernels are built for.

Source of every number: pypto-lib 9f31b7eb, models/deepseek/v4/config.py (which follows the model's config.json).
The kernels are built for `FLASH`.
"""

from dataclasses import dataclass, replace
from types import MappingProxyType


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """One model. Lengths are in elements or tokens; the storage fields at the end describe the checkpoint only.

    compress_ratios: one entry for each layer and one for each MTP layer; 0 is sliding-window attention (SWA), 4 is
    compressed sparse attention (CSA), 128 is heavily compressed attention (HCA).
    """

    name: str

    # attention
    hidden_size: int = 4096
    num_attention_heads: int = 64
    head_dim: int = 512
    qk_rope_head_dim: int = 64
    q_lora_rank: int = 1024
    o_lora_rank: int = 1024
    o_groups: int = 8
    sliding_window: int = 128
    rms_norm_eps: float = 1e-6
    vocab_size: int = 129280

    # experts
    moe_intermediate_size: int
    n_routed_experts: int
    n_shared_experts: int = 1
    num_experts_per_tok: int
    scoring_func: str = "sqrtsoftplus"
    routed_scaling_factor: float
    swiglu_limit: float

    # layers
    num_hidden_layers: int
    num_hash_layers: int
    num_nextn_predict_layers: int = 1
    compress_ratios: tuple[int, ...]

    # lightning indexer
    index_n_heads: int = 64
    index_head_dim: int = 128
    index_topk: int = 512

    # hyper-connections
    hc_mult: int = 4
    hc_sinkhorn_iters: int = 20
    hc_eps: float = 1e-6

    # rotary embedding (YaRN scaling applies to compressed layers only)
    max_position_embeddings: int
    rope_theta: float = 1e4
    compress_rope_theta: float = 1.6e5
    rope_factor: float = 16.0
    beta_fast: int = 32
    beta_slow: int = 1
    original_max_position_embeddings: int = 65536

    # checkpoint storage and serving limits; no kernel reads them
    dtype: str = "fp8"
    scale_fmt: str | None = "ue8m0"
    expert_dtype: str | None = None
    scale_dtype: str = "fp8"
    max_batch_size: int = 4

    @property
    def nope_head_dim(self) -> int:
        """Columns of a head that are not rotated."""
        return self.head_dim - self.qk_rope_head_dim

    @property
    def softmax_scale(self) -> float:
        return self.head_dim**-0.5

    @property
    def index_nope_head_dim(self) -> int:
        return self.index_head_dim - self.qk_rope_head_dim

    @property
    def index_weights_scale(self) -> float:
        return self.index_head_dim**-0.5 * self.index_n_heads**-0.5

    @property
    def hc_dim(self) -> int:
        """Width of all hyper-connection streams together."""
        return self.hc_mult * self.hidden_size

    @property
    def mix_hc(self) -> int:
        """Mixing coefficients of one token: pre, post and the hc_mult x hc_mult combination."""
        return (2 + self.hc_mult) * self.hc_mult


def _alternating(first_two: tuple[int, int], layers: int) -> tuple[int, ...]:
    """Ratios of `layers` layers plus one MTP layer: from layer 2 on, even layers are CSA and odd layers HCA."""
    return (*first_two, *(128 if layer % 2 else 4 for layer in range(2, layers)), 0)


FLASH = ModelConfig(
    name="flash",
    moe_intermediate_size=2048,
    n_routed_experts=256,
    num_experts_per_tok=6,
    routed_scaling_factor=1.5,
    swiglu_limit=10.0,
    num_hidden_layers=43,
    num_hash_layers=3,
    compress_ratios=_alternating((0, 0), 43),
    max_position_embeddings=8192,  # the checkpoint allows 1M; the deployed tables stop here
    expert_dtype="fp4",
)

PRO = ModelConfig(
    name="pro",
    hidden_size=7168,
    num_attention_heads=128,
    q_lora_rank=1536,
    o_groups=16,
    moe_intermediate_size=3072,
    n_routed_experts=384,
    num_experts_per_tok=6,
    routed_scaling_factor=2.5,
    swiglu_limit=10.0,
    num_hidden_layers=61,
    num_hash_layers=3,
    compress_ratios=_alternating((128, 128), 61),
    index_topk=1024,
    max_position_embeddings=1048576,  # kernels with lists or states of all positions are deployed for 16384
)

DEMO = replace(
    FLASH,
    name="demo",
    moe_intermediate_size=4096,
    n_routed_experts=16,
    num_experts_per_tok=2,
    routed_scaling_factor=1.0,
    swiglu_limit=0.0,
    num_hidden_layers=8,
    num_hash_layers=0,
    compress_ratios=(0, 0, 4, 128, 4, 128, 4, 0),
    max_position_embeddings=4096,
    compress_rope_theta=4e4,
    rope_factor=40.0,
    original_max_position_embeddings=0,
    expert_dtype=None,
)

PRESETS = MappingProxyType({preset.name: preset for preset in (DEMO, FLASH, PRO)})

# Deployment
DECODE_BATCH = 64
DECODE_SEQ = 2  # the token and its MTP draft
DECODE_TOKENS = DECODE_BATCH * DECODE_SEQ
PREFILL_BATCH = 1
PREFILL_SEQ = 128
BLOCK_SIZE = 128  # rows of a KV cache page
C4A_COMPRESSOR_BLOCK_SIZE = 4  # rows of a ratio-4 compressor state page
C128_COMPRESSOR_BLOCK_SIZE = 8  # rows of a ratio-128 compressor state page
LM_HEAD_TP_SIZE = 8

# INT8 quantisation and masking
INT8_SCALE_MAX = 127.0
INT8_AMAX_EPS = 1e-4  # floor of a row's largest magnitude, so that an all-zero row has a scale
FP32_NEG_INF = -3.4028234663852886e38  # the most negative finite FP32

# Expert parallelism
EP_WORLD_SIZE = 8
EP_RANK = 0
RECV_SAFETY = 4  # receive buffers hold this many times the mean load of an expert
RECV_MAX = (DECODE_TOKENS * FLASH.num_experts_per_tok // (FLASH.n_routed_experts // EP_WORLD_SIZE)) * RECV_SAFETY
# Rows that a routed expert takes at a time: 48 with gate and up in one task, or 32 in tasks apart.
ROUTED_TILE_ROWS = 48
FORWARD_LAYERS = 7  # of a forward pass where none is asked for
EP_ROUTING_GLOBAL = False  # True: the gate numbers the experts of all ranks
