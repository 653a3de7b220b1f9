"""Norms per event are the torch layers on each event alone."""

import pytest
import torch
from torch import nn

from sparseclust.sparse import GroupNorm, InstanceNorm, SparseTensor, cat


def random_input(make_coords, dtype=torch.float64) -> SparseTensor:
    """Four events, the last but one without voxels."""
    coords = make_coords(3, size=4)
    coords[coords[:, 0] == 2, 0] = 3
    return SparseTensor(3 + torch.randn(len(coords), 6, dtype=dtype), coords, batch_size=4)


def alone(layer: nn.Module, x: SparseTensor) -> torch.Tensor:
    """Result of a torch layer, event by event, in the rows of ``x``."""
    out = torch.empty_like(x.feats)
    for event in x.coords[:, 0].unique():
        rows = x.coords[:, 0] == event
        out[rows] = layer(x.feats[rows].T[None])[0].T
    return out


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("groups", [1, 2, 6])
def test_group_norm_is_that_of_torch_on_each_event(make_coords, groups, dtype):
    x = random_input(make_coords, dtype)
    ours, theirs = GroupNorm(groups, 6).to(dtype), nn.GroupNorm(groups, 6).to(dtype)
    for name, parameter in theirs.named_parameters():
        nn.init.uniform_(parameter)
        ours.get_parameter(name).data.copy_(parameter)
    y = ours(x)
    torch.testing.assert_close(y.feats, alone(theirs, x))
    assert y.level is x.level


@pytest.mark.parametrize("affine", [True, False])
def test_instance_norm_is_that_of_torch_on_each_event(make_coords, affine):
    x = random_input(make_coords)
    ours, theirs = InstanceNorm(6, affine=affine).double(), nn.InstanceNorm1d(6, affine=affine).double()
    ours.load_state_dict(theirs.state_dict())
    torch.testing.assert_close(ours(x).feats, alone(theirs, x))
    torch.testing.assert_close(ours.eval()(x).feats, ours.train()(x).feats, rtol=0, atol=0)


def test_events_do_not_see_one_another(make_coords):
    x = random_input(make_coords)
    layer = GroupNorm(2, 6).double()
    together = layer(cat(x.split()))
    torch.testing.assert_close(cat([layer(event) for event in x.split()]).feats, together.feats)


def test_gradients(make_coords):
    coords = make_coords(2, size=3)
    feats = torch.randn(len(coords), 4, dtype=torch.float64, requires_grad=True)
    layer = GroupNorm(2, 4).double()
    assert torch.autograd.gradcheck(lambda f: layer(SparseTensor(f, coords)).feats, feats)
    assert torch.autograd.gradgradcheck(lambda f: layer(SparseTensor(f, coords)).feats, feats)


def test_one_voxel_gives_the_bias_and_none_gives_none():
    layer = InstanceNorm(3, affine=True)
    nn.init.constant_(layer.bias, 5.0)
    feats = torch.randn(1, 3, requires_grad=True)
    y = layer(SparseTensor(feats, torch.tensor([[1, 0, 0]]), batch_size=3)).feats
    assert torch.equal(y, torch.full((1, 3), 5.0))
    y.sum().backward()
    assert torch.isfinite(feats.grad).all()
    assert layer(SparseTensor(feats[:0], torch.zeros(0, 3, dtype=torch.int32))).feats.shape == (0, 3)


def test_a_large_offset_and_half_types_keep_their_digits(make_coords):
    x = random_input(make_coords)
    layer = GroupNorm(3, 6)
    exact = layer.double()(x).feats
    shifted = layer.float()(x.with_feats(x.feats.float() + 1000)).feats
    torch.testing.assert_close(shifted.double(), exact, rtol=0, atol=1e-3)
    half = layer(x.to(torch.bfloat16))
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.feats.double(), exact, rtol=0, atol=0.05)


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match="divide"):
        GroupNorm(4, 6)
    with pytest.raises(ValueError, match="takes 6 features"):
        GroupNorm(2, 6)(SparseTensor(torch.ones(1, 5), torch.zeros(1, 4, dtype=torch.int32)))
    assert repr(InstanceNorm(4)) == "InstanceNorm(4, eps=1e-05, affine=False)"
