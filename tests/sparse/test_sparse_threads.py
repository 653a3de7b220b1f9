"""The number of threads changes nothing."""

import pytest
import torch

from sparseclust.sparse import sparse_conv, strided_map, submanifold_map


@pytest.fixture
def threads():
    """Set torch's number of threads; the old one comes back afterwards."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def _results(feats, weight, kernel_map):
    feats = feats.clone().requires_grad_()
    weight = weight.clone().requires_grad_()
    out = sparse_conv(feats, weight, kernel_map)
    (out * torch.arange(out.shape[1])).sum().backward()
    return out.detach(), feats.grad, weight.grad


@pytest.mark.parametrize("in_order", [True, False])
@pytest.mark.parametrize("kind", ["submanifold", "strided", "inverse"])
def test_equal_for_any_number_of_threads(make_coords, threads, kind, in_order):
    coords = make_coords(3, size=24, fill=0.3)
    if in_order:
        coords = torch.unique(coords, dim=0)
    kernel_map = submanifold_map(coords, 3) if kind == "submanifold" else strided_map(coords, 2)[1]
    kernel_map = kernel_map.transposed() if kind == "inverse" else kernel_map
    assert len(kernel_map.source) > 3 * 4096 or kind != "submanifold"  # enough work for several threads
    # Small whole numbers: sums are exact in any order, so a lost or doubled pair cannot hide in rounding.
    feats = torch.randint(-3, 4, (kernel_map.n_source, 8)).float()
    weight = torch.randint(-3, 4, (kernel_map.volume, 8, 16)).float()
    threads(1)
    expected = _results(feats, weight, kernel_map)
    for n in (2, 3):
        threads(n)
        for a, b in zip(_results(feats, weight, kernel_map), expected):
            assert torch.equal(a, b)
