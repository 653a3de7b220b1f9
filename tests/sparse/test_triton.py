"""The engine "triton": its cases under Triton's interpreter, its kernels compiled for absent GPUs."""

import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
import torch

from sparseclust._optional import available
from sparseclust.sparse import available_engines
from sparseclust.sparse.engines import _triton, select_engine, use_engine

CASES = Path(__file__).with_name("triton_cases.py")
COMPILE = Path(__file__).with_name("triton_compile.py")
OLD = available("triton") and tuple(map(int, metadata.version("triton").split(".")[:2])) < (3, 7)
needs_triton = pytest.mark.skipif(not available("triton"), reason="needs the package triton")


def run_cases(**environment: str) -> None:
    """Triton must know before it is imported whether to interpret: a process of its own."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(CASES)]
    done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@needs_triton
@pytest.mark.skipif(OLD, reason="older interpreters of Triton fail with numpy 2.4")
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


@needs_triton
@pytest.mark.parametrize(("number", "dtype"), [("bf16", "bfloat16"), ("fp32", "float32")])
def test_the_kernels_compile_for_gpus(tmp_path, number, dtype):
    environment = os.environ | {"TRITON_CACHE_DIR": str(tmp_path), "TRITON_INTERPRET": "0"}
    command = [sys.executable, str(COMPILE), number, dtype]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
