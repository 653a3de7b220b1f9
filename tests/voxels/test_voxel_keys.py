"""Keys, neighbour pairs and components of integer coordinates."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sparseclust._voxels import (
    component_labels,
    dense_ids,
    offsets_within,
    pack_keys,
    shifted_pairs,
    stable_order,
)

rows_of_three = arrays(np.int64, st.tuples(st.integers(0, 40), st.just(3)), elements=st.integers(-5, 5))


@settings(deadline=None)
@given(rows_of_three, st.integers(0, 2))
def test_keys_sort_and_differ_as_the_rows_do(coords, pad):
    keys, _ = pack_keys(coords, pad=pad)
    expected = np.lexsort(coords.T[::-1])
    assert np.array_equal(np.argsort(keys, kind="stable"), expected)
    assert len(np.unique(keys)) == len(np.unique(coords, axis=0))


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int64, np.uint64])
def test_ids_are_numbered_as_sorted(rng, dtype):
    info = np.iinfo(dtype)
    for ids in (rng.integers(0, 5, 40), [info.min, info.max, info.max - 1], [info.max - 3, info.max] * 2, []):
        ids = np.array(ids, dtype)
        index, distinct = dense_ids(ids)
        expected, inverse = np.unique(ids, return_inverse=True)
        assert np.array_equal(index, inverse)
        assert np.array_equal(distinct, expected)
        assert distinct.dtype == dtype


@given(arrays(np.int64, st.integers(0, 60), elements=st.sampled_from([0, 1, 7, 65535, 65536, 2**62])))
def test_equal_keys_stay_in_their_order(keys):
    assert np.array_equal(stable_order(keys), np.argsort(keys, kind="stable"))
    narrow = keys % 65536
    assert np.array_equal(stable_order(narrow), np.argsort(narrow, kind="stable"))


@settings(deadline=None)
@given(rows_of_three, st.tuples(*[st.integers(-2, 2)] * 3))
def test_a_padded_offset_reaches_exactly_the_shifted_row(coords, offset):
    keys, weights = pack_keys(coords, pad=2)
    moved = keys + int(np.array(offset) @ weights)
    for shifted, key in zip(coords + offset, moved):
        assert np.array_equal(keys == key, (coords == shifted).all(axis=1))


def test_keys_of_far_apart_int32_coordinates():
    coords = np.array([[0, -(2**30)], [3, 2**30]], np.int32)
    keys, weights = pack_keys(coords, pad=1)
    assert keys[1] - keys[0] == 3 * weights[0] + 2**31


def test_a_box_too_large_for_64_bits_is_refused():
    with pytest.raises(ValueError, match="more than a 64-bit key can number"):
        pack_keys(np.array([[0, 0, 0], [2**31, 2**31, 2**31]]))


@settings(deadline=None)
@given(rows_of_three, st.lists(st.integers(-9, 9), max_size=5, unique=True), st.booleans())
def test_shifted_pairs_are_the_pairs_that_differ_by_a_delta(coords, deltas, mirror):
    keys = np.unique(pack_keys(coords, pad=1).keys)
    source, target, splits = shifted_pairs(keys, np.array(deltas, np.int64), mirror=mirror)
    if mirror:
        deltas = [*deltas, 0, *(-delta for delta in reversed(deltas))]
    assert len(splits) == len(deltas) + 1
    for k, delta in enumerate(deltas):
        found = list(zip(source[splits[k] : splits[k + 1]], target[splits[k] : splits[k + 1]]))
        expected = [
            (i, j) for j, i in itertools.product(range(len(keys)), repeat=2) if keys[i] == keys[j] + delta
        ]
        assert found == expected


@pytest.mark.parametrize(
    ("radius", "ndim", "neighbours"), [(1, 3, 6), (1.5, 3, 18), (1.999, 3, 26), (1.999, 2, 8)]
)
def test_known_numbers_of_neighbours(radius, ndim, neighbours):
    assert 2 * len(offsets_within(radius, ndim)) == neighbours


@pytest.mark.parametrize("squared", range(1, 30))
def test_a_radius_that_is_a_square_root_includes_its_own_distance(squared):
    offsets = offsets_within(math.sqrt(squared), 3)
    inside = [o for o in itertools.product(range(-5, 6), repeat=3) if 0 < sum(v * v for v in o) <= squared]
    assert len(inside) == 2 * len(offsets)
    assert {tuple(o) for o in offsets.tolist()} | {tuple(-v for v in o) for o in offsets.tolist()} == set(
        inside
    )


def test_a_radius_below_one_has_no_offset():
    assert offsets_within(0.99, 3).shape == (0, 3)


@settings(deadline=None)
@given(st.integers(0, 30), st.data())
def test_components_are_numbered_by_first_appearance(n, data):
    pairs = st.tuples(st.integers(0, max(n - 1, 0)), st.integers(0, max(n - 1, 0)))
    edges = np.array(data.draw(st.lists(pairs, max_size=40)) if n else [], np.int64).reshape(-1, 2).T
    labels = component_labels(n, edges)
    reached = np.eye(n, dtype=bool)
    reached[edges[0], edges[1]] = reached[edges[1], edges[0]] = True
    for k in range(n):
        reached |= reached[:, [k]] & reached[[k], :]
    assert np.array_equal(labels[:, None] == labels, reached)
    assert np.array_equal(
        labels[np.sort(np.unique(labels, return_index=True)[1])], np.arange(len(set(labels)))
    )
