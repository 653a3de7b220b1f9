"""SparseTensor: what it keeps, shares and refuses."""

import copy
import pickle

import numpy as np
import pytest
import torch

import sparseclust.sparse._coordinates as coordinates
from sparseclust.backbones import UResNet
from sparseclust.sparse import (
    GenerativeConv,
    InverseConv,
    MaxPool,
    SparseTensor,
    StridedConv,
    SubmanifoldConv,
    cat,
    coalesce,
    collate,
)


@pytest.fixture
def x(make_coords) -> SparseTensor:
    coords = make_coords(3)
    return SparseTensor(torch.randn(len(coords), 4), coords)


def test_rows_keep_their_order_and_coords_become_int32(make_coords):
    coords = make_coords(2, low=-4).long()
    feats = torch.randn(len(coords), 3)
    x = SparseTensor(feats, coords, batch_size=7)
    assert torch.equal(x.coords, coords.int())
    assert x.coords.dtype == torch.int32
    assert x.feats is feats
    assert (x.ndim, x.batch_size, x.stride, len(x)) == (2, 7, 1, len(coords))


def test_batch_size_counts_to_the_last_event():
    assert SparseTensor(torch.ones(1, 1), torch.tensor([[4, 0, 0]])).batch_size == 5
    assert SparseTensor(torch.ones(0, 1), torch.zeros(0, 3, dtype=torch.int32)).batch_size == 0


@pytest.mark.parametrize(
    ("feats", "coords", "batch_size", "message"),
    [
        (torch.ones(2), torch.zeros(2, 4, dtype=torch.int32), None, "feats must be"),
        (torch.ones(2, 1).int(), torch.zeros(2, 4, dtype=torch.int32), None, "floating point"),
        (torch.ones(2, 1), torch.zeros(3, 4, dtype=torch.int32), None, "coords must have shape"),
        (torch.ones(1, 1), torch.zeros(1, 1, dtype=torch.int32), None, "coords must have shape"),
        (torch.ones(1, 1), torch.zeros(1, 4), None, "integers"),
        (torch.ones(1, 1), torch.tensor([[0, 2**31]]), None, "int32"),
        (torch.ones(1, 1), torch.tensor([[-1, 0]]), None, "negative"),
        (torch.ones(1, 1), torch.tensor([[2, 0]]), 2, "batch_size is 2"),
    ],
)
def test_bad_input_is_refused(feats, coords, batch_size, message):
    with pytest.raises(ValueError, match=message):
        SparseTensor(feats, coords, batch_size=batch_size)


def test_feats_of_another_length_are_refused(x):
    with pytest.raises(ValueError, match="feats must have shape"):
        x.with_feats(x.feats[1:])


@pytest.fixture
def built(monkeypatch) -> list[str]:
    """Names of the kernel maps in the order in which they are built."""
    names = []
    for name in ("submanifold_map", "strided_map", "generative_map"):
        build = getattr(coordinates, name)
        monkeypatch.setattr(
            coordinates, name, lambda *a, _b=build, _n=name, **k: (names.append(_n), _b(*a, **k))[1]
        )
    return names


def test_each_map_is_built_once_per_forward_pass(x, built):
    conv, down, up = SubmanifoldConv(4, 4), StridedConv(4, 4), InverseConv(4, 4)
    y = conv(conv(x))
    z = conv(down(y))
    up(z, like=x)
    down(x)
    assert built == ["submanifold_map", "strided_map", "submanifold_map"]
    SubmanifoldConv(4, 4, (3, 3, 3), dilation=(1, 1, 1))(x)
    MaxPool(2)(x)
    assert len(built) == 3
    SubmanifoldConv(4, 4, dilation=2)(x)
    MaxPool(2, kernel_size=3)(x)
    assert len(built) == 5


def test_a_network_builds_one_map_per_level_and_one_per_step(x, built):
    UResNet(4, base_channels=2, depth=4, reps=1)(x).edges()
    assert (built.count("submanifold_map"), built.count("strided_map"), len(built)) == (4, 3, 7)


def test_generated_voxels_are_built_once(x):
    coarse = StridedConv(4, 4)(x)
    one, two = GenerativeConv(4, 4)(coarse), GenerativeConv(4, 2)(coarse)
    assert one.level is two.level
    assert (one.stride, one.batch_size) == (1, x.batch_size)


def test_generative_conv_refuses_voxels_it_cannot_divide(x):
    with pytest.raises(ValueError, match="cannot be divided"):
        GenerativeConv(4, 4)(x)
    y = SparseTensor(x.feats, x.coords, stride=(4, 2, 6))
    assert GenerativeConv(4, 4, (4, 1, 3))(y).stride == (1, 2, 2)


