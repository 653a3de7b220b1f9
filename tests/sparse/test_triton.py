"""The engine "triton": its cases under Triton's interpreter, its kernels compiled for absent GPUs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from sparseclust._optional import available
from sparseclust.sparse import available_engines
from sparseclust.sparse.engines import _triton, select_engine, use_engine

CASES = Path(__file__).with_name("triton_cases.py")
needs_triton = pytest.mark.skipif(not available("triton"), reason="needs the package triton")


def run_cases(**environment: str) -> None:
    """Triton must know before it is imported whether to interpret: a process of its own."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(CASES)]
    done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@needs_triton
def test_every_case_under_the_interpreter():
    run_cases(TRITON_INTERPRET="1", CUDA_VISIBLE_DEVICES="")


@needs_triton
@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_every_case_on_the_device():
    run_cases(TRITON_INTERPRET="0")


@needs_triton
@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_a_device_the_engine_says_so():
    assert available_engines()["triton"] == "needs a CUDA device"
    with use_engine("triton"), pytest.raises(ValueError, match="runs on cuda"):
        select_engine(torch.device("cpu"))


@pytest.mark.parametrize("size", [2, 4])
@pytest.mark.parametrize(("n_in", "n_out"), [(1, 1), (4, 33), (64, 128), (5000, 7)])
def test_tiles_are_powers_of_two_that_triton_can_multiply(size, n_in, n_out):
    feats = torch.empty(0, dtype={2: torch.bfloat16, 4: torch.float32}[size])
    for tiles in (_triton.CONVOLVE, _triton.WEIGHT_GRADIENT):
        tile = _triton._tile(tiles, feats, n_in, n_out)
        for edge in (tile.rows, tile.columns, _triton.PAIRS[size]):
            assert edge >= 16
            assert edge & (edge - 1) == 0


# Kernels for an A100 and an H100, without either: Triton brings the whole compiler.
COMPILE = """
import sys, torch, triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from sparseclust.sparse.engines import _kernels_triton as kernels, _triton

def compile(kernel, types, constants, target, tile):
    signature = {name: types.get(name, "constexpr") for name in kernel.arg_names}
    place = kernel.arg_names.index
    source = ASTSource(kernel, signature, {(place(name),): value for name, value in constants.items()})
    options = {"num_warps": tile.warps, "num_stages": tile.stages}
    built = triton.compile(source, target=GPUTarget("cuda", target, 32), options=options)
    assert built.metadata.shared < 100_000, (kernel, constants, built.metadata.shared)

number, dtype = sys.argv[1:]
pointer, feats = "*" + number, torch.empty(0, dtype=getattr(torch, dtype))
for target, n in ((80, 64), (90, 32), (90, 256)):
    tile = _triton._tile(_triton.CONVOLVE, feats, n, n)
    types = dict.fromkeys(("feats", "weight", "out"), pointer)
    types |= dict.fromkeys(("rows", "table", "active"), "*i32")
    types |= dict.fromkeys(("n", "volume", "c_in", "c_out", "stride_offset", "stride_in"), "i32")
    constants = dict(stride_out=1, STEPS=-(-n // tile.rows), ROWS=_triton.ROWS, COLUMNS=tile.columns)
    constants |= dict(CHANNELS=tile.rows, PRECISION="ieee")
    compile(kernels.convolve, types, constants, target, tile)
    tile = _triton._tile(_triton.WEIGHT_GRADIENT, feats, n, n)
    types = dict(feats=pointer, grad=pointer, source="*i64", target="*i64", splits="*i32", partial="*fp32")
    types |= dict.fromkeys(("volume", "chunk", "c_in", "c_out"), "i32")
    constants = dict(VOLUMES=32, PAIRS=_triton.PAIRS[feats.itemsize], ROWS=tile.rows, COLUMNS=tile.columns)
    compile(kernels.weight_gradient, types, constants | {"PRECISION": "ieee"}, target, tile)
small = _triton.Tile(16, 16, 4, 3)
integers = dict.fromkeys(("n", "volume", "chunk", "size"), "i32")
for kernel, types, constants in (
    ("sum_chunks", {"partial": "*fp32", "splits": "*i32", "out": pointer}, {"VOLUMES": 32, "BLOCK": 1024}),
    ("fill_table", {"source": "*i64", "target": "*i64", "splits": "*i32", "table": "*i32"},
     {"VOLUMES": 32, "CHUNK": 1024}),
    ("sign_rows", {"table": "*i32", "signature": "*i64"}, {"BLOCK": 1024}),
    ("arrange_table", {"order": "*i64", **dict.fromkeys(("table", "rows", "arranged", "active"), "*i32")},
     {"ROWS": _triton.ROWS}),
):
    compile(getattr(kernels, kernel), integers | types, constants, 90, small)
"""


@needs_triton
@pytest.mark.parametrize(("number", "dtype"), [("bf16", "bfloat16"), ("fp32", "float32")])
def test_the_kernels_compile_for_gpus(tmp_path, number, dtype):
    environment = os.environ | {"TRITON_CACHE_DIR": str(tmp_path), "TRITON_INTERPRET": "0"}
    done = subprocess.run(
        [sys.executable, "-c", COMPILE, number, dtype], env=environment, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
