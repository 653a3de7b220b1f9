"""209 pairs of partitions, scored by independent programs; their README says which columns are right."""

import numpy as np
import pytest

from sparseclust import metrics

ONE_PASS = {
    "ari": ("seed_ari", "sklearn_ari"),
    "purity": ("seed_purity",),
    "efficiency": ("seed_efficiency",),
    "sbd": ("seed_sbd",),
    "best_dice_true": ("seed_bd_truth",),
    "best_dice_pred": ("seed_bd_pred",),
}


@pytest.fixture(scope="module")
def oracle(oracle_dir):
    with np.load(oracle_dir / "metrics.npz") as file:
        return dict(file)


@pytest.fixture(scope="module")
def partitions(oracle):
    cuts = oracle["offsets"][1:-1]
    return list(zip(np.split(oracle["truth"], cuts), np.split(oracle["pred"], cuts)))


def test_one_by_one(oracle, partitions):
    scores = np.array([metrics.score_partition(true, pred) for true, pred in partitions])
    assert len(scores) == 209
    for field, columns in ONE_PASS.items():
        ours = scores[:, metrics.PartitionScores._fields.index(field)]
        for column in columns:
            np.testing.assert_allclose(ours, oracle[column], rtol=0, atol=1e-12, err_msg=field)


def test_all_at_once(oracle):
    event = np.repeat(np.arange(209), np.diff(oracle["offsets"]))
    table = metrics.score_events(oracle["truth"], oracle["pred"], event=event)
    for field, columns in ONE_PASS.items():
        np.testing.assert_allclose(table[field], oracle[columns[0]], rtol=0, atol=1e-12, err_msg=field)


@pytest.mark.parametrize(
    ("score", "column", "tolerance"),
    [
        (lambda t, p: metrics.purity(t, p, average="point"), "seed_global_purity", 1e-12),
        (lambda t, p: metrics.efficiency(t, p, average="point"), "seed_global_efficiency", 1e-12),
        (metrics.normalized_mutual_info_score, "sklearn_nmi", 1e-12),
        # Logarithms of factorials cost them 5e-11 where all points are alone and the score is exactly 0.
        (metrics.adjusted_mutual_info_score, "sklearn_ami", 1e-10),
    ],
    ids=["purity", "efficiency", "nmi", "ami"],
)
def test_single_functions(oracle, partitions, score, column, tolerance):
    ours = [score(true, pred) for true, pred in partitions]
    np.testing.assert_allclose(ours, oracle[column], rtol=0, atol=tolerance)
