"""Choosing an engine."""

import contextvars
import subprocess
import sys

import pytest
import torch

from sparseclust._optional import available
from sparseclust.sparse import (
    available_engines,
    register_engine,
    sparse_conv,
    submanifold_map,
    use_engine,
)
from sparseclust.sparse.engines import Pairs, TorchEngine, _registry, load_engine, select_engine
from sparseclust.testing import check_engine

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


@pytest.mark.parametrize("name", [name for name, state in available_engines().items() if state == "ok"])
def test_our_engines_keep_the_contract(name):
    if name != "triton":  # its own tests run it where it can run
        check_engine(load_engine(name))
        check_engine(load_engine(name), dtype=torch.float64, tolerance=1e-12)


class Transposed(TorchEngine):
    name = "transposed"

    def convolve(self, feats, weight, *rest):
        return super().convolve(feats, weight.transpose(1, 2), *rest)


class Mirrored(TorchEngine):
    name = "mirrored"

    def weight_gradient(self, *arguments):
        return super().weight_gradient(*arguments).flip(0)


class Unsorted(TorchEngine):
    name = "unsorted"

    def submanifold_pairs(self, coords, offsets):
        source, target, splits, _ = super().submanifold_pairs(coords.flip(0), offsets)
        return Pairs(len(coords) - 1 - source.flip(0), len(coords) - 1 - target.flip(0), splits)


class Merging(TorchEngine):
    name = "merging"

    def strided_pairs(self, coords, offsets, stride):
        return super().strided_pairs(torch.unique(coords, dim=0), offsets, stride)


class Rounding(TorchEngine):
    name = "rounding"

    def convolve(self, feats, *rest):
        return super().convolve(feats.bfloat16().to(feats.dtype), *rest)


@pytest.mark.parametrize(
    ("wrong", "promise"),
    [
        (Transposed(), r"convolve: .* weight \(k, in, out\): .* \(submanifold 3x3x3, sorted voxels\)"),
        (Mirrored(), r"weight_gradient: .* \(submanifold"),
        (Unsorted(), r"of the pairs, by offset and by the coordinates of the target \(submanifold"),
        (Merging(), r"(duplicate voxels are a ValueError|source of the pairs.*) \(.*strided"),
        (Rounding(), r"the difference has norm"),
    ],
)
def test_a_wrong_engine_is_named(wrong, promise):
    with pytest.raises(AssertionError, match="broken promise: .*" + promise):
        check_engine(wrong)


class Counting(TorchEngine):
    name = "counting"
    calls = 0

    def convolve(self, *arguments):
        self.calls += 1
        return super().convolve(*arguments)


def test_an_engine_of_ones_own(monkeypatch):
    monkeypatch.setattr(_registry, "_ENGINES", dict(_registry._ENGINES))
    engine = Counting()
    register_engine(engine, devices=["cpu"])
    assert available_engines()["counting"] == "ok"
    with use_engine("counting"):
        kernel_map = submanifold_map(torch.zeros(1, 4, dtype=torch.int32), 3)
        feats = torch.ones(1, 2, requires_grad=True)
        out = sparse_conv(feats, torch.ones(27, 2, 2), kernel_map)
        with pytest.raises(ValueError, match="runs on cpu"):
            select_engine(torch.device("cuda"))
    out.sum().backward()
    assert engine.calls == 2
    assert feats.grad.tolist() == [[2, 2]]
    with pytest.raises(ValueError, match="another name"):
        register_engine(Counting())
