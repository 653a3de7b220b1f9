"""The residual U-Net: shapes, properties, degenerate inputs."""

import numpy as np
import pytest
import torch

from sparseclust.backbones import Decoder, Encoder, UResNet, UResNetDecoder, UResNetEncoder
from sparseclust.backbones._blocks import ResidualBlock
from sparseclust.sparse import SparseTensor, cat


def voxels(rng: np.random.Generator, ndim: int = 3, n: int = 60, batch: int = 2) -> SparseTensor:
    coords = np.unique(rng.integers([0] + [-9] * ndim, [batch] + [9] * ndim, (n, 1 + ndim)), axis=0)
    coords = torch.from_numpy(rng.permutation(coords))
    return SparseTensor(torch.randn(len(coords), 4, dtype=torch.float64), coords, batch_size=batch)


@pytest.mark.parametrize("ndim", [2, 3, 4])
def test_pyramid_and_way_back(rng, ndim):
    x = voxels(rng, ndim)
    encoder = UResNetEncoder(4, base_channels=4, depth=3, reps=1, ndim=ndim).double()
    decoder = UResNetDecoder(encoder.channels, reps=1, ndim=ndim).double()
    assert isinstance(encoder, Encoder)
    assert isinstance(decoder, Decoder)
    pyramid = encoder(x)
    assert encoder.channels == [4, 8, 12] == [level.feats.shape[1] for level in pyramid]
    assert [level.stride for level in pyramid] == [1, 2, 4]
    assert pyramid[0].coords is x.coords
    y = decoder(pyramid)
    assert y.coords is x.coords
    assert y.feats.shape == (len(x), decoder.out_channels)


def test_growth():
    assert UResNetEncoder(1, base_channels=4, depth=4, growth="double").channels == [4, 8, 16, 32]
    assert UResNetEncoder(1, base_channels=4, depth=4).channels == [4, 8, 12, 16]


@pytest.mark.parametrize("norm", ["batch", "layer", "none"])
def test_rows_and_events_are_independent(rng, norm):
    x = voxels(rng)
    net = UResNet(4, base_channels=4, depth=3, norm=norm).double().eval()
    y = net(x)
    order = torch.randperm(len(x))
    permuted = net(SparseTensor(x.feats[order], x.coords[order]))
    torch.testing.assert_close(permuted.feats, y.feats[order], rtol=0, atol=1e-10)
    apart = cat([net(event) for event in x.split()])
    torch.testing.assert_close(apart.feats, net(cat(x.split())).feats, rtol=0, atol=1e-10)


@pytest.mark.parametrize("depth", [1, 4])
@pytest.mark.parametrize("n", [0, 1])
@pytest.mark.parametrize("training", [True, False])
def test_no_voxel_and_one_voxel(n, depth, training):
    net = UResNet(4, base_channels=4, depth=depth).train(training)
    x = SparseTensor(torch.ones(n, 4), torch.tensor([[1, -7, 3, 0]])[:n], batch_size=3)
    y = net(x)
    assert y.feats.shape == (n, 4)
    y.feats.sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in net.parameters())


def test_every_parameter_gets_a_gradient(rng):
    net = UResNet(4, base_channels=4, depth=3).double()
    net(voxels(rng)).feats.square().sum().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad.abs().max() > 0, name


def test_a_block_without_residual_is_its_shortcut(rng):
    x = voxels(rng)
    block = ResidualBlock(4, 4, norm="batch", ndim=3).double()
    block.residual[-1].weight.data.zero_()
    assert torch.equal(block(x).feats, x.feats)
    wider = ResidualBlock(4, 6, norm="batch", ndim=3).double()
    wider.residual[-1].weight.data.zero_()
    assert torch.equal(wider(x).feats, wider.shortcut(x).feats)


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match="depth"):
        UResNetEncoder(4, depth=0)
    with pytest.raises(ValueError, match="growth"):
        UResNetEncoder(4, growth="cubic")
    with pytest.raises(ValueError, match="norm"):
        UResNetEncoder(4, norm="instance")
    with pytest.raises(ValueError, match="one level"):
        UResNetDecoder([])
