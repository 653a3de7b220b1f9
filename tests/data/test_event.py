import pickle

import numpy as np
import pytest

from sparseclust.data import Event, SemanticClass


def test_keeps_rows_and_types():
    coords = np.array([[5, -3], [5, -3], [0, 2**31 - 1]], np.int64)[::-1]
    event = Event(coords, np.array([1.0, 2.0, 3.0]), [1, 1, 0], [-1, 4, 4], extra={"row": [9, 8, 7]})
    assert event.coords.tolist() == coords.tolist()
    assert (event.coords.dtype, event.feats.dtype) == (np.int32, np.float32)
    assert (event.semantic.dtype, event.instance.dtype) == (np.int64, np.int64)
    assert event.feats.shape == (3, 1)
    assert event.extra["row"].tolist() == [9, 8, 7]
    assert SemanticClass(event.semantic[0]) is SemanticClass.TRACK


@pytest.mark.parametrize("ndim", [2, 3, 4])
def test_empty_event(ndim):
    event = Event(np.zeros((0, ndim)), [], [], [])
    assert (len(event), event.ndim, event.feats.shape) == (0, ndim, (0, 1))
    assert event.semantic.dtype == np.int64


def test_select_and_pickle():
    event = Event([[0, 0], [1, 1]], [1.0, 2.0], instance=[3, 4], extra={"pid": [5, 6]})
    for part in (event.select(np.array([False, True])), pickle.loads(pickle.dumps(event.select([1])))):
        assert part.coords.tolist() == [[1, 1]]
        assert part.semantic is None
        assert part.instance.tolist() == [4]
        assert part.extra["pid"].tolist() == [6]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1, 2], [1.0]), "coords must have shape"),
        ((np.zeros((1, 0)), [1.0]), "coords must have shape"),
        (([[0.5, 0]], [1.0]), "whole numbers"),
        (([[np.nan, 0]], [1.0]), "whole numbers"),
        (([[2**31, 0]], [1.0]), "fit int32"),
        (([[0, 0]], [np.nan]), "feats must be finite"),
        (([[0, 0]], [1e300]), "feats must be finite"),
        (([[0, 0]], np.zeros((1, 0))), "feats must have shape"),
        (([[0, 0]], [1.0, 2.0]), "one row per voxel"),
        (([[0, 0]], [1.0], [0.5]), "semantic must be integers"),
        (([[0, 0]], [1.0], None, [1, 2]), "instance must have one row per voxel"),
    ],
)
def test_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        Event(*arguments)
