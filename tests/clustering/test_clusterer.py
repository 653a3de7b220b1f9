"""The Gaussian-kernel estimator: thresholds per class, attributes, scikit-learn's protocol."""

import numpy as np
import pytest
from sklearn.base import clone

from sparseclust.clustering import (
    AffinityGraphClusterer,
    GaussianKernelClusterer,
    cluster_embeddings,
    gaussian_kernel,
)


@pytest.fixture
def points(rng):
    n = 500
    return rng.random((n, 3)), 0.05 + 0.2 * rng.random(n), rng.random(n)


def test_one_threshold_gives_what_the_function_gives(points, rng):
    event, semantic = rng.integers(-1, 2, 500) * 2**40, rng.integers(0, 3, 500)
    labels = GaussianKernelClusterer(0.4, 0.3, min_size=2).fit_predict(
        *points, semantic=semantic, event=event
    )
    group = (event // 2**40) * 3 + semantic
    options = {"seed_threshold": 0.4, "kernel_threshold": 0.3, "min_size": 2}
    assert np.array_equal(labels, cluster_embeddings(*points, group=group, **options))


def test_each_class_follows_its_own_thresholds(points, rng):
    semantic = rng.integers(0, 2, 500)
    seed, kernel = {0: 0.2, 1: 0.9}, {0: 0.5, 1: 0.1, 7: 0.3}
    labels = GaussianKernelClusterer(seed, kernel).fit_predict(*points, semantic=semantic)
    found = 0
    for c in (0, 1):
        rows = semantic == c
        options = {"seed_threshold": seed[c], "kernel_threshold": kernel[c]}
        alone = cluster_embeddings(*(a[rows] for a in points), **options)
        assert np.array_equal(labels[rows], np.where(alone >= 0, alone + found, -1))
        found += alone.max() + 1


@pytest.mark.parametrize("per_axis", [False, True])
def test_attributes_describe_each_label(points, per_axis):
    x, margins, seediness = points
    margins = np.repeat(margins[:, None], 3, axis=1) if per_axis else margins
    clusterer = GaussianKernelClusterer(seed_threshold=0.5)
    labels = clusterer.fit_predict(x, margins, seediness)
    assert np.array_equal(clusterer.labels_, labels)
    assert np.array_equal(labels[clusterer.seeds_], np.arange(labels.max() + 1))
    assert np.array_equal(clusterer.centroids_, x[clusterer.seeds_])
    assert np.array_equal(clusterer.margins_, margins.reshape(500, -1)[clusterer.seeds_])
    assert np.array_equal(clusterer.scores_, seediness[clusterer.seeds_])
    assert np.all(np.diff(clusterer.scores_) <= 0)


@pytest.mark.parametrize("rules", [{}, {"leftover": "nearest"}, {"assignment": "argmax", "min_size": 3}])
@pytest.mark.parametrize("per_axis", [False, True])
def test_instances_are_described_as_kernels_by_themselves_say(points, rng, rules, per_axis):
    x, margins, seediness = points
    margins = rng.uniform(0.05, 0.3, (500, 3)) if per_axis else margins
    semantic, event = rng.integers(0, 3, 500), rng.integers(0, 2, 500)
    clusterer = GaussianKernelClusterer(0.5, **rules)
    labels = clusterer.fit_predict(x, margins, seediness, semantic=semantic, event=event)
    table = np.stack([gaussian_kernel(x, x[i], margins[i]) for i in clusterer.seeds_])
    kind, cell = semantic[clusterer.seeds_], event[clusterer.seeds_]
    for k, instance in enumerate(clusterer.instances_):
        members = labels == k
        rivals = (kind == kind[k]) & (cell == cell[k])
        rivals[k] = False
        runner_up = np.where(table[rivals] > 1e-3, table[rivals], 0.0).max(axis=0, initial=0.0)
        assert instance["seediness"] == seediness[clusterer.seeds_[k]]
        assert instance["size"] == members.sum()
        assert instance["kernel"] == pytest.approx(table[k, members].mean())
        assert instance["margin"] == pytest.approx((table[k] - runner_up)[members].mean())


def test_instances_of_kernels_without_width():
    clusterer = GaussianKernelClusterer()
    clusterer.fit_predict(np.zeros((2, 1)), np.zeros(2), [1.0, 0.5])
    assert clusterer.instances_.tolist() == [(1.0, 1, 1.0, 1.0), (0.5, 1, 1.0, 1.0)]


def test_no_points():
    clusterer = GaussianKernelClusterer({0: 0.5})
    labels = clusterer.fit_predict(np.zeros((0, 3)), np.zeros(0), np.zeros(0), semantic=np.zeros(0, int))
    assert labels.shape == (0,)
    assert clusterer.centroids_.shape == (0, 3)
    assert clusterer.instances_.shape == (0,)


@pytest.mark.parametrize(
    "estimator", [GaussianKernelClusterer({0: 0.5}, min_size=3), AffinityGraphClusterer(min_size=2)]
)
def test_scikit_learn_protocol(estimator):
    twin = clone(estimator)
    assert twin is not estimator
    assert twin.get_params() == estimator.get_params()
    assert twin.set_params(min_size=5) is twin
    assert twin.min_size == 5
    assert estimator.min_size != 5
    with pytest.raises(ValueError, match="has no parameter 'eps'; it has"):
        twin.set_params(eps=1.0)
    assert repr(estimator).startswith(type(estimator).__name__ + "(")


def test_thresholds_per_class_need_the_class_of_each_point(points):
    with pytest.raises(ValueError, match="pass semantic="):
        GaussianKernelClusterer({0: 0.5}).fit_predict(*points)
    with pytest.raises(ValueError, match=r"seed_threshold has no value for the classes \[4\]; it has \[0\]"):
        GaussianKernelClusterer({0: 0.5}).fit_predict(*points, semantic=np.repeat([0, 4], 250))
    with pytest.raises(ValueError, match=r"kernel_threshold\[4\] must lie strictly between 0 and 1"):
        GaussianKernelClusterer(0.5, {4: 1.5}).fit_predict(*points, semantic=np.full(500, 4))
    with pytest.raises(ValueError, match=r"event must have shape \(500,\)"):
        GaussianKernelClusterer().fit_predict(*points, event=[0])
