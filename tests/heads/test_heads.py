"""Heads: values, ranges, alignment."""

import pytest
import torch

from sparseclust.heads import EdgeAffinityHead, EmbeddingHead, Head, MarginHead, SeedinessHead, SemanticHead
from sparseclust.sparse import SparseTensor

HEADS = {
    "embedding": (EmbeddingHead(8, spatial_size=16), (3,)),
    "margin": (MarginHead(8), ()),
    "margins": (MarginHead(8, dim=3), (3,)),
    "seediness": (SeedinessHead(8), ()),
    "semantic": (SemanticHead(8, 5), (5,)),
}


def features(n: int = 10, ndim: int = 3) -> SparseTensor:
    coords = torch.cat(
        [torch.zeros(n, 1), torch.randperm(16**ndim)[:n, None] // 16 ** torch.arange(ndim) % 16], 1
    )
    return SparseTensor(torch.randn(n, 8), coords.int(), batch_size=1)


@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("n", [0, 1, 10])
def test_rows_are_aligned(name, n):
    head, tail = HEADS[name]
    assert isinstance(head, Head)
    x = features(n)
    y = head(x)
    assert y.shape == (n, *tail)
    order = torch.randperm(n)
    torch.testing.assert_close(head(SparseTensor(x.feats[order], x.coords[order], batch_size=1)), y[order])


def test_an_untrained_offset_is_the_voxel_centre_in_the_unit_volume():
    head = EmbeddingHead(8, spatial_size=(4, 8, 16))
    torch.nn.init.zeros_(head.linear.weight)
    torch.nn.init.zeros_(head.linear.bias)
    corners = SparseTensor(torch.randn(2, 8), torch.tensor([[0, 0, 0, 0], [0, 3, 7, 15]]))
    assert head(corners).tolist() == [[-0.75, -0.875, -0.9375], [0.75, 0.875, 0.9375]]
    free = EmbeddingHead(8, spatial_size=4, mode="free")
    free.load_state_dict(head.state_dict())
    assert free(corners).tolist() == [[0.0] * 3] * 2


def test_coarse_voxels_lie_at_their_centres():
    head = EmbeddingHead(8, spatial_size=(4, 8, 16))
    torch.nn.init.zeros_(head.linear.weight)
    torch.nn.init.zeros_(head.linear.bias)
    x = SparseTensor(torch.randn(1, 8), torch.tensor([[0, 1, 1, 1]]), stride=(2, 4, 1))
    assert head(x).tolist() == [[0.5, 0.5, -0.8125]]


def test_embedding_axes_beyond_the_image_get_no_coordinate():
    x = features(ndim=2)
    head = EmbeddingHead(8, spatial_size=16, dim=4)
    shift = torch.tanh(head.linear(x.feats))
    assert torch.equal(head(x)[:, 2:], shift[:, 2:])
    assert not torch.equal(head(x)[:, :2], shift[:, :2])
    with pytest.raises(ValueError, match="do not fit"):
        EmbeddingHead(8, spatial_size=16, dim=2)(features(ndim=3))


def test_places_keep_their_precision_under_autocast():
    x = SparseTensor(torch.zeros(2, 8), torch.tensor([[0, 700, 0, 0], [0, 701, 0, 0]]))
    head = EmbeddingHead(8, spatial_size=768)
    torch.nn.init.zeros_(head.linear.bias)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = head(x)
    assert y.dtype == torch.float32
    torch.testing.assert_close(y[1, 0] - y[0, 0], torch.tensor(2 / 768), rtol=1e-4, atol=0)


def test_margins_lie_below_their_bound_and_start_where_asked():
    x = features()
    margins = MarginHead(8, max_margin=0.5)(x)
    assert 0 < margins.min() <= margins.max() < 0.5
    head = MarginHead(8, dim=3, initial_margin=0.1)
    torch.nn.init.zeros_(head.linear.weight)
    torch.testing.assert_close(head(x), torch.full((len(x), 3), 0.1))
    with pytest.raises(ValueError, match="initial_margin"):
        MarginHead(8, initial_margin=2.0)


def test_seediness_lies_between_zero_and_one():
    seediness = SeedinessHead(8)(features())
    assert 0 < seediness.min() <= seediness.max() < 1


def test_edge_affinity_is_symmetric():
    x = features()
    edges = torch.randint(10, (2, 30))
    head = EdgeAffinityHead(8)
    logits = head(x, edges)
    assert logits.shape == (30,)
    torch.testing.assert_close(head(x, edges.flip(0)), logits)
    assert logits.std() > 0
    assert head(x, edges[:, :0]).shape == (0,)
    with pytest.raises(ValueError, match="edges"):
        head(x, edges.T)


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match="positive"):
        EmbeddingHead(8, spatial_size=0)
    with pytest.raises(ValueError, match="mode"):
        EmbeddingHead(8, spatial_size=8, mode="absolute")
