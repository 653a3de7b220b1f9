"""Pooling against dense pooling, its gradients and ties; the way back."""

import pytest
import torch
from torch import Tensor, nn

from sparseclust.sparse import AvgPool, MaxPool, SparseTensor, StridedConv, SumPool, Unpool

DENSE_MAX = {1: nn.functional.max_pool1d, 2: nn.functional.max_pool2d, 3: nn.functional.max_pool3d}
# Kernel size, stride, dilation per axis: cells, overlapping windows, gaps.
WINDOWS = [
    ((3,), (3,), (1,)),
    ((4,), (2,), (2,)),
    ((2, 2), (2, 2), (1, 1)),
    ((3, 2), (1, 3), (2, 1)),
    ((2, 2, 2), (2, 2, 2), (1, 1, 1)),
    ((3, 3, 3), (2, 2, 2), (1, 1, 1)),
    ((1, 3, 4), (2, 2, 1), (1, 2, 1)),
]


def inside(y: SparseTensor, shape) -> SparseTensor:
    """Rows of ``y`` within an image: dense pooling leaves out windows that begin before it."""
    voxels = y.coords[:, 1:]
    return y.select(((voxels >= 0) & (voxels < torch.tensor(shape))).all(dim=1))


def image_of(x: SparseTensor, empty: float) -> Tensor:
    """Dense image of size 8, with a value for empty voxels."""
    image = x.feats.new_full((x.batch_size, *[8] * x.ndim, x.feats.shape[1]), empty)
    return image.index_put(tuple(x.coords.long().unbind(1)), x.feats).movedim(-1, 1)


@pytest.mark.parametrize(("size", "stride", "dilation"), WINDOWS)
def test_max_pool_is_the_dense_one_with_its_ties(make_coords, size, stride, dilation):
    ndim = len(size)
    coords = make_coords(ndim)
    # Few values, so that windows hold equal ones, whose first must get the gradient.
    feats = torch.randint(-2, 3, (len(coords), 3)).double().requires_grad_()
    x = SparseTensor(feats, coords)
    image = DENSE_MAX[ndim](image_of(x, -torch.inf), size, stride=stride, dilation=dilation)
    y = inside(MaxPool(stride, kernel_size=size, dilation=dilation)(x), image.shape[2:])
    expected = image.movedim(1, -1)[tuple(y.coords.long().unbind(1))]
    assert torch.equal(y.feats, expected)
    assert len(y) == image.movedim(1, -1)[..., 0].isfinite().sum()
    upper = torch.randn_like(expected)
    one, other = (torch.autograd.grad((out * upper).sum(), feats)[0] for out in (y.feats, expected))
    assert torch.equal(one, other)


@pytest.mark.parametrize(("size", "stride", "dilation"), WINDOWS)
def test_sum_and_mean_are_dense_convolutions_with_ones(make_coords, size, stride, dilation):
    coords = make_coords(len(size))
    x = SparseTensor(torch.randn(len(coords), 1, dtype=torch.float64), coords)
    window = {"kernel_size": size, "dilation": dilation}
    conv = StridedConv(1, 1, stride, ndim=len(size), **window).double()
    nn.init.ones_(conv.weight)
    total, count = conv(x), conv(x.with_feats(torch.ones_like(x.feats)))
    torch.testing.assert_close(SumPool(stride, **window)(x).feats, total.feats)
    mean = AvgPool(stride, **window)(x)
    torch.testing.assert_close(mean.feats, total.feats / count.feats)
    assert mean.level is total.level  # the map is shared with the convolution


@pytest.mark.parametrize("layer", [MaxPool, AvgPool, SumPool])
def test_gradients(make_coords, layer):
    coords = make_coords(2, size=4)
    feats = torch.randn(len(coords), 2, dtype=torch.float64, requires_grad=True)
    pool, back = layer(kernel_size=3), Unpool(kernel_size=3)

    def there_and_back(feats: Tensor) -> Tensor:
        x = SparseTensor(feats, coords)
        return back(pool(x), like=x).feats

    assert torch.autograd.gradcheck(there_and_back, feats)
    assert torch.autograd.gradgradcheck(there_and_back, feats)


def test_nan_and_infinity_pass():
    nan, inf = torch.nan, torch.inf
    feats = torch.tensor([[nan, -inf], [5.0, -inf], [6.0, inf], [nan, 0.0]], requires_grad=True)
    x = SparseTensor(feats, torch.tensor([[0, 0], [0, 1], [0, 2], [0, 3]]))
    y = MaxPool()(x).feats
    assert y[:, 0].isnan().all()
    assert y[:, 1].tolist() == [-inf, inf]
    y.sum().backward()
    assert feats.grad.tolist() == [[1, 1], [0, 0], [0, 1], [1, 0]]


@pytest.mark.parametrize("layer", [MaxPool, AvgPool, SumPool])
@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
def test_half_types_are_summed_in_float32(make_coords, layer, half):
    coords = make_coords(2, fill=0.9)
    x = SparseTensor(torch.randn(len(coords), 3).to(half), coords)
    y = layer(4)(x)
    assert y.dtype == half
    assert torch.equal(y.feats, layer(4)(x.to(torch.float32)).feats.to(half))


def test_unpool_copies_the_cell(make_coords):
    coords = make_coords(3, low=-3)
    x = SparseTensor(torch.randn(len(coords), 2), coords)
    pooled = AvgPool((1, 2, 4))(x)
    row = {tuple(site): values for site, values in zip(pooled.coords.tolist(), pooled.feats)}
    back = Unpool((1, 2, 4))(pooled, like=x)
    assert back.level is x.level
    for (event, a, b, c), values in zip(coords.tolist(), back.feats):
        assert torch.equal(values, row[event, a, b // 2, c // 4])
    kept = pooled.feats[:, 0] > 0
    pruned = Unpool((1, 2, 4))(pooled.select(kept), like=x)
    assert torch.equal(pruned.feats, torch.where(back.feats[:, :1] > 0, back.feats, 0))
    with pytest.raises(ValueError, match="holds voxels that"):
        Unpool(2)(pooled, like=x)


@pytest.mark.parametrize("n", [0, 1])
def test_no_voxel_and_one_voxel(n):
    feats = torch.full((n, 2), 3.0, requires_grad=True)
    x = SparseTensor(feats, torch.full((n, 4), 2), batch_size=4)
    for layer in (MaxPool, AvgPool, SumPool):
        y = layer(3)(x)
        assert (y.batch_size, y.stride) == (4, 3)
        assert torch.equal(y.feats, feats)
        assert torch.equal(Unpool(3)(y, like=x).feats, feats)
    y.feats.sum().backward()
    assert torch.equal(feats.grad, torch.ones(n, 2))


def test_arguments_are_shown_and_checked():
    assert repr(MaxPool((1, 2))) == "MaxPool(stride=(1, 2), kernel_size=(1, 2), dilation=1, padding=0)"
    x = SparseTensor(torch.ones(1, 1), torch.zeros(1, 4, dtype=torch.int32))
    with pytest.raises(ValueError, match="one per axis"):
        MaxPool((1, 2))(x)
    with pytest.raises(ValueError, match="positive"):
        MaxPool(0)(x)
