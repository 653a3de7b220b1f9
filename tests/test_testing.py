"""The helpers that third parties test with: they accept what keeps the contract and name what breaks it."""

import numpy as np
import pytest
import torch
from torch import nn

from sparseclust.backbones import UResNetDecoder, UResNetEncoder
from sparseclust.heads import EdgeAffinityHead, EmbeddingHead, MarginHead, SeedinessHead, SemanticHead
from sparseclust.sparse import SumPool
from sparseclust.testing import (
    check_decoder,
    check_edge_head,
    check_encoder,
    check_head,
    random_event,
    random_sparse_tensor,
)


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


@pytest.mark.parametrize(
    "head", [SeedinessHead(4), SemanticHead(4, 3), MarginHead(4, dim=3), EmbeddingHead(4, spatial_size=32)]
)
def test_our_heads_keep_the_contract(head):
    check_head(head, in_channels=4)


@pytest.mark.parametrize("bridges", [False, True])
def test_our_edge_head_keeps_the_contract(bridges):
    check_edge_head(EdgeAffinityHead(4, bridges=bridges), in_channels=4)


@pytest.mark.parametrize("ndim", [2, 3])
def test_our_backbone_keeps_the_contract(ndim):
    encoder = UResNetEncoder(4, base_channels=4, depth=3, ndim=ndim)
    check_encoder(encoder, in_channels=4, ndim=ndim)
    check_decoder(UResNetDecoder(encoder.channels, ndim=ndim), encoder_channels=encoder.channels, ndim=ndim)


def test_modules_come_back_in_the_mode_they_had():
    head = nn.Sequential(SeedinessHead(4)).train()
    check_head(head, in_channels=4)
    assert head.training
    assert head[0].training


class Own(nn.Module):
    """A module that does what a function says; with attributes."""

    def __init__(self, function, **attributes):
        super().__init__()
        self.function = function
        for name, value in attributes.items():
            setattr(self, name, value)

    def forward(self, *args):
        return self.function(*args)


def number_of_events(x):
    return x.coords[:, 0].unique().numel()


# Wrong in whatever gives a row per voxel.
VALUES = [
    (lambda x: x.feats / 0.0, "finite"),
    (lambda x: x.feats + torch.rand(1), "the same at every call"),
    (lambda x: x.feats.mul_(2.0) * 0.0, "the features of the input stay as they are"),
    (lambda x: x.feats[:1].repeat(len(x), 1), "order of the voxels"),
    (lambda x: x.feats + torch.arange(len(x))[:, None], "order of the voxels"),
    (lambda x: x.feats - x.feats.sum(dim=0), "an event does not depend on the others"),
    (lambda x: x.feats + number_of_events(x), "an event does not depend on the others"),
]
# Wrong where a tensor is returned; a SparseTensor cannot be so wrong.
ROWS = [
    (lambda x: x.feats[1:], r"one row per voxel: \d+ voxels, an output of \(\d+, 4\)"),
    (lambda x: x.feats.sum(), "one row per voxel"),
    (lambda x: x.feats if len(x) else x.feats.new_zeros(1, 4), "an empty event"),
    (lambda x: x, "is a Tensor, got SparseTensor"),
]


@pytest.mark.parametrize(("function", "promise"), [*VALUES, *ROWS])
def test_broken_heads_are_named(function, promise):
    with pytest.raises(AssertionError, match=promise):
        check_head(Own(function), in_channels=4)


@pytest.mark.parametrize(
    ("function", "promise"),
    [
        (lambda x, edges: x.feats[:, 0], "one row per edge"),
        (lambda x, edges: x, "is a Tensor"),
        (lambda x, edges: x.feats[edges[0]].sqrt(), "finite"),
        (lambda x, edges: edges.flip(1)[0] * 1.0, "order of the edges"),
        (lambda x, edges: edges[0] * 1.0, "order of the voxels"),
        (lambda x, edges: x.feats[edges[0], 0] + number_of_events(x), "does not depend on the others"),
        (lambda x, edges: x.feats[edges[0], 0] if edges.numel() else torch.zeros(1), "no edges"),
    ],
)
def test_broken_edge_heads_are_named(function, promise):
    with pytest.raises(AssertionError, match=promise):
        check_edge_head(Own(function), in_channels=4)


def two_levels(x):
    return [x, SumPool(2)(x)]


@pytest.mark.parametrize(("function", "promise"), VALUES)
def test_broken_values_of_a_backbone_are_named(function, promise):
    with pytest.raises(AssertionError, match=promise):
        check_encoder(Own(lambda x: [x.with_feats(function(x))], channels=[4]), in_channels=4)
    with pytest.raises(AssertionError, match=promise):
        check_decoder(Own(lambda p: p[0].with_feats(function(p[0])), out_channels=4), encoder_channels=[4, 6])


@pytest.mark.parametrize(
    ("encoder", "promise"),
    [
        (Own(two_levels), "channels are a list, one per level, got None"),
        (Own(two_levels, channels=(4, 8)), r"channels are \[4, 8\], the levels have \[4, 4\]"),
        (Own(lambda x: two_levels(x)[::-1], channels=[4, 4]), "the finest level has the rows of the input"),
        (Own(lambda x: [x, x], channels=[4, 4]), "from fine to coarse"),
        (Own(lambda x: x, channels=[4]), "returns a list of SparseTensors, got SparseTensor"),
        (
            Own(lambda x: [x, two_levels(x)[1].with_feats(two_levels(x)[1].feats / 0.0)], channels=[4, 4]),
            "finite",
        ),
    ],
)
def test_broken_encoders_are_named(encoder, promise):
    with pytest.raises(AssertionError, match=promise):
        check_encoder(encoder, in_channels=4)


@pytest.mark.parametrize(
    ("decoder", "promise"),
    [
        (Own(lambda pyramid: pyramid[0].feats, out_channels=4), "returns a SparseTensor, got Tensor"),
        (Own(lambda pyramid: pyramid[1], out_channels=6), "the rows of the finest level"),
        (Own(lambda pyramid: pyramid[0]), "out_channels are None, the result has 4"),
    ],
)
def test_broken_decoders_are_named(decoder, promise):
    with pytest.raises(AssertionError, match=promise):
        check_decoder(decoder, encoder_channels=[4, 6])


def test_what_is_no_module_is_refused():
    for check in (check_head, check_edge_head, check_encoder):
        with pytest.raises(AssertionError, match=r"it is a torch\.nn\.Module, got function"):
            check(two_levels, in_channels=4)
