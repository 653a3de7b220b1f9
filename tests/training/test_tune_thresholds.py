"""The grid of thresholds: against labels made one pair at a time, and what is chosen from it."""

import numpy as np
import pytest
import torch

from sparseclust.clustering import AffinityGraphClusterer, GaussianKernelClusterer
from sparseclust.data import Event, VoxelInputs
from sparseclust.models import edge_spice
from sparseclust.pipeline import Prediction, Predictor
from sparseclust.testing import random_event
from sparseclust.training import Scorer, ThresholdScan, tune_thresholds, with_thresholds

SEEDS, KERNELS = [0.0, 0.35, 0.7, 0.95], [0.1, 0.5, 0.9]
KERNEL_GRIDS = {"seed_threshold": [0.3, 0.6], "kernel_threshold": [0.2, 0.6]}
GRIDS = {"seed_threshold": SEEDS, "kernel_threshold": KERNELS}


@pytest.fixture
def predictions(rng):
    """Outputs that follow the truth loosely, with some voxels that the network did not see."""
    found = []
    for _ in range(4):
        event = random_event(rng)
        n = len(event)
        centre = rng.random((event.instance.max() + 1, 2))
        outputs = {
            "embeddings": centre[event.instance] + rng.normal(size=(n, 2)) * 0.08,
            "margins": rng.uniform(0.02, 0.3, n),
            "seediness": rng.random(n).astype(np.float32),
        }
        for values in outputs.values():
            values[:2] = np.nan
        found.append(
            Prediction(event, np.zeros(n, int), outputs, voxel=np.arange(n) - (np.arange(n) < 2) * n)
        )
    return found


def _scores_of_pair(predictions, rules, s0, p0):
    """Mean scores per class, from labels made with one pair of thresholds."""
    scorer = Scorer()
    for p in predictions:
        seen = ~np.isnan(p.outputs["seediness"])
        event = p.event.select(seen)
        arrays = (p.outputs[name][seen] for name in ("embeddings", "margins", "seediness"))
        labels = GaussianKernelClusterer(s0, p0, **rules).fit_predict(*arrays, semantic=event.semantic)
        scorer.add(event, labels)
    table = scorer.table()
    return {
        int(c): tuple(table[name][table["semantic"] == c].mean() for name in ("ari", "sbd"))
        for c in np.unique(table["semantic"])
    }


@pytest.mark.parametrize(
    "rules", [{}, {"min_size": 3}, {"assignment": "argmax"}, {"leftover": "nearest", "min_size": 2}]
)
def test_every_pair_is_scored_as_if_alone(predictions, rules):
    clusterer = GaussianKernelClusterer(**rules)
    scan = tune_thresholds(predictions, clusterer=clusterer, grids=GRIDS)
    for i, s0 in enumerate(SEEDS):
        for j, p0 in enumerate(KERNELS):
            expected = _scores_of_pair(predictions, rules, s0, p0)
            assert scan.classes.tolist() == list(expected)
            for c, (ari, sbd) in enumerate(expected.values()):
                np.testing.assert_allclose((scan.ari[c, i, j], scan.sbd[c, i, j]), (ari, sbd), rtol=1e-12)


def _scan(classes, ari, sbd, metric):
    grids = {"seed_threshold": np.array([0.1, 0.2]), "kernel_threshold": np.array([0.3, 0.4])}
    return ThresholdScan(
        np.array(classes), grids, np.array(ari), np.array(sbd), np.ones(len(classes)), metric
    )


def _pairs(scan):
    return {c: tuple(best.values()) for c, best in scan.best.items()}


def test_the_best_pair_of_each_metric():
    ari, sbd = [[[0.5, 0.9], [0.2, -0.1]]], [[[0.6, 0.3], [0.7, 0.9]]]
    assert _scan([4], ari, sbd, "ari").best == {4: {"seed_threshold": 0.1, "kernel_threshold": 0.4}}
    assert _pairs(_scan([4], ari, sbd, "sbd")) == {4: (0.2, 0.4)}
    harmonic = _scan([4], ari, sbd, "harmonic")
    assert _pairs(harmonic) == {4: (0.1, 0.3)}
    np.testing.assert_allclose(harmonic.scores[0], [[6 / 11, 0.45], [2.8 / 9, 0.0]])


