"""Scores against the truth, DBSCAN beside them."""

import numpy as np
import pytest

from sparseclust.data import Event
from sparseclust.metrics import match_instances, score_events, score_partition
from sparseclust.pipeline import Prediction
from sparseclust.testing import random_event
from sparseclust.training import PUBLISHED, Scorer, dbscan_labels, evaluate


def test_scorer_equals_scoring_all_events_at_once(rng):
    events = [random_event(rng) for _ in range(150)]  # more than one chunk
    labels = [rng.integers(-1, 4, len(event)) for event in events]
    scorer = Scorer()
    for event, found in zip(events, labels):
        scorer.add(event, found)
    at_once = score_events(
        np.concatenate([e.instance for e in events]),
        np.concatenate(labels),
        event=np.repeat(np.arange(150), [len(e) for e in events]),
        semantic=np.concatenate([e.semantic for e in events]),
    )
    for name in at_once.dtype.names:
        np.testing.assert_array_equal(scorer.table()[name], at_once[name])


def test_other_classes_and_unlabelled_truth_take_no_part(rng):
    event = random_event(rng)
    n = len(event)
    extended = Event(
        np.vstack([event.coords, event.coords[:10] + 1000]),
        np.ones(n + 10),
        np.concatenate([event.semantic, np.full(5, 4), np.full(5, 1)]),
        np.concatenate([event.instance, np.full(10, -1)]),
    )
    plain, with_others = Scorer(), Scorer()
    labels = rng.integers(0, 3, n)
    plain.add(event, labels)
    with_others.add(extended, np.concatenate([labels, rng.integers(0, 3, 10)]))
    np.testing.assert_array_equal(plain.table(), with_others.table())


def test_events_without_classes_are_scored_as_one(rng):
    event = random_event(rng)
    labels = rng.integers(0, 3, len(event))
    scorer = Scorer()
    scorer.add(Event(event.coords, event.feats, None, event.instance), labels)
    [row] = scorer.table()
    expected = score_partition(event.instance, labels)
    assert (row["ari"], row["sbd"], row["n_points"]) == (expected.ari, expected.sbd, len(event))


def test_nothing_to_score():
    assert len(Scorer().table()) == 0


def test_scorer_says_what_is_wrong(rng):
    event = random_event(rng)
    with pytest.raises(ValueError, match="no true instances"):
        Scorer().add(Event(event.coords, event.feats), np.zeros(len(event)))
    with pytest.raises(ValueError, match="labels of shape"):
        Scorer().add(event, np.zeros(len(event) - 1, int))


def test_dbscan_keeps_classes_apart_and_leaves_out_low_energy():
    coords = [[0, 0, 0], [1, 1, 1], [2, 2, 2], [9, 9, 9], [9, 9, 10]]
    event = Event(coords, np.ones(5), [1, 1, 0, 4, 1], np.zeros(5, int))
    labels = dbscan_labels(event)
    assert labels[0] == labels[1]
    assert labels[3] == -1
    assert len({labels[0], labels[2], labels[4]}) == 3


def test_evaluate_perfect_labels(rng):
    events = [random_event(rng) for _ in range(3)]
    scores = evaluate(Prediction(e, e.instance, {}) for e in events)
    assert list(scores) == ["sparseclust", "DBSCAN"]
    for name in ("ari", "sbd", "f1", "pq"):
        assert np.all(scores["sparseclust"].table()[name] == 1)
    assert np.all(scores["sparseclust"].particles()["found"])
    n_true = [scores[name].table()["n_true"].tolist() for name in scores]
    assert n_true[0] == n_true[1]


def test_whole_events_are_one_partition(rng):
    """Particles of two classes that were joined are seen there and nowhere else."""
    event = random_event(rng)
    particle = np.unique(np.stack([event.semantic, event.instance]), axis=1, return_inverse=True)[1].ravel()
    scorer = Scorer()
    scorer.add(event, particle)
    assert scorer.whole_events()[["ari", "sbd", "f1", "pq"]].tolist() == [(1.0, 1.0, 1.0, 1.0)]
    one_of_each = [np.flatnonzero(event.semantic == c)[0] for c in (0, 1)]
    joined = np.where(particle == particle[one_of_each[1]], particle[one_of_each[0]], particle)
    scorer.add(event, joined)
    assert np.all(scorer.table()["ari"] == 1)
    expected = score_partition(particle, joined)
    found = scorer.whole_events()[1]
    assert (found["event"], found["ari"], found["sbd"]) == (1, expected.ari, expected.sbd)
    assert expected.ari < 1


def test_dbscan_has_the_predicted_classes(rng):
    event = Event([[0, 0, 0], [0, 0, 1], [0, 0, 2]], np.ones(3), [1, 1, 1], [0, 0, 0])
    apart = Prediction(event, np.zeros(3, int), {}, semantic=np.array([1, 3, 1]))
    assert evaluate([apart])["DBSCAN"].table()["sbd"] < 1
    assert evaluate([Prediction(event, np.zeros(3, int), {})])["DBSCAN"].table()["sbd"] == 1


def test_published_numbers():
    """The table of the talk, means over the four classes: ARI .976, SBD .919."""
    assert np.mean([row["ari"] for row in PUBLISHED.values()]) == pytest.approx(0.97625)
    assert np.mean([row["sbd"] for row in PUBLISHED.values()]) == pytest.approx(0.91875)


def test_particles_of_many_events(rng):
    """Touching and found, particle by particle, against the definition."""
    events = [random_event(rng) for _ in range(70)]  # more than one chunk
    labels = [rng.integers(-1, 4, len(event)) for event in events]
    scorer = Scorer()
    for event, found in zip(events, labels):
        scorer.add(event, found)
    table = scorer.particles()
    assert len(table) == sum(len(np.unique(np.stack([e.semantic, e.instance]), axis=1).T) for e in events)
    for row in table[rng.permutation(len(table))[:60]]:
        event, predicted = events[row["event"]], labels[row["event"]]
        same_class = event.semantic == row["semantic"]
        own = same_class & (event.instance == row["label"])
        others = event.coords[same_class & ~own]
        distance = np.abs(event.coords[own][:, None] - others).max(axis=2)
        assert row["touching"] == (distance.size > 0 and distance.min() <= 1)
        ious = [
            (own & same_class & (predicted == p)).sum() / (own | (same_class & (predicted == p))).sum()
            for p in np.unique(predicted[same_class])
        ]
        assert row["found"] == (max(ious) > 0.5)
        assert row["size"] == own.sum()


def test_scores_of_matches_in_the_table(rng):
    events = [random_event(rng) for _ in range(5)]
    labels = [rng.integers(-1, 4, len(event)) for event in events]
    scorer = Scorer()
    for event, found in zip(events, labels):
        scorer.add(event, found)
    for row in scorer.table():
        event = events[row["event"]]
        chosen = event.semantic == row["semantic"]
        expected = match_instances(event.instance[chosen], labels[row["event"]][chosen])
        assert (row["f1"], row["pq"]) == pytest.approx((expected.f1, expected.pq))
