"""The kernels that take their sizes from the configuration, as the larger model has them.

The indexers and what contains them are written for the positions of flash: a list of scores has an element for every
fourth position, and pro has a million of them.
"""

import pytest

from kernels.dsv4 import config

from .kernel_layout import differences
from .sandbox import kernel_folder

SIZES = {"FLASH": config.PRO}
LIGHT = (
    "hc_pre", "hc_post", "rms_norm", "hc_head", "gate", "dispatch", "combine", "decode_indexer_compressor",
    "decode_compressor_ratio128",
)  # fmt: skip
HEAVY = (
    "qkv_proj_rope", "decode_compressor_ratio4", "decode_sparse_attn", "decode_sparse_attn_swa",
    "decode_sparse_attn_hca", "prefill_sparse_attn", "decode_attention_swa", "decode_attention_hca", "expert_shared",
    "expert_routed", "moe", "lm_head", "mtp_projection",
)  # fmt: skip


@pytest.mark.flash
@pytest.mark.parametrize("name", [*LIGHT, *(pytest.param(name, marks=pytest.mark.slow) for name in HEAVY)])
def test_kernel_is_right_at_the_sizes_of_pro(tmp_path, name):
    with kernel_folder(tmp_path, sizes=SIZES):
        import entries

        case = entries.case(name)
        assert case.specs and not any(differences(case.kernel, case.specs, case.golden, case.tolerance))


def test_pro_is_larger():
    assert (config.PRO.hidden_size, config.PRO.num_attention_heads, config.PRO.n_routed_experts) == (7168, 128, 384)
