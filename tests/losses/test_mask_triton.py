"""The mask term by Triton: its cases under Triton's interpreter, its kernels compiled for absent GPUs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from sparseclust._optional import available

CASES = Path(__file__).with_name("mask_triton_cases.py")
COMPILE = Path(__file__).with_name("mask_triton_compile.py")
needs_triton = pytest.mark.skipif(not available("triton"), reason="needs the package triton")


def run_cases(**environment: str) -> None:
    """Triton must know before it is imported whether to interpret: a process of its own."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(CASES)]
    done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@needs_triton
def test_every_case_under_the_interpreter() -> None:
    run_cases(TRITON_INTERPRET="1", CUDA_VISIBLE_DEVICES="")


@needs_triton
@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_every_case_on_the_device() -> None:
    run_cases(TRITON_INTERPRET="0")


@needs_triton
@pytest.mark.parametrize("number", ["fp32", "fp64"])
def test_the_kernels_compile_for_gpus(tmp_path: Path, number: str) -> None:
    environment = os.environ | {"TRITON_CACHE_DIR": str(tmp_path), "TRITON_INTERPRET": "0"}
    command = [sys.executable, str(COMPILE), number]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
