import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sparseclust.clustering import bridge_edges, connected_components, neighbour_edges


def reference(coords, labels, radius, group):
    """All pairs, one by one."""
    best = {}
    for i in range(len(coords)):
        for j in range(i + 1, len(coords)):
            if group[i] != group[j] or labels[i] == labels[j] or -1 in (labels[i], labels[j]):
                continue
            squared = int(((coords[i] - coords[j]) ** 2).sum())
            if squared <= radius**2:
                pieces = (group[i], *sorted((labels[i], labels[j])))
                best[pieces] = min(best.get(pieces, (squared, i, j)), (squared, i, j))
    return sorted((i, j) for _, i, j in best.values())


@given(
    coords=arrays(np.int64, (12, 2), elements=st.integers(-6, 6)),
    labels=arrays(np.int64, 12, elements=st.integers(-1, 3)),
    group=arrays(np.int64, 12, elements=st.integers(-1, 1)),
    radius=st.sampled_from([0.0, 1.0, 1.5, 2.9, 6.0]),
)
def test_bridges_are_those_of_all_pairs(coords, labels, group, radius):
    edges = bridge_edges(coords, labels, radius=radius, group=group)
    assert [tuple(edge) for edge in edges.T] == reference(coords, labels, radius, group)


def test_where_each_voxel_is_a_piece_all_near_pairs_are_bridges(rng):
    """Many more pairs than voxels, which one sweep has no room for."""
    coords = np.unique(rng.integers(0, 6, (150, 3)), axis=0)
    expected = neighbour_edges(coords, radius=4.0)
    assert expected.shape[1] > 10 * len(coords)
    np.testing.assert_array_equal(bridge_edges(coords, np.arange(len(coords)), radius=4.0), expected)


def test_pieces_of_a_line():
    coords = np.array([[0, 0, 0], [0, 0, 1], [0, 0, 4], [0, 0, 11]])
    pieces = connected_components(coords)
    assert bridge_edges(coords, pieces).tolist() == [[1], [2]]
    assert bridge_edges(coords, pieces, radius=7).tolist() == [[1, 2], [2, 3]]
    assert bridge_edges(coords, pieces, radius=2.9).shape == (2, 0)


@pytest.mark.parametrize("n", [0, 1])
def test_nothing_to_bridge(n):
    assert bridge_edges(np.zeros((n, 3), int), np.zeros(n, int)).shape == (2, 0)


def test_wrong_labels():
    with pytest.raises(ValueError, match="labels"):
        bridge_edges([[0], [1]], [0])
    with pytest.raises(TypeError, match="labels"):
        bridge_edges([[0], [1]], [0.0, 1.0])
