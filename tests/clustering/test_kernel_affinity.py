"""Affinities of edges from embeddings and margins."""

import numpy as np
import pytest

from sparseclust.clustering import AffinityGraphClusterer, gaussian_kernel, kernel_affinity, neighbour_edges


def test_values_by_hand():
    edges = [[0, 1, 0], [1, 2, 0]]
    affinity = kernel_affinity(edges, [[0.0, 0.0], [3.0, 4.0], [3.0, 4.5]], [3.0, 4.0, 0.5])
    assert affinity == pytest.approx([np.exp(-0.5), np.exp(-0.25 / (2 * 16.25)), 1.0])


@pytest.mark.parametrize("columns", [1, 3])
def test_symmetric_and_equal_to_a_kernel_of_both_widths(rng, columns):
    x = rng.normal(size=(20, 3))
    margins = rng.uniform(0.1, 2, (20, columns))
    edges = rng.integers(0, 20, (2, 50))
    affinity = kernel_affinity(edges, x, margins)
    np.testing.assert_array_equal(affinity, kernel_affinity(edges[::-1], x, margins))
    for value, (a, b) in zip(affinity, edges.T):
        both = np.sqrt(margins[a] ** 2 + margins[b] ** 2)
        assert value == pytest.approx(gaussian_kernel(x[[a]], x[b], both)[0], abs=1e-15)


def test_zero_width_kernels_overlap_at_their_own_place_only():
    affinity = kernel_affinity([[0, 0, 0], [1, 2, 0]], [[0.0], [0.0], [1e-9]], [0.0, 0.0, 0.0])
    assert affinity.tolist() == [1.0, 0.0, 1.0]


def test_no_edges():
    assert kernel_affinity(np.zeros((2, 0), int), np.zeros((0, 3)), np.zeros(0)).shape == (0,)


def test_edges_outside_the_rows_are_refused():
    with pytest.raises(ValueError, match="edge"):
        kernel_affinity([[0], [5]], [[0.0]], [1.0])


def test_cuts_touching_particles_that_embeddings_hold_apart():
    coords = np.column_stack([np.arange(40), np.zeros((40, 2), int)])
    embeddings = np.where(np.arange(40) < 20, -1.0, 1.0)[:, None] + np.linspace(0, 0.01, 40)[:, None]
    edges = neighbour_edges(coords)
    affinity = kernel_affinity(edges, embeddings, np.full(40, 0.1))
    labels = AffinityGraphClusterer(threshold=0.5).fit_predict(edges, affinity, n=40)
    np.testing.assert_array_equal(labels, np.repeat([0, 1], 20))