def test_stride_per_axis(x):
    y = StridedConv(4, 4, (1, 2, 3))(StridedConv(4, 4, (2, 1, 1))(x))
    assert y.stride == (2, 2, 3)
    assert repr(y) == f"SparseTensor({len(y)} voxels, 4 features, ndim=3, stride=(2, 2, 3), batch_size=3)"
    assert pickle.loads(pickle.dumps(y)).stride == y.to("meta").stride == (2, 2, 3)
    assert cat(y.split()).stride == (2, 2, 3)
    assert StridedConv(4, 4, (3, 3, 2))(y).stride == 6
    with pytest.raises(ValueError, match="one \\(ndim"):
        cat([x, y])
    with pytest.raises(ValueError, match="one per axis"):
        SparseTensor(x.feats, x.coords, stride=(1, 2))
    with pytest.raises(ValueError, match="positive"):
        SparseTensor(x.feats, x.coords, stride=0)


@pytest.mark.parametrize("by", ["mask", "number"])
def test_select_keeps_rows_events_and_stride(x, by):
    x = SparseTensor(x.feats.requires_grad_(), x.coords, batch_size=9, stride=2)
    mask = x.feats[:, 0] > 0
    y = x.select(mask if by == "mask" else mask.nonzero()[:, 0])
    assert torch.equal(y.coords, x.coords[mask])
    assert torch.equal(y.feats, x.feats[mask])
    assert (y.batch_size, y.stride) == (9, 2)
    assert len(SubmanifoldConv(4, 4)(y)) == len(y) == int(mask.sum())
    y.feats.sum().backward()
    assert torch.equal(x.feats.grad, mask[:, None].expand(-1, 4).float())
    assert len(x.select(torch.zeros_like(mask))) == 0


@pytest.mark.parametrize("layer", [SubmanifoldConv(1, 1), StridedConv(1, 1), MaxPool()])
def test_layers_refuse_duplicates_and_name_the_repair(layer):
    coords = torch.tensor([[0, 1, 1, 1], [0, 1, 1, 1]])
    x = SparseTensor(torch.ones(2, 1), coords)
    with pytest.raises(ValueError, match="coalesce"):
        layer(x)
    rows, feats, _ = coalesce(coords, x.feats)
    assert len(layer(SparseTensor(feats, rows))) == 1


def test_inverse_conv_without_a_cache_builds_the_map(x):
    down, up = StridedConv(4, 4), InverseConv(4, 4)
    y = down(x)
    alone = SparseTensor(y.feats, y.coords, batch_size=y.batch_size, stride=2)
    fresh = SparseTensor(x.feats, x.coords)
    assert torch.equal(up(alone, like=fresh).feats, up(y, like=x).feats)


def test_inverse_conv_refuses_other_cells(x):
    y = StridedConv(4, 4)(x)
    elsewhere = y.coords + torch.tensor([0, 0, 0, 100], dtype=torch.int32)
    for coords in (elsewhere, y.coords[:1].expand(len(y), -1)):
        wrong = SparseTensor(y.feats, coords, batch_size=y.batch_size, stride=2)
        with pytest.raises(ValueError, match="holds voxels that"):
            InverseConv(4, 4)(wrong, like=x)


@pytest.mark.parametrize("window", [{}, {"kernel_size": 3, "padding": 1}])
def test_inverse_conv_takes_pruned_cells_for_zeros(x, window):
    y, up = StridedConv(4, 4, **window)(x), InverseConv(4, 4, **window)
    kept = torch.arange(0, len(y), 2).flip(0)
    feats = y.feats.detach().requires_grad_()
    zeros = torch.zeros(len(y), 1).index_fill(0, kept, 1)
    expected = up(y.with_feats(feats * zeros), like=x).feats
    pruned = up(y.with_feats(feats).select(kept), like=x).feats
    torch.testing.assert_close(pruned, expected)
    gradients = [torch.autograd.grad(out.square().sum(), feats)[0] for out in (pruned, expected)]
    torch.testing.assert_close(*gradients)
    assert not up(y.select(kept[:0]), like=x).feats.any()


@pytest.mark.parametrize("clone", [lambda t: pickle.loads(pickle.dumps(t)), copy.deepcopy])
def test_pickle_and_deepcopy(x, clone):
    conv = SubmanifoldConv(4, 4)
    expected = conv(x)
    y = clone(x)
    assert torch.equal(y.coords, x.coords)
    assert (y.batch_size, y.stride) == (x.batch_size, x.stride)
    assert torch.equal(conv(y).feats, expected.feats)