def test_a_class_that_hardly_cares_takes_what_is_near_the_best_of_all():
    """Class 1 decides; class 0 is best at 0.1 by a hair, class 2 by more than that."""
    grids = {"min_size": np.array([1]), "threshold": np.array([0.1, 0.3, 0.5, 0.7])}
    table = np.array([[[0.9001, 0.9, 0.9, 0.8]], [[0.1, 0.2, 0.9, 0.3]], [[0.9003, 0.9, 0.9, 0.9]]])
    scan = ThresholdScan(np.arange(3), grids, table, table, np.full(3, 9), "sbd")
    assert scan.best_for_all["threshold"] == 0.5
    assert [scan.best[c]["threshold"] for c in range(3)] == [0.5, 0.5, 0.1]


def test_of_equal_scores_the_smallest_thresholds_are_best():
    flat = np.ones((1, 2, 2))
    scan = _scan([0], flat, flat, "sbd")
    assert _pairs(scan) == {0: (0.1, 0.3)}
    assert tuple(scan.best_for_all.values()) == (0.1, 0.3)


def test_the_best_for_all_is_the_best_mean_over_classes():
    table = [[[0.9, 0.6], [0.0, 0.0]], [[0.1, 0.5], [0.2, 0.9]]]
    scan = _scan([0, 1], table, table, "ari")
    assert _pairs(scan) == {0: (0.1, 0.3), 1: (0.2, 0.4)}
    assert tuple(scan.best_for_all.values()) == (0.1, 0.4)


def test_the_default_grid_is_twenty_by_twenty(predictions):
    scan = tune_thresholds(predictions[:1])
    assert scan.sbd.shape[1:] == (20, 20)
    assert scan.n_events.tolist() == [1] * len(scan.classes)


def test_the_best_thresholds_score_what_the_scan_says(predictions):
    scan = tune_thresholds(predictions, grids=GRIDS, metric="ari")
    tuned = with_thresholds(GaussianKernelClusterer(min_size=1), scan)
    assert set(tuned.seed_threshold) == {0, 1, 2, 3}
    for c, (s0, p0) in _pairs(scan).items():
        assert (tuned.seed_threshold[c], tuned.kernel_threshold[c]) == (s0, p0)
        ari, _ = _scores_of_pair(predictions, {}, s0, p0)[c]
        assert ari == pytest.approx(scan.scores[list(scan.classes).index(c)].max())


def test_events_without_classes_get_one_pair(predictions):
    plain = [
        Prediction(
            Event(p.event.coords, p.event.feats, None, p.event.instance), p.labels, p.outputs, voxel=p.voxel
        )
        for p in predictions
    ]
    scan = tune_thresholds(plain, grids=GRIDS)
    assert scan.classes.tolist() == [-1]
    tuned = with_thresholds(GaussianKernelClusterer(), scan)
    assert (tuned.seed_threshold, tuned.kernel_threshold) == _pairs(scan)[-1]


def test_what_cannot_be_tuned_is_refused(predictions):
    [first, *_] = predictions
    with pytest.raises(
        ValueError, match=r"event 0: GaussianKernelClusterer needs \['margins', 'seediness'\]"
    ):
        tune_thresholds([Prediction(first.event, first.labels, {"embeddings": np.zeros((1, 1))})])
    with pytest.raises(ValueError, match="event 0 carries no true instances"):
        tune_thresholds(
            [Prediction(Event(first.event.coords, first.event.feats), first.labels, first.outputs)]
        )
    with pytest.raises(ValueError, match="nothing to tune on"):
        tune_thresholds([])
    with pytest.raises(ValueError, match=r"event 0: AffinityGraphClusterer needs .'edges'."):
        tune_thresholds(predictions, clusterer=AffinityGraphClusterer())
    with pytest.raises(ValueError, match="kernel_threshold must lie strictly between 0 and 1"):
        tune_thresholds(predictions, grids={"kernel_threshold": [0.0, 0.5]})
    with pytest.raises(ValueError, match="seed_threshold must hold at least one number"):
        tune_thresholds(predictions, grids={"seed_threshold": []})
    with pytest.raises(ValueError, match=r"AffinityGraphClusterer has the thresholds .* got grids of .'s0'."):
        tune_thresholds(predictions, clusterer=AffinityGraphClusterer(), grids={"s0": [0.5]})
    with pytest.raises(ValueError, match="min_size must hold integers >= 1"):
        tune_thresholds(predictions, clusterer=AffinityGraphClusterer(), grids={"min_size": [1.5]})
    with pytest.raises(ValueError, match="metric must be one of"):
        tune_thresholds(predictions, metric="dice")


