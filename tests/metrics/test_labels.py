"""What counts as labels: everything that is a whole number, and clear words for the rest."""

import numpy as np
import pytest

from sparseclust.metrics import (
    contingency_matrix,
    relabel_noise,
    score_clusters,
    score_events,
    score_partition,
)

TRUE = np.array([3, 3, 3, 0, 0, 1, 1, 1])
PRED = np.array([0, 0, 1, 1, 1, 2, 2, 0])


@pytest.mark.parametrize(
    "dtype",
    [
        np.int8,
        np.int16,
        np.int32,
        np.int64,
        np.uint8,
        np.uint16,
        np.uint32,
        np.uint64,
        np.float32,
        np.float64,
    ],
)
def test_dtype_does_not_matter(dtype):
    assert score_partition(TRUE.astype(dtype), PRED.astype(dtype)) == score_partition(TRUE, PRED)


@pytest.mark.parametrize(
    "renamed",
    [
        TRUE - 2,
        TRUE * 100_000,
        TRUE * 2**40 - 2**41,
        np.where(TRUE == 0, np.iinfo(np.int64).min, TRUE),
        np.where(TRUE == 3, np.iinfo(np.int64).max, TRUE - 1),
        (TRUE * 80 - 128).astype(np.int8),
        np.repeat(TRUE, 2)[::2],
        np.ma.masked_array(TRUE, mask=False),
        TRUE.tolist(),
    ],
)
def test_names_and_layout_do_not_matter(renamed):
    assert score_partition(renamed, PRED) == score_partition(TRUE, PRED)
    assert score_partition(PRED, renamed) == score_partition(PRED, TRUE)


def test_two_classes_may_be_booleans():
    assert score_partition(TRUE == 3, PRED > 0) == score_partition(
        (TRUE == 3).astype(int), (PRED > 0).astype(int)
    )


def test_inputs_are_left_alone():
    true, pred = TRUE.copy(), PRED.copy()
    for array in (true, pred):
        array.flags.writeable = False
    score_events(true, pred, event=true, semantic=pred)
    score_clusters(true, pred)
    contingency_matrix(true, pred)
    relabel_noise(true)
    assert (true == TRUE).all()
    assert (pred == PRED).all()


@pytest.mark.parametrize(
    ("bad", "error", "message"),
    [
        (TRUE[:-1], ValueError, "labels_true 7, labels_pred 8"),
        (TRUE[:, None], ValueError, r"shape \(n,\), got \(8, 1\).*ravel"),
        (np.int64(3), ValueError, r"shape \(n,\)"),
        (TRUE + 0.5, ValueError, "8 values are not, the first is 3.5 in row 0"),
        (np.where(TRUE == 0, np.nan, TRUE), ValueError, "2 values are not, the first is nan in row 3"),
        (np.where(TRUE == 0, np.inf, TRUE), ValueError, "the first is inf"),
        (TRUE + 2.0**53, ValueError, "no longer tells integers apart"),
        ((TRUE + 2**24).astype(np.float32), ValueError, "no longer tells integers apart"),
        (TRUE.astype(str), TypeError, "np.unique.*return_inverse"),
        (TRUE.astype(object), TypeError, "got dtype object"),
        (TRUE.astype(complex), TypeError, "got dtype complex128"),
        (TRUE.astype(np.uint64) + np.uint64(2**63), ValueError, "must fit int64"),
        (np.ma.masked_equal(TRUE, 0), ValueError, "masked entries.*~mask"),
    ],
)
def test_refusals_say_what_is_wrong(bad, error, message):
    with pytest.raises(error, match=message):
        score_partition(bad, PRED)
    with pytest.raises(
        error, match=message.replace("labels_true 7, labels_pred 8", "labels_pred 8, event 7")
    ):
        score_events(PRED, PRED, event=bad)


def test_noise_becomes_singletons_or_one_cluster():
    labels = [2, -1, 0, -1, -1]
    assert relabel_noise(labels).tolist() == [2, 3, 0, 4, 5]
    assert relabel_noise(labels, how="one_cluster").tolist() == [2, 3, 0, 3, 3]
    assert relabel_noise(labels, noise=2).tolist() == [3, -1, 0, -1, -1]
    assert relabel_noise([-1, -1]).tolist() == [0, 1]
    assert relabel_noise([-7, -1]).tolist() == [-7, 0]
    assert relabel_noise([]).tolist() == []


def test_noise_options_are_checked():
    with pytest.raises(ValueError, match="singletons"):
        relabel_noise([0], how="drop")
    with pytest.raises(ValueError, match="no labels are left"):
        relabel_noise([2**63 - 1, -1])


def test_minus_one_is_a_cluster_unless_relabelled():
    true, pred = [0, 0, 0, 0], [0, 0, -1, -1]
    assert score_partition(true, pred) == score_partition(true, [0, 0, 5, 5])
    assert score_partition(true, relabel_noise(pred)).n_pred == 3
