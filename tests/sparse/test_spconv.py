"""The adapter to spconv, and spconv's own layers as an independent reference."""

import importlib

import pytest
import torch

from sparseclust.sparse import (
    SparseTensor,
    StridedConv,
    SubmanifoldConv,
    available_engines,
    sparse_conv,
    submanifold_map,
    use_engine,
)
from sparseclust.sparse.engines import Pairs, load_engine

STATE = available_engines()["spconv"]
pytestmark = pytest.mark.skipif(STATE != "ok", reason=f"spconv: {STATE}")


@pytest.fixture
def two_threads():
    """Two threads; the old number comes back afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


# Left alone, threads of spconv write to the same row at the same time.
def test_threads_do_not_matter(make_coords, two_threads):
    coords = make_coords(3, size=14, fill=0.15)
    feats, weight = torch.randn(len(coords), 8), torch.randn(27, 8, 16)
    kernel_map = submanifold_map(coords, 3)
    with use_engine("spconv"):
        found = sparse_conv(feats, weight, kernel_map)
    with use_engine("torch"):
        torch.testing.assert_close(found, sparse_conv(feats, weight, kernel_map), rtol=1e-4, atol=1e-4)
    assert torch.get_num_threads() == 2


def test_a_build_for_the_cpu_refuses_other_devices():
    if not importlib.import_module("spconv.cppconstants").CPU_ONLY_BUILD:
        pytest.skip("spconv is built for CUDA")
    kernel_map = submanifold_map(torch.zeros(1, 4, dtype=torch.int32), 3)
    pairs = Pairs(kernel_map.source, kernel_map.target, kernel_map.splits)
    feats, weight = torch.ones(1, 2, device="meta"), torch.ones(27, 2, 3, device="meta")
    with pytest.raises(ValueError, match="build for the CPU"):
        load_engine("spconv").convolve(feats, weight, pairs, 1, 13)


def own_layer(layer, size, coords, feats, weight):
    """Run a layer of spconv with our weights, its axes in its own order."""
    import spconv.pytorch as spconv  # absent where these tests skip

    with torch.no_grad():
        layer.weight.copy_(weight.view(*[size] * 3, *weight.shape[1:]).permute(4, 0, 1, 2, 3))
        y = layer(spconv.SparseConvTensor(feats, coords, [8, 8, 8], int(coords[:, 0].max()) + 1))
    order = torch.unique(y.indices, dim=0, return_inverse=True)[1].argsort()
    return y.indices[order], y.features[order]


@pytest.mark.parametrize("kind", ["submanifold", "strided"])
def test_our_layers_are_spconvs_layers(make_coords, kind):
    import spconv.pytorch as spconv  # absent where these tests skip

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    coords = torch.unique(make_coords(3), dim=0)
    feats = torch.randn(len(coords), 3)
    if kind == "submanifold":
        ours, size = SubmanifoldConv(3, 5), 3
        theirs = spconv.SubMConv3d(3, 5, 3, bias=False, algo=spconv.ConvAlgo.Native)
    else:
        ours, size = StridedConv(3, 5), 2
        theirs = spconv.SparseConv3d(3, 5, 2, stride=2, bias=False, algo=spconv.ConvAlgo.Native)
    y = ours(SparseTensor(feats, coords))
    cells, expected = own_layer(theirs, size, coords, feats, ours.weight)
    torch.set_num_threads(before)
    assert torch.equal(y.coords, cells)
    torch.testing.assert_close(y.feats, expected)
