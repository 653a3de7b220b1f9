"""Summaries and error bars of score tables."""

import numpy as np
import pytest

from sparseclust.metrics import bootstrap, score_events, summarize_scores


def make_table(rows):
    """Rows of (event, semantic, ari, n_true, n_points)."""
    kinds = [
        ("event", int),
        ("semantic", int),
        ("ari", float),
        ("n_true", int),
        ("n_points", int),
        ("n_pred", int),
    ]
    return np.array([(*row, 1) for row in rows], kinds)


TABLE = make_table(
    [(0, 0, 1.0, 1, 10), (0, 1, 0.5, 3, 90), (1, 0, 0.0, 4, 30), (1, 1, np.nan, 2, 5), (2, 1, 0.9, 1, 10)]
)


def test_means_by_weight():
    for weight, expected in (
        ("event", (0.5, 0.7, 0.6)),
        ("cluster", (1 / 5, (1.5 + 0.9) / 4, (1 + 1.5 + 0.9) / 9)),
        ("point", (10 / 40, (45 + 9) / 100, (10 + 45 + 9) / 140)),
    ):
        classes = summarize_scores(TABLE, weight=weight)
        total = summarize_scores(TABLE, by=None, weight=weight)
        assert classes["semantic"].tolist() == [0, 1]
        assert [*classes["ari"]["mean"], *total["ari"]["mean"]] == pytest.approx(expected)


def test_counts_and_undefined():
    both = np.concatenate([summarize_scores(TABLE), summarize_scores(TABLE, by=None)])
    assert both["semantic"].tolist() == [0, 1, -1]
    assert both["n_rows"].tolist() == [2, 3, 5]
    assert both["n_true"].tolist() == [5, 6, 11]
    assert both["n_points"].tolist() == [40, 105, 145]
    assert both["ari"]["count"].tolist() == [2, 2, 4]
    assert both["ari"]["n_undefined"].tolist() == [0, 1, 1]


def test_nothing_defined_is_nan():
    summary = summarize_scores(TABLE[3:4])
    assert summary["ari"]["count"] == 0
    assert summary["ari"]["n_undefined"] == 1
    assert all(np.isnan(summary["ari"][name]) for name in ("mean", "q05", "q25", "median", "q75", "q95"))
    empty = score_events([], [], event=[])
    assert len(summarize_scores(empty)) == 0
    assert np.isnan(summarize_scores(empty, by=None)["ari"]["mean"]).all()


@pytest.mark.parametrize("n", [1, 19, 20, 21, 60, 140, 1001])
def test_quantiles_of_equal_weights(rng, n):
    table = make_table([(i, 0, value, 1, 1) for i, value in enumerate(rng.permutation(n) / n)])
    summary = summarize_scores(table)["ari"][0]
    for name, twentieths in (("q05", 1), ("q25", 5), ("median", 10), ("q75", 15), ("q95", 19)):
        expected = np.quantile(table["ari"], twentieths / 20, method="inverted_cdf")
        # numpy multiplies by a binary fraction and may end one rank higher: 0.05 * 140 is above 7
        assert summary[name] == pytest.approx(expected, abs=1 / n + 1e-12)
        assert summary[name] == (-(-n * twentieths // 20) - 1) / n


def test_weighted_quantiles_equal_repeated_rows():
    repeated = np.repeat(TABLE, TABLE["n_points"])
    for name in ("mean", "q05", "q25", "median", "q75", "q95"):
        assert summarize_scores(TABLE, weight="point")["ari"][name] == pytest.approx(
            summarize_scores(repeated)["ari"][name]
        )


def test_summary_of_real_scores(rng):
    true, pred, semantic = rng.integers(0, 4, (3, 3000))
    table = score_events(true, pred, event=np.arange(3000) // 60, semantic=semantic)
    summary = summarize_scores(table)
    assert summary["n_rows"].sum() == len(table)
    for name in ("ari", "purity", "efficiency", "sbd", "best_dice_true", "best_dice_pred"):
        assert summary[name]["mean"][2] == pytest.approx(table[name][table["semantic"] == 2].mean())


def test_options_and_tables_are_checked():
    with pytest.raises(ValueError, match="'event', 'cluster', 'point'"):
        summarize_scores(TABLE, weight="voxel")
    with pytest.raises(ValueError, match='"semantic" or None'):
        summarize_scores(TABLE, by="event")
    with pytest.raises(TypeError, match=r"structured array.*got list"):
        summarize_scores([1.0])
    with pytest.raises(ValueError, match=r"lacks the fields \['n_true'\]"):
        summarize_scores(TABLE[["event", "semantic", "ari", "n_pred", "n_points"]])
    with pytest.raises(ValueError, match="at least 1, got 0"):
        bootstrap(TABLE, rng=np.random.default_rng(0), n=0)


# ------------------------------------------------------------------------------------------------ bootstrap
def test_standard_error_of_independent_rows(rng):
    table = make_table([(i, 0, value, 1, 1) for i, value in enumerate(rng.normal(0.7, 0.1, 400))])
    error = bootstrap(table, rng=rng, n=4000)["ari"]
    assert error["mean"] == pytest.approx(table["ari"].mean())
    assert error["std"] == pytest.approx(table["ari"].std() / 20, rel=0.06)
    assert error["high"] - error["low"] == pytest.approx(2 * 1.96 * error["std"], rel=0.06)


def test_rows_of_one_event_are_drawn_together(rng):
    """Repeating every row within its event adds rows, but no information."""
    table = make_table([(i, 0, value, 1, 1) for i, value in enumerate(rng.normal(0.7, 0.1, 100))])
    once, thrice = (bootstrap(t, rng=np.random.default_rng(5)) for t in (table, np.repeat(table, 3)))
    assert thrice["ari"].tolist() == pytest.approx(once["ari"].tolist())


def test_bootstrap_weights_and_seeds():
    draws = [bootstrap(TABLE, rng=np.random.default_rng(seed), weight="point") for seed in (1, 1, 2)]
    assert draws[0]["ari"]["mean"] == pytest.approx(
        summarize_scores(TABLE, by=None, weight="point")["ari"]["mean"][0]
    )
    assert draws[0].tobytes() == draws[1].tobytes() != draws[2].tobytes()


def test_bootstrap_of_nothing():
    assert np.isnan(bootstrap(TABLE[3:4], rng=np.random.default_rng(0))["ari"].tolist()).all()
    assert np.isnan(bootstrap(TABLE[:0], rng=np.random.default_rng(0))["ari"].tolist()).all()
