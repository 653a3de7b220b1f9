"""Compile the Triton kernels for an A100 and an H100, without either; run by test_triton.py.

Usage: python triton_compile.py bf16 bfloat16
"""

import sys

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from sparseclust.sparse.engines import _kernels_triton as kernels
from sparseclust.sparse.engines import _triton

INTEGERS = ("n", "volume", "chunk", "size", "levels", "c_in", "c_out")
INTEGERS += ("stride_offset", "stride_in", "stride_out")
INDICES = {
    "*i32": ("rows", "table", "active", "splits", "found", "arranged"),
    "*i64": ("source", "target", "order", "signature", "keys", "steps", "counts", "ends"),
    "*fp32": ("partial",),
}
FEATS = ("feats", "grad", "weight", "out")


def build(kernel, number: str, constants: dict[str, object], *, target: int = 90, tile=None) -> None:
    """Compile for one kind of GPU; shared memory must leave room for a second program."""
    tile = tile or _triton.Tile(16, 16, 4, 3)
    types = dict.fromkeys(INTEGERS, "i32") | dict.fromkeys(FEATS, "*" + number)
    types |= {name: kind for kind, names in INDICES.items() for name in names}
    signature = {name: "constexpr" if name in constants else types[name] for name in kernel.arg_names}
    fixed = {(kernel.arg_names.index(name),): value for name, value in constants.items()}
    built = triton.compile(
        ASTSource(kernel, signature, fixed),
        target=GPUTarget("cuda", target, 32),
        options={"num_warps": tile.warps, "num_stages": tile.stages},
    )
    assert built.metadata.shared < 100_000, (kernel, constants, built.metadata.shared)


def main(number: str, dtype: str) -> None:
    feats = torch.empty(0, dtype=getattr(torch, dtype))
    for target, n in ((80, 64), (90, 32), (90, 256)):
        tile = _triton._tile(_triton.CONVOLVE, feats, n, n)
        constants = {"ROWS": _triton.ROWS, "COLUMNS": tile.columns, "CHANNELS": tile.rows, "stride_out": 1}
        constants |= {"STEPS": -(-n // tile.rows), "PRECISION": "ieee"}
        build(kernels.convolve, number, constants, target=target, tile=tile)
        tile = _triton._tile(_triton.WEIGHT_GRADIENT, feats, n, n)
        constants = {"VOLUMES": 32, "PAIRS": _triton.PAIRS[feats.itemsize], "PRECISION": "ieee"}
        constants |= {"ROWS": tile.rows, "COLUMNS": tile.columns}
        build(kernels.weight_gradient, number, constants, target=target, tile=tile)
    build(kernels.sum_chunks, number, {"VOLUMES": 32, "BLOCK": 1024})
    build(kernels.fill_table, number, {"VOLUMES": 32, "CHUNK": 1024})
    build(kernels.sign_rows, number, {"BLOCK": 1024})
    build(kernels.arrange_table, number, {"ROWS": _triton.ROWS})
    build(kernels.find_neighbours, number, {"BLOCK": 1024})
    build(kernels.list_pairs, number, {"BLOCK": 1024})


if __name__ == "__main__":
    main(*sys.argv[1:])