@pytest.fixture(scope="module")
def repeated():
    """Events with rows on one voxel, in two classes, and voxels of no class that is clustered."""
    rng = np.random.default_rng(3)
    found = []
    for _ in range(3):
        event = random_event(rng, n_instances=8, spatial_size=12)
        n = len(event)
        event = Event(event.coords, event.feats, rng.integers(0, 5, n), event.instance)
        found.append(event.select(np.concatenate([np.arange(0, n, 3), np.arange(n)])))
    return found


@pytest.mark.parametrize(
    ("clusterer", "grids"),
    [
        (AffinityGraphClusterer(), {"min_size": [1, 3, 20], "threshold": [0.3, 0.5, 0.52, 0.9]}),
        (GaussianKernelClusterer(min_size=2), KERNEL_GRIDS),
        (GaussianKernelClusterer(leftover="nearest"), KERNEL_GRIDS),
    ],
    ids=["graph", "kernels", "nearest"],
)
@pytest.mark.parametrize("refine", [False, True])
def test_every_pair_scores_what_the_predictor_scores_with_it(repeated, clusterer, grids, refine):
    if refine and isinstance(clusterer, AffinityGraphClusterer):
        with pytest.raises(ValueError, match="an affinity graph needs none of it"):
            tune_thresholds([], clusterer=clusterer, refine=True)
        return
    with torch.random.fork_rng():
        torch.manual_seed(5)
        network = edge_spice(spatial_size=16, base_channels=4, depth=2, reps=1, initial_margin=0.1)
    predictor = Predictor(network, clusterer, inputs=VoxelInputs(16), batch_size=2, refine=refine)
    scan = tune_thresholds(predictor.predict(repeated), clusterer=clusterer, grids=grids, refine=refine)
    (first, firsts), (second, seconds) = scan.grids.items()
    for i, a in enumerate(firsts):
        for j, b in enumerate(seconds):
            values = clusterer.get_params() | {first: a.item(), second: b.item()}
            predictor.clusterer = type(clusterer)(**values)
            scorer = Scorer()
            for p in predictor.predict(repeated):
                scorer.add(p.event, p.labels)
            table = scorer.table()
            for k, c in enumerate(scan.classes):
                rows = table[table["semantic"] == c]
                expected = rows["ari"].mean(), rows["sbd"].mean()
                np.testing.assert_allclose((scan.ari[k, i, j], scan.sbd[k, i, j]), expected, rtol=1e-12)
    assert len({scan.sbd[:, i, j].tobytes() for i in range(len(firsts)) for j in range(len(seconds))}) > 2


@pytest.mark.parametrize("least", [3, 7, 9])
def test_the_least_size_of_a_class_is_found_to_the_voxel(least):
    """A line is one particle cut at a wrong place, and touches a particle of the least size."""
    n = 30 + least
    line = np.c_[np.arange(n), np.zeros((n, 2), int)]
    event = Event(line, np.ones(n), semantic=np.ones(n, int), instance=(np.arange(n) >= 30).astype(int))
    edges = np.stack([np.arange(n - 1), np.arange(1, n)])
    affinity = np.where((edges[1] == least - 1) | (edges[1] == 30), 0.1, 0.9)
    found = [Prediction(event, np.zeros(n, int), {}, edges=edges, affinity=affinity)]
    best = tune_thresholds(found, clusterer=AffinityGraphClusterer()).best[1]
    assert best["min_size"] == least
    assert 0.1 < best["threshold"] < 0.9


def test_a_graph_gets_a_pair_per_class(repeated):
    network = edge_spice(spatial_size=16, base_channels=4, depth=2, reps=1)
    clusterer = AffinityGraphClusterer(threshold=0.7)
    predictor = Predictor(network, clusterer, inputs=VoxelInputs(16))
    scan = tune_thresholds(predictor.predict(repeated), clusterer=clusterer)
    assert scan.sbd.shape[1:] == (13, 20)
    tuned = with_thresholds(clusterer, scan)
    for name in ("threshold", "min_size"):
        assert getattr(tuned, name).items() >= {c: best[name] for c, best in scan.best.items()}.items()
    assert all(isinstance(size, int) for size in tuned.min_size.values())
    assert tuned.linkage == clusterer.linkage
    shared = with_thresholds(clusterer, scan, together=True).get_params()
    assert shared == {**clusterer.get_params(), **scan.best_for_all}
    with pytest.raises(ValueError, match=r"the scan is of .*min_size.*GaussianKernelClusterer has"):
        with_thresholds(GaussianKernelClusterer(), scan)
