import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparseclust.data import Event, coalesce_event

TRACK, MICHEL, SHOWER, DELTA, LOW = 1, 2, 0, 3, 4


def obvious(event):
    """The rule in words: rows of a coordinate, the leading one found by sorting."""
    rows = {}
    for i, coord in enumerate(event.coords.tolist()):
        rows.setdefault(tuple(coord), []).append(i)

    def place(i):
        order = [TRACK, MICHEL, SHOWER, DELTA, LOW]
        semantic = None if event.semantic is None else event.semantic[i]
        return (order.index(semantic) if semantic in order else len(order), -event.energy[i], i)

    leading = [min(members, key=place) for members in rows.values()]
    energy = [float(np.sum(event.energy[members], dtype=np.float64)) for members in rows.values()]
    inverse = np.empty(len(event), np.int64)
    for number, members in enumerate(rows.values()):
        inverse[members] = number
    return leading, energy, inverse


@given(
    n=st.integers(0, 30),
    ndim=st.integers(1, 3),
    truth=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_equals_the_rule(n, ndim, truth, seed):
    rng = np.random.default_rng(seed)
    event = Event(
        rng.integers(-1, 2, (n, ndim)),
        np.stack([rng.integers(0, 4, n) / 4, rng.random(n)], axis=1),
        rng.integers(-1, 6, n) if truth else None,
        rng.integers(-1, 9, n) if truth else None,
        extra={"row": np.arange(n)},
    )
    merged, inverse = coalesce_event(event)
    leading, energy, expected = obvious(event)
    assert np.array_equal(inverse, expected)
    assert merged.extra["row"].tolist() == leading
    assert merged.energy.tolist() == energy
    assert np.array_equal(merged.coords[inverse], event.coords)
    assert np.array_equal(merged.feats[:, 1], event.feats[leading, 1])
    for name in ("semantic", "instance"):
        values = getattr(event, name)
        assert np.array_equal(getattr(merged, name), values[leading] if truth else None)
    assert coalesce_event(merged)[0] is merged


def test_nothing_repeats():
    event = Event([[2, 0], [0, 0], [1, 0]], [1.0, 2.0, 3.0])
    merged, inverse = coalesce_event(event)
    assert merged is event
    assert inverse.tolist() == [0, 1, 2]


@pytest.mark.parametrize("first", [TRACK, MICHEL, SHOWER, DELTA])
def test_precedence(first):
    order = [TRACK, MICHEL, SHOWER, DELTA, LOW, 7]
    second = order[order.index(first) + 1]
    event = Event([[0, 0], [0, 0]], [9.0, 0.5], semantic=[second, first], instance=[5, 6])
    merged, inverse = coalesce_event(event)
    assert (merged.semantic.tolist(), merged.instance.tolist()) == ([first], [6])
    assert merged.energy.tolist() == [9.5]
    assert inverse.tolist() == [0, 0]
    assert event.energy.tolist() == [9.0, 0.5]


def test_precedence_is_a_choice():
    event = Event([[0, 0]] * 4, [1.0, 2.0, 3.0, 9.0], [1, 2, 0, 5])
    for precedence, leading in {(1, 2, 0): 1, (0, 1, 2): 0, (2,): 2, (5, 1): 5, (3, 4): 5, (): 5}.items():
        assert coalesce_event(event, precedence=precedence)[0].semantic.tolist() == [leading]
