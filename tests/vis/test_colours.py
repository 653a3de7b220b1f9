"""Colours: distant neighbours, equal particles in equal colours."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparseclust.vis._colours import NO_INSTANCE, PALETTE, colours, matched_slots, ranked_slots, spread
from sparseclust.vis._vision import VISIONS, distances, oklab


@pytest.mark.parametrize("vision", VISIONS)
def test_neighbouring_colours_are_distant_for_every_eye(vision: str) -> None:
    lab = oklab([*PALETTE, PALETTE[0]], vision)
    # 0.02 is a just noticeable difference in OKLab.
    assert np.linalg.norm(np.diff(lab, axis=0), axis=1).min() > 0.15
    grey = oklab([NO_INSTANCE], vision)
    assert np.linalg.norm(lab - grey, axis=1).min() > 0.09


def test_oklab_of_known_colours() -> None:
    # https://bottosson.github.io/posts/oklab
    expected = [[1.0, 0.0, 0.0], [0.627955, 0.224863, 0.125846], [0.451854, -0.032457, -0.311528]]
    np.testing.assert_allclose(oklab(["#ffffff", "#ff0000", "#0000ff"]), expected, atol=3e-4)


def test_noise_is_grey() -> None:
    assert colours(np.array([-1, 0, 1])).tolist() == [NO_INSTANCE, PALETTE[0], PALETTE[1]]


def test_instances_far_from_each_other_go_round_the_palette() -> None:
    coords = np.arange(18)[:, None] * [100, 0, 0]
    (places,) = spread(coords, [np.arange(18)])
    assert places.tolist() == [*range(16), 0, 1]


@pytest.mark.parametrize("ndim", [2, 3])
def test_neighbours_in_space_are_told_apart(ndim: int) -> None:
    # A string of instances, each touching two others, whose ids say nothing about that.
    coords = np.arange(40)[:, None].repeat(ndim, axis=1)
    (places,) = spread(coords, [np.random.default_rng(3).permutation(40)])
    assert distances(PALETTE)[places[:-1], places[1:]].min() > 0.1


def test_an_instance_has_one_colour_in_every_panel() -> None:
    coords = np.array([[0, 0], [0, 1], [0, 2], [0, 3]])
    truth, prediction = spread(coords, [np.array([0, 0, 1, -1]), np.array([0, 2, 1, 1])])
    assert truth.tolist()[0] == truth.tolist()[1] == prediction.tolist()[0]
    assert (truth[2], truth[3]) == (prediction[2], -1)
    assert len({int(p) for p in prediction[:3]}) == 3


@pytest.mark.parametrize("n", [0, 1, 6000])
def test_any_number_of_instances_is_coloured(n: int) -> None:
    (places,) = spread(np.zeros((n, 3), np.int64), [np.arange(n)])
    assert places.shape == (n,)
    assert ((places >= 0) & (places < len(PALETTE))).all()


def test_ranks_follow_the_ids() -> None:
    assert ranked_slots(np.array([90, -1, 3, 90, 7])).tolist() == [2, -1, 0, 2, 1]


def test_matching_by_hand() -> None:
    truth = np.array([0, 0, 0, 1, 1, 2, 2, -1])
    # 8 covers most of truth 0; 5 covers truth 2; 9 is a second piece of truth 0 and covers 1 better.
    pred = np.array([8, 8, 9, 9, 9, 5, 5, 4])
    assert matched_slots(truth, pred).tolist() == [0, 0, 1, 1, 1, 2, 2, 3]


def test_a_split_particle_shows_in_two_colours() -> None:
    truth = np.array([0, 0, 0, 0, 0])
    assert matched_slots(truth, np.array([6, 6, 6, 2, 2])).tolist() == [0, 0, 0, 1, 1]


labels = st.lists(st.integers(-1, 6), max_size=30)


@given(labels, st.permutations(range(7)))
def test_renaming_a_partition_keeps_its_colours(truth: list[int], names: list[int]) -> None:
    slots = ranked_slots(np.array(truth, np.int64))
    renamed = np.array([names[t] if t >= 0 else -1 for t in truth], np.int64)
    np.testing.assert_array_equal(matched_slots(slots, renamed), slots)


@given(st.lists(st.tuples(st.integers(-1, 5), st.integers(-1, 5)), max_size=30))
def test_matching_keeps_the_partition(pairs: list[tuple[int, int]]) -> None:
    truth, pred = (np.array([p[i] for p in pairs], np.int64) for i in (0, 1))
    slots = matched_slots(ranked_slots(truth), pred)
    np.testing.assert_array_equal(slots < 0, pred < 0)
    np.testing.assert_array_equal(slots[:, None] == slots, pred[:, None] == pred)
