"""Scores of many groups at once equal the scores of each by itself."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparseclust.metrics import (
    PartitionScores,
    _contingency,
    match_instances,
    score_clusters,
    score_events,
    score_matches,
    score_partition,
)

points = st.lists(st.tuples(*[st.integers(-2, 3)] * 4), max_size=40)


def one_by_one(true, pred, event, semantic):
    """The loop that score_events avoids."""
    rows = []
    for e, c in sorted(set(zip(event.tolist(), semantic.tolist()))):
        here = (event == e) & (semantic == c)
        rows.append((e, c, *score_partition(true[here], pred[here])))
    return rows


@given(points)
def test_equals_a_loop_over_the_groups(rows):
    true, pred, event, semantic = np.array(rows, np.int64).reshape(-1, 4).T
    table = score_events(true, pred, event=event, semantic=semantic)
    assert table.dtype.names == ("event", "semantic", *PartitionScores._fields)
    assert table.tolist() == one_by_one(true, pred, event, semantic)


@pytest.mark.parametrize("stretch", [1, 2**40, 2**60], ids=["compact", "wide", "widest"])
def test_wide_names_take_another_road_to_the_same_table(rng, stretch):
    true, pred, event, semantic = rng.integers(-4, 4, (4, 5000))
    wide = score_events(true * stretch, pred * stretch, event=event * stretch, semantic=semantic * stretch)
    assert (
        wide["event"].tolist()
        == (score_events(true, pred, event=event, semantic=semantic)["event"] * stretch).tolist()
    )
    assert [row[2:] for row in wide.tolist()] == [row[2:] for row in one_by_one(true, pred, event, semantic)]


def test_rows_are_ranked_when_the_keys_run_out(rng, monkeypatch):
    true, pred, event, semantic = rng.integers(-4, 4, (4, 5000))
    before = score_events(true, pred, event=event, semantic=semantic)
    monkeypatch.setattr(_contingency, "_LARGEST_KEY", 100)
    assert score_events(true, pred, event=event, semantic=semantic).tobytes() == before.tobytes()


def test_more_cells_than_an_int64_can_number(rng):
    n = 1_200_000
    assert (n // 2) * (4 * n) ** 2 > 2**63
    table = score_events(4 * rng.permutation(n), 4 * rng.permutation(n), event=np.arange(n) // 2)
    assert len(table) == n // 2
    assert (table["ari"] == 1).all()
    assert (table["n_true"] == 2).all()


def test_without_classes():
    table = score_events([0, 0, 1, 1], [0, 0, 0, 1], event=[9, 9, -3, -3])
    assert table["event"].tolist() == [-3, 9]
    assert table["semantic"].tolist() == [-1, -1]
    assert table["ari"].tolist() == [0.0, 1.0]


def test_equal_labels_in_two_groups_are_two_clusters():
    table = score_events([0, 0], [0, 0], event=[0, 0], semantic=[1, 2])
    assert table["n_true"].tolist() == table["n_pred"].tolist() == [1, 1]


def test_splitting_over_calls_changes_nothing(rng):
    true, pred, semantic = rng.integers(0, 5, (3, 4000))
    event = np.sort(rng.integers(0, 40, 4000))
    cut = np.searchsorted(event, 17)
    parts = [
        score_events(true[part], pred[part], event=event[part], semantic=semantic[part])
        for part in (slice(cut), slice(cut, None))
    ]
    at_once = score_events(true, pred, event=event, semantic=semantic)
    assert np.concatenate(parts).tobytes() == at_once.tobytes()


def test_order_of_points_does_not_matter(rng):
    true, pred, event, semantic = rng.integers(0, 5, (4, 4000))
    order = rng.permutation(4000)
    before = score_events(true, pred, event=event, semantic=semantic)
    after = score_events(true[order], pred[order], event=event[order], semantic=semantic[order])
    assert before.tobytes() == after.tobytes()


def test_one_large_group_among_small_ones(rng):
    """The group that needs long integers does not disturb the others."""
    event = np.concatenate([np.zeros(200_000, np.int64), rng.integers(1, 50, 2000)])
    true, pred = rng.integers(0, 3, (2, len(event)))
    pred = np.where(rng.random(len(event)) < 0.7, true, pred)
    assert score_events(true, pred, event=event).tolist() == one_by_one(
        true, pred, event, np.full_like(event, -1)
    )


def test_a_hundred_thousand_groups(rng):
    n = 10**6
    event, true = np.divmod(rng.permutation(n), 10)
    table = score_events(true // 5, true // 5, event=event)
    assert len(table) == 10**5
    assert (table["ari"] == 1).all()
    assert (table["n_points"] == 10).all()


def test_no_points():
    assert score_events([], [], event=[], semantic=[]).shape == (0,)
    true, pred = score_clusters([], [])
    assert len(true) == len(pred) == 0


# ------------------------------------------------------------------------------------------------ clusters
@given(points)
def test_clusters_average_to_the_table(rows):
    true, pred, event, semantic = np.array(rows, np.int64).reshape(-1, 4).T
    table = score_events(true, pred, event=event, semantic=semantic)
    clusters = score_clusters(true, pred, event=event, semantic=semantic)
    for row in table:
        by_side = [
            side[(side["event"] == row["event"]) & (side["semantic"] == row["semantic"])] for side in clusters
        ]
        assert [len(side) for side in by_side] == [row["n_true"], row["n_pred"]]
        assert all(side["size"].sum() == row["n_points"] for side in by_side)
        assert by_side[0]["efficiency"].mean() == pytest.approx(row["efficiency"])
        assert by_side[1]["purity"].mean() == pytest.approx(row["purity"])
        assert [side["best_dice"].mean() for side in by_side] == pytest.approx(
            [row["best_dice_true"], row["best_dice_pred"]]
        )


def test_cluster_rows_carry_their_names():
    true, pred = score_clusters([10**12, 10**12, -5], [3, 4, 4], event=[2, 2, 2], semantic=[7, 7, 7])
    assert true.tolist() == [(2, 7, -5, 1, 1.0, 2 / 3), (2, 7, 10**12, 2, 0.5, 2 / 3)]
    assert pred.tolist() == [(2, 7, 3, 1, 1.0, 2 / 3), (2, 7, 4, 2, 0.5, 2 / 3)]


def test_matches_of_groups_are_those_of_each_group(rng):
    n = 3000
    event, semantic = rng.integers(0, 20, n), rng.integers(0, 3, n)
    true = rng.integers(0, 4, n)
    pred = np.where(rng.random(n) < 0.8, true, rng.integers(-1, 4, n))
    table = score_matches(true, pred, event=event, semantic=semantic, iou_threshold=0.6)
    assert len(table) == 60
    for row in table:
        chosen = (event == row["event"]) & (semantic == row["semantic"])
        expected = match_instances(true[chosen], pred[chosen], iou_threshold=0.6)
        assert (row["f1"], row["pq"]) == pytest.approx((expected.f1, expected.pq))
        counts = expected.tp, expected.n_true, expected.n_pred, chosen.sum()
        assert tuple(row[name] for name in ("n_found", "n_true", "n_pred", "n_points")) == counts


def test_matches_of_nothing_and_wrong_thresholds():
    assert len(score_matches([], [], event=[])) == 0
    with pytest.raises(ValueError, match="where matches are unique"):
        score_matches([0], [0], event=[0], iou_threshold=0.4)
