"""The compiled tiles: every number of channels and of pairs, and nothing read or written outside."""

import numpy as np
import pytest
import torch

from sparseclust.sparse import sparse_conv, strided_map, submanifold_map, use_engine
from sparseclust.sparse.engines import _kernels, _kernels_tiles

TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-13}
CHANNELS = [
    (1, 1),
    (1, 70),
    (70, 1),
    (7, 8),
    (8, 9),
    (15, 16),
    (16, 17),
    (31, 33),
    (48, 49),
    (64, 64),
    (65, 63),
]
CHANNELS += [tuple(pair) for pair in np.random.default_rng(0).integers(1, 71, (25, 2)).tolist()]


def results(feats, weight, kernel_map, engine):
    """Output and both gradients."""
    feats, weight = feats.clone().requires_grad_(), weight.clone().requires_grad_()
    with use_engine(engine):
        out = sparse_conv(feats, weight, kernel_map)
        (out * torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view_as(out)).sum().backward()
    return out.detach(), feats.grad, weight.grad


def check(kernel_map, n_in, n_out, dtype):
    feats = torch.randn(kernel_map.n_source, n_in, dtype=dtype)
    weight = torch.randn(kernel_map.volume, n_in, n_out, dtype=dtype)
    found = results(feats, weight, kernel_map, "numba")
    for one, exact in zip(found, results(feats.double(), weight.double(), kernel_map, "torch"), strict=True):
        assert one.dtype == dtype
        assert one.is_contiguous()
        assert (one - exact).abs().max() <= TOLERANCE[dtype] * exact.abs().max()


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize(("n_in", "n_out"), CHANNELS)
def test_any_number_of_channels(make_coords, n_in, n_out, dtype):
    coords = make_coords(3, size=6)
    check(submanifold_map(coords, 3), n_in, n_out, dtype)
    check(strided_map(coords, 2)[1], n_in, n_out, dtype)
    check(strided_map(coords, 2)[1].transposed(), n_in, n_out, dtype)


@pytest.mark.parametrize("in_order", [True, False])
@pytest.mark.parametrize("n", [*range(1, 20), 1023, 1024, 1025, 2500])
def test_any_number_of_voxels(make_coords, n, in_order):
    coords = make_coords(2, size=64)[:n]
    coords = torch.unique(coords, dim=0) if in_order else coords
    check(submanifold_map(coords, 3), 5, 18, torch.float32)


@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
def test_half_types_are_rounded_once(make_coords, half):
    kernel_map = submanifold_map(make_coords(3, fill=0.9), 3)
    feats = torch.randn(kernel_map.n_source, 8).to(half)
    weight = torch.randn(27, 8, 20).to(half)
    found = results(feats, weight, kernel_map, "numba")
    # The gradient of the output is rounded on its way in.
    upper = torch.linspace(-1, 1, found[0].numel(), dtype=half).view_as(found[0]).double()
    feats, weight = feats.double().requires_grad_(), weight.double().requires_grad_()
    with use_engine("torch"):
        exact = sparse_conv(feats, weight, kernel_map)
        (exact * upper).sum().backward()
    for one, other in zip(found, (exact, feats.grad, weight.grad), strict=True):
        assert one.dtype == half
        torch.testing.assert_close(one.double(), other, rtol=torch.finfo(half).eps / 2, atol=1e-4)


def test_a_long_sum_keeps_its_digits():
    coords = torch.stack([torch.zeros(200_000), torch.arange(200_000)], dim=1).int()
    feats = torch.ones(len(coords), 1) + 1 / 3
    weight = torch.ones(3, 1, 1, requires_grad=True)
    sparse_conv(feats, weight, submanifold_map(coords, 3)).sum().backward()
    exact = feats.double().sum() - torch.tensor([1, 0, 1]) * feats[0].double()
    torch.testing.assert_close(weight.grad.flatten().double(), exact, rtol=1e-5, atol=0)


def guarded(*shape, fill=None):
    """Return an array, and its buffer with NaN before and behind."""
    size = int(np.prod(shape))
    buffer = np.full(size + 256, np.nan, np.float32)
    inner = buffer[128 : 128 + size].reshape(shape)
    inner[:] = np.random.default_rng(size).normal(size=shape) if fill is None else fill
    return inner, buffer


def is_intact(buffer):
    return np.isnan(buffer[:128]).all() and np.isnan(buffer[-128:]).all()


@pytest.mark.parametrize("missing", [0, 1, 5])
@pytest.mark.parametrize("vectors", range(1, 8))
def test_nothing_outside_is_touched(make_coords, vectors, missing):
    coords = torch.unique(make_coords(3, size=5), dim=0)
    kernel_map = submanifold_map(coords, 3)
    source, target, splits = (t.numpy() for t in (kernel_map.source, kernel_map.target, kernel_map.splits))
    # With columns missing the last vector of a row reaches into the next one.
    n, n_out = len(coords), vectors * _kernels_tiles.VECTOR_BYTES // 4 - missing
    blocks = -(-n // 16)
    pairs = source, target, _kernels.block_starts(target, splits, 16, blocks)
    for n_in in (4, 8, 12, 24):
        feats, weight = guarded(n, n_in)[0], guarded(27, n_in, n_out)[0]
        out, buffer = guarded(n, n_out, fill=7)
        for block in range(1, blocks - 1):
            _kernels.convolve_block(block, feats, weight, *pairs, 16, out)
        assert is_intact(buffer)
        assert np.isfinite(out).all()
        assert (out[:16] == 7).all()
        assert (out[16 * (blocks - 1) :] == 7).all()
        grad = guarded(n, n_out)[0]
        total, buffer = guarded(27, n_in, n_out, fill=0)
        _kernels.weight_gradient_part(0, feats, grad, *pairs, 1, total)
        assert is_intact(buffer)
        assert np.isfinite(total).all()


def test_blocks_begin_where_their_rows_do():
    target, splits = np.array([0, 1, 5, 6, 2, 7]), np.array([0, 4, 4, 6])
    starts = _kernels.block_starts(target, splits, 3, 3)
    assert starts.T.tolist() == [[0, 2, 3, 4], [4, 4, 4, 4], [4, 5, 5, 6]]
