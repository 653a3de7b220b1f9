"""Choosing an engine."""

import contextvars
import subprocess
import sys

import pytest
import torch

from sparseclust._optional import available
from sparseclust.sparse import available_engines, sparse_conv, submanifold_map, use_engine
from sparseclust.sparse.engines import load_engine, select_engine

CPU = torch.device("cpu")


def test_available_engines_are_ok_or_say_why_not():
    engines = available_engines()
    assert engines["torch"] == engines["numba"] == "ok"
    for name in engines:
        assert load_engine(name).name == name


def test_the_default_follows_the_device():
    assert select_engine(CPU).name == "numba"
    assert select_engine(torch.device("cuda")).name == ("triton" if available("triton") else "torch")
    assert select_engine(torch.device("meta")).name == "torch"


def test_use_engine_nests_and_ends_with_its_block():
    with use_engine("torch"):
        assert select_engine(CPU).name == "torch"
        with use_engine("numba"):
            assert select_engine(CPU).name == "numba"
        assert contextvars.copy_context().run(select_engine, CPU).name == "torch"
        assert contextvars.Context().run(select_engine, CPU).name == "numba"
    assert select_engine(CPU).name == "numba"


def test_unknown_engines_and_wrong_devices_are_refused():
    with pytest.raises(ValueError, match="available_engines"), use_engine("cudnn"):
        pass
    with use_engine("numba"), pytest.raises(ValueError, match="runs on cpu"):
        select_engine(torch.device("cuda"))


def test_importing_sparse_does_not_load_numba():
    code = "import sys, sparseclust.sparse; sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_missing_engine_says_how_to_install_it(monkeypatch):
    monkeypatch.setattr("sparseclust._optional.available", lambda package: False)
    kernel_map = submanifold_map(torch.zeros(1, 4, dtype=torch.int32), 3)
    with use_engine("spconv"), pytest.raises(ImportError, match=r"pip install 'sparseclust\[spconv\]'"):
        sparse_conv(torch.ones(1, 2), torch.ones(27, 2, 2), kernel_map)
