"""Scopes, buffers and tasks of the kernels, read from their source: the layout that the memory figures rest on."""

import ast

import pytest

from .conftest import FOLDER

FILES = {"decode_sparse_attn.py": "sparse_attn"} | {
    f"decode_sparse_attn_{kind}.py": f"sparse_attn_{kind}" for kind in ("swa", "hca")
}
GATHER = {
    "decode_sparse_attn.py": ["build_valid", "gather_kv", "gather_kv_cmp"],
    "decode_sparse_attn_swa.py": ["build_valid", "gather_kv"],
    "decode_sparse_attn_hca.py": ["build_valid", "gather_kv"],
}
PARAMETERS = [
    "q", "ori_kv", "ori_block_table", "mtp_kv_overlay", "cmp_kv", "cmp_block_table", "cmp_sparse_indices", "attn_sink",
    "freqs_cos", "freqs_sin", "wo_a", "wo_b", "wo_b_scale", "attn_out",
]  # fmt: skip


def functions(file):
    tree = ast.parse((FOLDER / file).read_text())
    return tree, {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}


def scopes(function):
    return [
        n for n in function.body if isinstance(n, ast.With) and ast.unparse(n.items[0].context_expr) == "pl.scope()"
    ]


def created(statements, method="create_tensor"):
    """Names bound by pl.create_tensor directly in a list of statements."""
    return [
        n.targets[0].id for n in statements if isinstance(n, ast.Assign) and f"pl.{method}(" in ast.unparse(n.value)
    ]


def tasks(node):
    calls = [n for n in ast.walk(node) if isinstance(n, ast.Call) and ast.unparse(n.func) == "pl.spmd"]
    return [{k.arg: k.value for k in call.keywords}["name_hint"].value for call in calls]


@pytest.mark.parametrize("file", FILES)
def test_two_functions_without_automatic_scopes(file):
    _, found = functions(file)
    assert list(found) == [FILES[file], "sparse_attn_test"]
    decorators = [ast.unparse(f.decorator_list[0]) for f in found.values()]
    assert decorators == ["pl.jit.inline(auto_scope=False)", "pl.jit(auto_scope=False)"]
    for function in found.values():
        assert [a.arg for a in function.args.args] == PARAMETERS
    out = found["sparse_attn_test"].args.args[-1].annotation
    assert ast.unparse(out) == "pl.Out[pl.Tensor[[T, D], pl.BF16]]"


@pytest.mark.parametrize("file", FILES)
def test_entry_calls_in_place(file):
    call = functions(file)[1]["sparse_attn_test"].body[1]
    assert isinstance(call, ast.Expr) and ast.unparse(call.value) == f"{FILES[file]}({', '.join(PARAMETERS)})"


@pytest.mark.parametrize("file", FILES)
def test_three_sibling_scopes(file):
    function = functions(file)[1][FILES[file]]
    first, second, third = scopes(function)
    assert created(function.body) == ["sparse_kv", "sparse_bias", "attn_rope_stage", "o_packed"]
    assert created(first.body) == []
    assert created(second.body) == ["sparse_blk_mi", "sparse_blk_li", "sparse_blk_oi"]
    assert created(second.body, "reshape") == ["q_flat"]
    assert created(third.body) == [
        "rope_cos_il", "rope_sin_signed", "o_r", "o_r_amax_parts", "o_r_i8", "o_r_scale_dq",
    ]  # fmt: skip
    assert sorted(tasks(first)) == GATHER[file]
    assert tasks(second) == ["qk_pv", "merge_norm"]
    assert tasks(third) == ["rope_cs", "rope", "proj_a", "quant", "proj_b"]
    assert not any(isinstance(n, ast.With) for scope in (first, second, third) for b in scope.body for n in ast.walk(b))


@pytest.mark.parametrize("file", FILES)
def test_scratch_is_declared_in_front_of_its_first_task(file):
    function = functions(file)[1][FILES[file]]
    for statements in (function.body, *(scope.body for scope in scopes(function))):
        for name in created(statements):
            uses = [i for i, s in enumerate(statements) if any(getattr(n, "id", "") == name for n in ast.walk(s))]
            between = statements[uses[0] + 1 : uses[1]]
            assert all(isinstance(s, ast.Assign) for s in between), f"{name} is declared too early"


@pytest.mark.parametrize("file", FILES)
def test_only_the_first_variant_splits_its_last_task(file):
    assert ((FOLDER / file).read_text().count("pl.split(pl.SplitMode.UP_DOWN)") == 1) == (
        file == "decode_sparse_attn.py"
    )


@pytest.mark.parametrize("file", FILES)
def test_imports_are_the_language_and_the_sizes(file):
    tree, _ = functions(file)
    imports = [ast.unparse(n) for n in tree.body if isinstance(n, (ast.Import, ast.ImportFrom))]
    assert sorted(text.split(" import ")[0] for text in imports) == ["from config", "import pto_sim.language as pl"]


@pytest.mark.parametrize(
    ("file", "topk", "blocks", "padded"),
    [
        ("decode_sparse_attn.py", 640, 5, 640),
        ("decode_sparse_attn_swa.py", 128, 2, 256),
        ("decode_sparse_attn_hca.py", 192, 2, 256),
    ],
)
def test_sizes_at_flash(load_kernel, file, topk, blocks, padded):
    module = load_kernel(file, small=False).module
    assert (topk, blocks, padded) == (module.TOPK, module.SPARSE_BLOCKS, module.PADDED_TOPK)
    assert (module.T, module.D, module.H, module.HEAD_DIM, module.NOPE_DIM, module.O_GROUP_IN) == (
        128, 4096, 64, 512, 448, 4096,
    )  # fmt: skip
