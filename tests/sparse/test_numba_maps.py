"""Kernel maps by merging ascending keys, against the reference."""

import pytest
import torch

from sparseclust.sparse import strided_map, submanifold_map, use_engine
from sparseclust.sparse.engines import _kernels_maps


def assert_equal(kernel_map, expected):
    for name in ("source", "target", "splits"):
        assert torch.equal(getattr(kernel_map, name).long(), getattr(expected, name))


@pytest.mark.parametrize("stride", [2, (1, 2, 3), (5, 1, 2), 4])
@pytest.mark.parametrize("ascending", [True, False])
@pytest.mark.parametrize("low", [0, -13])
def test_equal_to_the_reference(make_coords, stride, ascending, low):
    coords = make_coords(3, size=9, low=low)
    coords = torch.unique(coords, dim=0) if ascending else coords
    sites, kernel_map = strided_map(coords, stride)
    with use_engine("torch"):
        expected_sites, expected = strided_map(coords, stride)
    assert torch.equal(sites, expected_sites)
    assert sites.dtype == torch.int32
    assert_equal(kernel_map, expected)


@pytest.mark.parametrize("ndim", [1, 2, 4])
@pytest.mark.parametrize("n", [0, 1, 2, 50])
def test_any_number_of_axes_and_rows(make_coords, ndim, n):
    coords = torch.unique(make_coords(ndim, size=6, fill=0.9), dim=0)[:n]
    sites, kernel_map = strided_map(coords, 2)
    with use_engine("torch"):
        expected_sites, expected = strided_map(coords, 2)
    assert torch.equal(sites, expected_sites)
    assert_equal(kernel_map, expected)


def test_coordinates_at_the_edge_of_int32():
    edge = torch.iinfo(torch.int32)
    coords = torch.tensor([[0, edge.min], [0, edge.min + 1], [0, edge.max]], dtype=torch.int32)
    assert strided_map(coords, 2)[0].tolist() == [[0, edge.min // 2], [0, edge.max // 2]]


def test_rows_that_repeat_or_descend_do_not_ascend():
    rows = torch.tensor([[0, 1], [0, 2], [1, -5]]).numpy()
    assert _kernels_maps.ascend(rows)
    assert not _kernels_maps.ascend(rows[[0, 0, 1]])
    assert not _kernels_maps.ascend(rows[[0, 2, 1]])
    with pytest.raises(ValueError, match="coalesce"):
        strided_map(torch.tensor([[0, 1], [0, 1]], dtype=torch.int32), 2)


@pytest.fixture
def threads():
    """Set torch's number of threads; the old one comes back afterwards."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("ascending", [True, False])
@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize(("ndim", "window"), [(1, 2), (2, 4), (2, (5, 3)), (3, 3), (3, (1, 3, 2)), (4, 3)])
def test_neighbours_equal_those_of_the_reference(
    make_coords, threads, ndim, window, dilation, ascending, count
):
    threads(count)
    coords = make_coords(ndim, size=[0, 4000, 60, 16, 7][ndim], low=-3)
    coords = torch.unique(coords, dim=0) if ascending else coords
    for rows in (coords, coords[:1]):
        with use_engine("torch"):
            expected = submanifold_map(rows, window, dilation=dilation)
        assert_equal(submanifold_map(rows, window, dilation=dilation), expected)
