"""The grid of thresholds: against labels made one pair at a time, and what is chosen from it."""

import numpy as np
import pytest

from sparseclust.clustering import GaussianKernelClusterer
from sparseclust.data import Event
from sparseclust.pipeline import Prediction
from sparseclust.testing import random_event
from sparseclust.training import Scorer, ThresholdScan, tune_thresholds, with_thresholds

SEEDS, KERNELS = [0.0, 0.35, 0.7, 0.95], [0.1, 0.5, 0.9]


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
        found.append(Prediction(event, np.zeros(n, int), outputs))
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
    scan = tune_thresholds(predictions, clusterer=clusterer, seed_grid=SEEDS, kernel_grid=KERNELS)
    for i, s0 in enumerate(SEEDS):
        for j, p0 in enumerate(KERNELS):
            expected = _scores_of_pair(predictions, rules, s0, p0)
            assert scan.classes.tolist() == list(expected)
            for c, (ari, sbd) in enumerate(expected.values()):
                np.testing.assert_allclose((scan.ari[c, i, j], scan.sbd[c, i, j]), (ari, sbd), rtol=1e-12)


def test_the_best_pair_of_each_metric():
    ari = np.array([[[0.5, 0.9], [0.2, -0.1]]])
    sbd = np.array([[[0.6, 0.3], [0.7, 0.9]]])
    grids = (np.array([4]), np.array([0.1, 0.2]), np.array([0.3, 0.4]), ari, sbd, np.array([1]))
    assert ThresholdScan(*grids, "ari").best == {4: (0.1, 0.4)}
    assert ThresholdScan(*grids, "sbd").best == {4: (0.2, 0.4)}
    harmonic = ThresholdScan(*grids, "harmonic")
    assert harmonic.best == {4: (0.1, 0.3)}
    np.testing.assert_allclose(harmonic.scores[0], [[6 / 11, 0.45], [2.8 / 9, 0.0]])


def test_of_equal_scores_the_smallest_thresholds_are_best():
    flat = np.ones((1, 2, 2))
    scan = ThresholdScan(np.array([0]), np.array([0.1, 0.2]), np.array([0.3, 0.4]), flat, flat, [1], "sbd")
    assert scan.best == {0: (0.1, 0.3)}


def test_the_default_grid_is_twenty_by_twenty(predictions):
    scan = tune_thresholds(predictions[:1])
    assert scan.sbd.shape[1:] == (20, 20)
    assert scan.n_events.tolist() == [1] * len(scan.classes)


def test_the_best_thresholds_score_what_the_scan_says(predictions):
    scan = tune_thresholds(predictions, seed_grid=SEEDS, kernel_grid=KERNELS, metric="ari")
    tuned = with_thresholds(GaussianKernelClusterer(min_size=1), scan)
    assert set(tuned.seed_threshold) == {0, 1, 2, 3}
    for c, (s0, p0) in scan.best.items():
        assert (tuned.seed_threshold[c], tuned.kernel_threshold[c]) == (s0, p0)
        ari, _ = _scores_of_pair(predictions, {}, s0, p0)[c]
        assert ari == pytest.approx(scan.scores[list(scan.classes).index(c)].max())


def test_events_without_classes_get_one_pair(predictions):
    plain = [
        Prediction(Event(p.event.coords, p.event.feats, None, p.event.instance), p.labels, p.outputs)
        for p in predictions
    ]
    scan = tune_thresholds(plain, seed_grid=SEEDS, kernel_grid=KERNELS)
    assert scan.classes.tolist() == [-1]
    assert with_thresholds(GaussianKernelClusterer(), scan).seed_threshold == scan.best[-1][0]


def test_what_cannot_be_tuned_is_refused(predictions):
    [first, *_] = predictions
    with pytest.raises(ValueError, match=r"event 0: the outputs .*'margins'.* are needed"):
        tune_thresholds([Prediction(first.event, first.labels, {"embeddings": np.zeros((1, 1))})])
    with pytest.raises(ValueError, match="event 0 carries no true instances"):
        tune_thresholds(
            [Prediction(Event(first.event.coords, first.event.feats), first.labels, first.outputs)]
        )
    with pytest.raises(ValueError, match="nothing to tune on"):
        tune_thresholds([])
    with pytest.raises(ValueError, match="kernel_grid must lie strictly between 0 and 1"):
        tune_thresholds(predictions, kernel_grid=[0.0, 0.5])
    with pytest.raises(ValueError, match="seed_grid must hold at least one number"):
        tune_thresholds(predictions, seed_grid=[])
    with pytest.raises(ValueError, match="metric must be one of"):
        tune_thresholds(predictions, metric="dice")
