"""Clusters of a graph of neighbouring voxels."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparseclust.clustering import AffinityGraphClusterer, _reference, neighbour_edges
from sparseclust.clustering import connected_components as components


@st.composite
def graphs(draw):
    """Any edges, with loops, repeats and equal affinities."""
    n, m = draw(st.integers(1, 30)), draw(st.integers(0, 60))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    levels = draw(st.sampled_from([[0.2, 0.5, 0.8, 0.9], list(rng.random(50))]))
    return n, rng.integers(0, n, (2, m)), rng.choice(levels, m)


@settings(max_examples=300, deadline=None)
@given(graphs(), st.integers(1, 9), st.sampled_from([-1.0, 0.5, 0.8, 2.0]))
def test_pieces_equal_the_reference(graph, min_size, threshold):
    n, edges, affinity = graph
    labels = AffinityGraphClusterer(threshold=threshold, min_size=min_size).fit_predict(edges, affinity, n=n)
    assert np.array_equal(labels, _reference.affinity_pieces(n, edges, affinity, threshold, min_size))


@settings(max_examples=300, deadline=None)
@given(graphs(), st.integers(0, 2**32))
def test_pieces_of_several_classes_equal_the_reference(graph, seed):
    n, edges, affinity = graph
    semantic = np.random.default_rng(seed).integers(0, 3, n)
    thresholds, sizes = np.array([0.4, 0.7, 0.9]), np.array([5, 1, 3])
    clusterer = AffinityGraphClusterer(
        threshold=dict(enumerate(thresholds)), min_size=dict(enumerate(sizes.tolist()))
    )
    labels = clusterer.fit_predict(edges, affinity, n=n, semantic=semantic)
    limits = thresholds[semantic[edges]].max(axis=0)
    assert np.array_equal(labels, _reference.affinity_pieces(n, edges, affinity, limits, sizes[semantic]))


@settings(deadline=None)
@given(graphs(), st.integers(1, 9))
def test_only_pieces_without_edges_stay_small(graph, min_size):
    n, edges, affinity = graph
    labels = AffinityGraphClusterer(min_size=min_size).fit_predict(edges, affinity, n=n)
    size = np.bincount(labels)
    first, second = labels[edges]
    apart = first != second
    assert np.all(size[first[apart]] >= min_size)
    assert np.all(size[second[apart]] >= min_size)
    assert np.all(affinity[apart] < 0.8)


@settings(deadline=None)
@given(st.integers(0, 2**32))
def test_without_ties_the_order_of_rows_and_edges_does_not_matter(seed):
    rng = np.random.default_rng(seed)
    edges, affinity = rng.integers(0, 40, (2, 80)), rng.permutation(80) / 80
    rows, order = rng.permutation(40), rng.permutation(80)
    clusterer = AffinityGraphClusterer(threshold=0.9, min_size=5)
    labels = clusterer.fit_predict(edges, affinity, n=40)
    moved = clusterer.fit_predict(rows[edges[::-1, order]], affinity[order], n=40)[rows]
    assert np.array_equal(labels[:, None] == labels, moved[:, None] == moved)


def test_a_cut_between_two_touching_particles_holds():
    coords = np.stack(np.meshgrid(range(8), range(4), indexing="ij"), axis=-1).reshape(-1, 2)
    edges = neighbour_edges(coords)
    side = coords[:, 0] < 4
    affinity = np.where(side[edges[0]] == side[edges[1]], 0.95, 0.4)
    labels = AffinityGraphClusterer(threshold=0.8, min_size=8).fit_predict(edges, affinity, n=len(coords))
    assert np.array_equal(labels, np.where(side, 0, 1))


def test_a_threshold_below_every_affinity_gives_the_components(rng):
    coords = rng.integers(0, 12, (200, 3))
    edges = neighbour_edges(coords)
    labels = AffinityGraphClusterer(threshold=0.0, min_size=1).fit_predict(
        edges, rng.random(edges.shape[1]), n=200
    )
    assert np.array_equal(labels, components(coords))


def test_a_small_piece_follows_its_strongest_edge():
    edges = [[0, 1, 3, 4, 1, 2], [1, 6, 4, 5, 2, 3]]
    affinity = [0.9, 0.9, 0.9, 0.9, 0.3, 0.4]
    assert AffinityGraphClusterer(min_size=2).fit_predict(edges, affinity, n=7).tolist() == [
        0,
        0,
        1,
        1,
        1,
        1,
        0,
    ]
    assert AffinityGraphClusterer(min_size=1).fit_predict(edges, affinity, n=7).tolist() == [
        0,
        0,
        1,
        2,
        2,
        2,
        0,
    ]


def test_no_rows_and_no_edges():
    none = np.zeros((2, 0), int)
    assert AffinityGraphClusterer().fit_predict(none, [], n=0).shape == (0,)
    assert AffinityGraphClusterer().fit_predict(none, [], n=3).tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("edges", "affinity", "message"),
    [
        (
            [[0, 1], [1, 3]],
            [0.5, 0.5],
            r"edges must join rows 0 to 2: 1 edges do not, the first is edge 1: \[1, 3\]",
        ),
        ([[-1], [1]], [0.5], "edges must join rows"),
        ([[0, 1, 2]], [0.5], r"edges must have shape \(2, m\)"),
        ([[0], [1]], [0.5, 0.5], r"affinity must have shape \(1,\)"),
        ([[0], [1]], [np.nan], "affinity must not be NaN: 1 of 1 rows"),
    ],
)
def test_bad_graphs_are_refused(edges, affinity, message):
    with pytest.raises(ValueError, match=message):
        AffinityGraphClusterer().fit_predict(edges, affinity, n=3)


def test_bad_parameters_are_refused():
    none = np.zeros((2, 0), int)
    with pytest.raises(ValueError, match="min_size must be an integer >= 1"):
        AffinityGraphClusterer(min_size=0).fit_predict(none, [], n=1)
    with pytest.raises(ValueError, match="threshold must be a number"):
        AffinityGraphClusterer(threshold=float("nan")).fit_predict(none, [], n=1)
    with pytest.raises(ValueError, match="n must be an integer >= 0"):
        AffinityGraphClusterer().fit_predict(none, [], n=-1)
    with pytest.raises(TypeError, match="edges must be integers"):
        AffinityGraphClusterer().fit_predict([[0.0], [1.0]], [0.5], n=2)


@settings(max_examples=300, deadline=None)
@given(st.integers(1, 25), st.integers(0, 120), st.integers(0, 2**32), st.sampled_from([0.3, 0.5, 0.9]))
def test_contracted_pieces_equal_the_reference(n, m, seed, threshold):
    rng = np.random.default_rng(seed)
    edges, affinity = rng.integers(0, n, (2, m)), rng.random(m)
    clusterer = AffinityGraphClusterer(threshold=threshold, min_size=1, linkage="additive")
    weight = np.log(affinity / (1 - affinity)) - np.log(threshold / (1 - threshold))
    assert np.array_equal(
        clusterer.fit_predict(edges, affinity, n=n), _reference.contracted_pieces(n, edges, weight)
    )


def test_contraction_of_a_large_graph_equals_the_reference():
    rng = np.random.default_rng(3)
    coords = np.unique(rng.integers(0, 14, (160, 2)), axis=0)
    edges = neighbour_edges(coords)
    side = coords[:, 0] < 7
    affinity = np.where(side[edges[0]] == side[edges[1]], 0.8, 0.3) + 0.15 * rng.random(edges.shape[1])
    labels = AffinityGraphClusterer(threshold=0.5, min_size=1, linkage="additive").fit_predict(
        edges, affinity, n=len(coords)
    )
    weight = np.log(affinity / (1 - affinity))
    assert np.array_equal(labels, _reference.contracted_pieces(len(coords), edges, weight))


def test_one_wrong_edge_among_many_joins_only_with_single_linkage():
    coords = np.stack(np.meshgrid(range(8), range(4), indexing="ij"), axis=-1).reshape(-1, 2)
    edges = neighbour_edges(coords)
    side = coords[:, 0] < 4
    affinity = np.where(side[edges[0]] == side[edges[1]], 0.95, 0.2)
    affinity[np.flatnonzero(side[edges[0]] != side[edges[1]])[3]] = 0.9
    for linkage, pieces in (("single", 1), ("additive", 2)):
        labels = AffinityGraphClusterer(linkage=linkage).fit_predict(edges, affinity, n=len(coords))
        assert len(np.unique(labels)) == pieces


def test_small_pieces_are_absorbed_after_contraction():
    edges, affinity = [[0, 1, 2, 3, 4], [1, 2, 3, 4, 5]], [0.9, 0.9, 0.1, 0.2, 0.9]
    for size, labels in ((1, [0, 0, 0, 1, 2, 2]), (2, [0, 0, 0, 1, 1, 1])):
        clusterer = AffinityGraphClusterer(threshold=0.5, min_size=size, linkage="additive")
        assert clusterer.fit_predict(edges, affinity, n=6).tolist() == labels


@pytest.mark.parametrize("linkage", ["single", "additive"])
def test_parameters_per_class_are_those_of_classes_alone(rng, linkage):
    edges, affinity = rng.integers(0, 30, (2, 90)), rng.random(90)
    semantic = np.repeat([1, 3], 15)
    edges = edges[:, semantic[edges[0]] == semantic[edges[1]]]
    affinity = affinity[: edges.shape[1]]
    thresholds, sizes = {1: 0.4, 3: 0.8}, {1: 5, 3: 1}
    both = AffinityGraphClusterer(threshold=thresholds, min_size=sizes, linkage=linkage).fit_predict(
        edges, affinity, n=30, semantic=semantic
    )
    for c in (1, 3):
        alone = AffinityGraphClusterer(threshold=thresholds[c], min_size=sizes[c], linkage=linkage)
        labels = alone.fit_predict(edges, affinity, n=30)
        of_class = np.flatnonzero(semantic == c)
        same = labels[of_class][:, None] == labels[of_class]
        assert np.array_equal(both[of_class][:, None] == both[of_class], same)


def test_a_class_without_a_value_is_named():
    clusterer = AffinityGraphClusterer(threshold={1: 0.5})
    with pytest.raises(ValueError, match=r"threshold has no value for the classes \[2\]; it has \[1\]"):
        clusterer.fit_predict([[0], [1]], [0.5], n=2, semantic=[1, 2])
    with pytest.raises(ValueError, match="pass semantic="):
        clusterer.fit_predict([[0], [1]], [0.5], n=2)


def test_additive_linkage_wants_probabilities():
    with pytest.raises(ValueError, match="affinity must lie between 0 and 1"):
        AffinityGraphClusterer(linkage="additive").fit_predict([[0], [1]], [1.5], n=2)
    with pytest.raises(ValueError, match="threshold must lie strictly between 0 and 1"):
        AffinityGraphClusterer(threshold=1.0, linkage="additive").fit_predict([[0], [1]], [0.5], n=2)
    with pytest.raises(ValueError, match="linkage must be one of 'single', 'additive'"):
        AffinityGraphClusterer(linkage="average").fit_predict([[0], [1]], [0.5], n=2)