def test_to_casts_features_and_moves_coordinates(x):
    double = x.to(torch.float64)
    assert double.dtype == torch.float64
    assert double.coords is x.coords
    assert x.to("cpu").coords is x.coords
    moved = x.to("meta")
    assert moved.coords.device == moved.feats.device == torch.device("meta")


def test_split_and_cat_are_inverse(x):
    order = torch.argsort(x.coords[:, 0], stable=True)
    again = cat(x.split())
    assert torch.equal(again.coords, x.coords[order])
    assert torch.equal(again.feats, x.feats[order])
    assert [len(part) for part in x.split()] == torch.bincount(x.coords[:, 0]).tolist()


def test_split_keeps_events_that_are_empty():
    x = SparseTensor(torch.ones(1, 2), torch.tensor([[1, 5, 5]]), batch_size=3)
    assert [len(part) for part in x.split()] == [0, 1, 0]
    assert cat(x.split()).batch_size == 3


def test_cat_refuses_what_does_not_fit(x):
    with pytest.raises(ValueError, match="no tensor"):
        cat([])
    with pytest.raises(ValueError, match="one \\(ndim"):
        cat([x, x.with_feats(x.feats[:, :1])])


def test_collate_numbers_the_events(rng):
    samples = [(rng.integers(-9, 9, (n, 3)), rng.random((n, 2), np.float32)) for n in (2, 0, 3)]
    x = collate(samples)
    assert x.batch_size == 3
    assert x.coords[:, 0].tolist() == [0, 0, 2, 2, 2]
    assert np.array_equal(x.coords[:, 1:], np.concatenate([voxels for voxels, _ in samples]))
    assert np.array_equal(x.feats, np.concatenate([feats for _, feats in samples]))


@pytest.mark.parametrize("ndim", [2, 3])
def test_edges_join_touching_voxels_once(make_coords, ndim):
    coords = make_coords(ndim, size=5)
    edges = SparseTensor(torch.ones(len(coords), 1), coords).edges()
    expected = {
        frozenset((i, j))
        for i, a in enumerate(coords.tolist())
        for j, b in enumerate(coords.tolist())
        if i != j and a[0] == b[0] and max(abs(p - q) for p, q in zip(a, b)) == 1
    }
    listed = [frozenset(edge) for edge in edges.T.tolist()]
    assert len(listed) == len(set(listed))
    assert set(listed) == expected
    assert SparseTensor(torch.ones(0, 1), coords[:0]).edges().shape == (2, 0)


def test_dense_puts_every_row_in_its_place(x):
    image = x.dense([8, 8, 8])
    assert image.shape == (x.batch_size, 4, 8, 8, 8)
    assert image.count_nonzero() == x.feats.count_nonzero()
    for (event, *voxel), row in zip(x.coords.tolist(), x.feats):
        assert torch.equal(image[(event, slice(None), *voxel)], row)


def test_dense_refuses_voxels_outside(x):
    with pytest.raises(ValueError, match="outside"):
        x.dense([7, 8, 8])
    with pytest.raises(ValueError, match="axes"):
        x.dense([8, 8])


@pytest.mark.parametrize(("reduce", "merged"), [("sum", 4.0), ("mean", 2.0), ("max", 3.0), ("min", 1.0)])
def test_coalesce_merges_in_order_of_first_occurrence(reduce, merged):
    coords = torch.tensor([[1, 9], [0, 2], [1, 9]])
    feats = torch.tensor([[1.0], [5.0], [3.0]], requires_grad=True)
    rows, values, inverse = coalesce(coords, feats, reduce=reduce)
    assert rows.tolist() == [[1, 9], [0, 2]]
    assert values.tolist() == [[merged], [5.0]]
    assert inverse.tolist() == [0, 1, 0]
    values.sum().backward()
    assert feats.grad[1] == 1.0


def test_coalesce_leaves_distinct_rows_alone(x):
    coords, feats, inverse = coalesce(x.coords, x.feats)
    assert torch.equal(coords, x.coords)
    assert torch.equal(feats, x.feats)
    assert torch.equal(inverse, torch.arange(len(x)))
    empty = coalesce(x.coords[:0], x.feats[:0])
    assert [len(part) for part in empty] == [0, 0, 0]
    with pytest.raises(ValueError, match="reduce"):
        coalesce(x.coords, x.feats, reduce="median")
    with pytest.raises(ValueError, match="agree"):
        coalesce(x.coords, x.feats[1:])
