"""The adapter to spconv, and spconv's own layers as an independent reference."""

import pytest
import torch

from sparseclust.backbones import UResNet
from sparseclust.sparse import (
    SparseTensor,
    StridedConv,
    SubmanifoldConv,
    available_engines,
    sparse_conv,
    submanifold_map,
    use_engine,
)

STATE = available_engines()["spconv"]
pytestmark = pytest.mark.skipif(STATE != "ok", reason=f"spconv: {STATE}")


@pytest.fixture(params=[1, 2])
def threads(request):
    """Run with so many threads; the old number comes back afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def results(net, feats, coords, engine):
    """Output, gradient of the input and gradients of all parameters."""
    feats = feats.clone().requires_grad_()
    with use_engine(engine):
        out = net(SparseTensor(feats, coords)).feats
        return [out, *torch.autograd.grad(out.square().sum(), [feats, *net.parameters()])]


# Twelve events of a wide volume: more cells than 32 bits can number.
@pytest.mark.parametrize(("batch", "low", "spread"), [(2, 0, 1), (3, -7, 1), (12, 0, 60)])
def test_a_network_agrees_with_the_reference(make_coords, threads, batch, low, spread):
    coords = make_coords(3, size=14, batch=batch, fill=0.15, low=low)
    coords[:, 1:] *= torch.where(coords[:, :1] % 2 == 1, spread, 1)
    torch.manual_seed(0)
    net, feats = UResNet(3, base_channels=8, depth=3), torch.randn(len(coords), 3)
    for found, expected in zip(
        results(net, feats, coords, "spconv"), results(net, feats, coords, "torch"), strict=True
    ):
        assert (found - expected).abs().max() <= 1e-4 * expected.abs().max()
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize("n", [0, 1])
def test_no_voxel_and_one(make_coords, n):
    coords = make_coords(3)[:n]
    feats, weight = torch.randn(n, 3), torch.randn(27, 3, 5)
    with use_engine("spconv"):
        out = sparse_conv(feats, weight, submanifold_map(coords, 3))
    torch.testing.assert_close(out, feats @ weight[13])


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
