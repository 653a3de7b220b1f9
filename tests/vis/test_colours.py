"""Colours: distant neighbours, equal particles in equal colours."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparseclust.vis._colours import NO_INSTANCE, PALETTE, colours, matched_slots, ranked_slots

# Machado, Oliveira, Fernandes 2009, severity 1, on linear RGB.
VISION = {
    "normal": np.eye(3),
    "protanope": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranope": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
}


def _oklab(hex_colours: list[str], vision: str) -> np.ndarray:
    rgb = np.array([[int(c[i : i + 2], 16) / 255 for i in (1, 3, 5)] for c in hex_colours])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ np.transpose(VISION[vision]), 0, 1)
    lms = np.cbrt(
        seen
        @ [
            [0.4122214708, 0.2119034982, 0.0883024619],
            [0.5363325363, 0.6806995451, 0.2817188376],
            [0.0514459929, 0.1073969566, 0.6299787005],
        ]
    )
    return lms @ [
        [0.2104542553, 1.9779984951, 0.0259040371],
        [0.7936177850, -2.4285922050, 0.7827717662],
        [-0.0040720468, 0.4505937099, -0.8086757660],
    ]


@pytest.mark.parametrize("vision", VISION)
def test_neighbouring_colours_are_distant_for_every_eye(vision: str) -> None:
    lab = _oklab([*PALETTE, PALETTE[0]], vision)
    # 0.02 is a just noticeable difference in OKLab.
    assert np.linalg.norm(np.diff(lab, axis=0), axis=1).min() > 0.15
    grey = _oklab([NO_INSTANCE], vision)
    assert np.linalg.norm(lab - grey, axis=1).min() > 0.09


def test_colours_wrap_and_noise_is_grey() -> None:
    got = colours(np.array([-1, 0, 1, len(PALETTE)]))
    assert got.tolist() == [NO_INSTANCE, PALETTE[0], PALETTE[1], PALETTE[0]]


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
