"""The counter-based generator: published vectors, and the laws drawn on top of it."""

import numpy as np
import pytest
from scipy import stats

from sparseclust.data.simulation import _kernels_random as random

# Philox-4x32-10 known answers of the Random123 distribution: counter, key, output.
VECTORS = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


@pytest.mark.parametrize(("counter", "key", "expected"), VECTORS)
def test_philox_known_answers(counter, key, expected):
    stream = np.array([*counter, *key, 0, 0, 0, 0, random.BLOCK], np.uint64)
    random.refill(stream)
    assert tuple(stream[random.OUTPUT : random.OUTPUT + 4].tolist()) == expected
    assert stream[random.COUNTER] == (counter[0] + 1) % 2**32


def test_uniforms_are_the_words_in_order():
    stream = random.new_stream(0, 0, 0)
    words = [(random.uniform(stream) * 2**32) - 0.5 for _ in range(4)]
    assert words == list(VECTORS[0][2])


def test_seed_index_and_lane_name_different_streams():
    names = [
        (0, 0, 0),
        (1, 0, 0),
        (0, 1, 0),
        (0, 0, 1),
        (2**32, 0, 0),
        (0, 2**32, 0),
        (2**64 - 1, 2**64 - 1, 1),
    ]
    first = {tuple(random.uniform(s) for _ in range(3)) for s in (random.new_stream(*n) for n in names)}
    assert len(first) == len(names)


@pytest.mark.parametrize(
    ("draw", "law"),
    [
        (random.uniform, stats.uniform()),
        (random.exponential, stats.expon()),
        (random.normal, stats.norm()),
        (lambda s: random.gamma(s, 0.3), stats.gamma(0.3)),
        (lambda s: random.gamma(s, 15.0), stats.gamma(15.0)),
    ],
    ids=["uniform", "exponential", "normal", "gamma-0.3", "gamma-15"],
)
def test_continuous_laws(draw, law):
    stream = random.new_stream(7, 0, 0)
    sample = [draw(stream) for _ in range(20000)]
    assert stats.kstest(sample, law.cdf).pvalue > 1e-3


def test_poisson_law():
    stream = random.new_stream(8, 0, 0)
    n = 20000
    seen = np.bincount([random.poisson(stream, 1.2) for _ in range(n)], minlength=7)
    seen = np.append(seen[:6], seen[6:].sum())
    law = stats.poisson(1.2)
    expected = n * np.append(law.pmf(np.arange(6)), law.sf(5))
    assert stats.chisquare(seen, expected).pvalue > 1e-3
