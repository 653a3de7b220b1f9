"""The helpers that third parties test with: they accept what keeps the contract and name what breaks it."""

import numpy as np
import pytest
import torch
from torch import nn

from sparseclust.backbones import UResNetEncoder
from sparseclust.heads import EmbeddingHead, MarginHead, SeedinessHead
from sparseclust.sparse import SparseTensor
from sparseclust.testing import check_encoder, check_head, random_event, random_sparse_tensor


@pytest.mark.parametrize("ndim", [2, 3])
def test_random_event_is_an_event(rng, ndim):
    event = random_event(rng, ndim=ndim, spatial_size=20)
    assert event.ndim == ndim
    assert len(np.unique(event.coords, axis=0)) == len(event)
    assert event.coords.min() >= 0
    assert event.coords.max() < 20
    assert event.semantic is not None
    assert event.instance is not None
    again = random_event(np.random.default_rng(20261122), ndim=ndim, spatial_size=20)
    np.testing.assert_array_equal(event.coords, again.coords)


def test_random_sparse_tensor(rng):
    x = random_sparse_tensor(rng, channels=3, batch_size=4, ndim=2)
    assert (x.batch_size, x.ndim, x.feats.shape[1]) == (4, 2, 3)


@pytest.mark.parametrize("head", [SeedinessHead(4), MarginHead(4, dim=3), EmbeddingHead(4, spatial_size=32)])
def test_our_heads_keep_the_contract(head):
    check_head(head, in_channels=4)


@pytest.mark.parametrize("ndim", [2, 3])
def test_our_encoder_keeps_the_contract(ndim):
    check_encoder(UResNetEncoder(4, base_channels=4, depth=3, ndim=ndim), in_channels=4, ndim=ndim)


class _Head(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


@pytest.mark.parametrize(
    ("function", "promise"),
    [
        (lambda x: x.feats[1:], "one row per voxel"),
        (lambda x: x.feats / 0.0, "finite"),
        (lambda x: x.feats - x.feats.mean(dim=0), "events? of its batch|does not depend"),
        (lambda x: x.feats + torch.arange(len(x))[:, None], "order of the voxels"),
    ],
)
def test_broken_heads_are_named(function, promise):
    with pytest.raises(AssertionError, match=promise):
        check_head(_Head(function), in_channels=4)


class _Encoder(nn.Module):
    channels = (4, 8)

    def forward(self, x):
        coarse = SparseTensor(x.feats, x.coords, batch_size=x.batch_size, stride=2)
        return [x, coarse]


def test_broken_encoder_is_named():
    with pytest.raises(AssertionError, match="channels"):
        check_encoder(_Encoder(), in_channels=4)
