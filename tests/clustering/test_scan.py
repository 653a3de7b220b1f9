"""Clusters at many thresholds in one pass: those of one threshold at a time."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import problems

from sparseclust.clustering import (
    AffinityGraphClusterer,
    cluster_embeddings,
    scan_affinities,
    scan_kernels,
)

KERNELS = [0.5, 0.01, float(np.exp(-2.0)), 0.99, 0.3, 0.5]


def _renamed(names):
    """Labels by first appearance of the name; -1 stays."""
    found = {}
    return [-1 if name < 0 else found.setdefault(name, len(found)) for name in names.tolist()]


@settings(max_examples=200, deadline=None)
@given(problems(), st.booleans())
def test_every_kernel_threshold_as_if_alone(problem, many):
    del problem["kernel_threshold"]
    thresholds = np.linspace(0.01, 0.99, 130) if many else KERNELS
    seeds = scan_kernels(**problem, kernel_thresholds=thresholds)
    assert seeds.shape == (len(thresholds), len(problem["embeddings"]))
    for row, p0 in list(zip(seeds, thresholds))[:: 13 if many else 1]:
        labels = cluster_embeddings(**problem, kernel_threshold=p0, backend="reference")
        assert _renamed(row) == _renamed(labels)
        clustered = row >= 0
        assert np.array_equal(row[row[clustered]], row[clustered])


@settings(max_examples=100, deadline=None)
@given(problems(), st.sampled_from([0.25, 0.5, 0.9]))
def test_a_higher_seed_threshold_keeps_the_clusters_whose_seeds_reach_it(problem, s0):
    del problem["kernel_threshold"]
    problem["seed_threshold"] = 0.0
    [seeds] = scan_kernels(**problem, kernel_thresholds=[0.4])
    score = problem["seediness"]
    reached = (
        np.where((seeds >= 0) & (score[seeds] >= score.dtype.type(s0)), seeds, -1) if len(score) else seeds
    )
    labels = cluster_embeddings(**problem | {"seed_threshold": s0}, kernel_threshold=0.4)
    assert _renamed(reached) == _renamed(labels)


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 30), st.integers(0, 60), st.integers(0, 2**32))
def test_every_affinity_and_size_as_if_alone(n, m, seed):
    rng = np.random.default_rng(seed)
    edges, affinity = rng.integers(0, n, (2, m)), rng.choice([0.2, 0.5, 0.8, rng.random()], m)
    thresholds, sizes = [0.5, -1.0, 0.8, 0.3, 2.0], [3, 1, 9, 2]
    pieces = scan_affinities(edges, affinity, n=n, thresholds=thresholds, min_sizes=sizes)
    assert pieces.shape == (5, 4, n)
    for t, threshold in enumerate(thresholds):
        for s, size in enumerate(sizes):
            alone = AffinityGraphClusterer(threshold=threshold, min_size=size)
            labels = alone.fit_predict(edges, affinity, n=n)
            assert _renamed(pieces[t, s]) == labels.tolist()
            assert np.array_equal(pieces[t, s], np.unique(labels, return_index=True)[1][labels])


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 30), st.integers(0, 60), st.integers(0, 2**32))
def test_every_contraction_as_if_alone(n, m, seed):
    rng = np.random.default_rng(seed)
    edges, affinity = rng.integers(0, n, (2, m)), rng.random(m)
    thresholds, sizes = [0.5, 0.2, 0.8], [3, 1, 9]
    pieces = scan_affinities(edges, affinity, n=n, thresholds=thresholds, min_sizes=sizes, linkage="additive")
    for t, threshold in enumerate(thresholds):
        for s, size in enumerate(sizes):
            alone = AffinityGraphClusterer(threshold=threshold, min_size=size, linkage="additive")
            labels = alone.fit_predict(edges, affinity, n=n)
            assert np.array_equal(pieces[t, s], np.unique(labels, return_index=True)[1][labels])


def test_nothing_to_scan():
    assert scan_kernels(np.zeros((0, 2)), [], [], kernel_thresholds=[0.2, 0.3]).shape == (2, 0)
    assert scan_kernels([[0.0]], [1.0], [1.0], kernel_thresholds=[]).shape == (0, 1)
    none = np.zeros((2, 0), int)
    assert scan_affinities(none, [], n=0, thresholds=[0.5]).shape == (1, 1, 0)
    assert scan_affinities(none, [], n=2, thresholds=[0.5], min_sizes=[1]).tolist() == [[[0, 1]]]


def test_what_is_no_threshold_is_refused():
    with pytest.raises(ValueError, match="kernel_thresholds must lie strictly between 0 and 1, got 1"):
        scan_kernels([[0.0]], [1.0], [1.0], kernel_thresholds=[0.5, 1.0])
    with pytest.raises(ValueError, match="thresholds must be a number, got nan"):
        scan_affinities([[0], [1]], [0.5], n=2, thresholds=[np.nan])
    with pytest.raises(ValueError, match="min_sizes must be an integer >= 1, got 0"):
        scan_affinities([[0], [1]], [0.5], n=2, thresholds=[0.5], min_sizes=[0])
