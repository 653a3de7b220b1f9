"""Counter-based random numbers (Philox-4x32-10) and the draws written on top of them.

A stream is a small uint64 array. Its numbers are a pure function of (key, counter), so an event depends on
nothing but its seed and its index, in any process and in any order.

References
----------
J. K. Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC'11.
"""

import math

import numba
import numpy as np

# Numba turns uint64 mixed with int64 into float64, hence a named uint64 for every literal.
MULTIPLIER_0 = np.uint64(0xD2511F53)
MULTIPLIER_1 = np.uint64(0xCD9E8D57)
WEYL_0 = np.uint64(0x9E3779B9)
WEYL_1 = np.uint64(0xBB67AE85)
MASK = np.uint64(0xFFFFFFFF)
HALF_WORD = np.uint64(32)
ONE = np.uint64(1)

# Layout of a stream: counter (4 words), key (2), the current block of output (4), words used of it.
COUNTER, KEY, OUTPUT, USED = 0, 4, 6, 10
BLOCK = 4


def new_stream(seed, index, lane):
    """Stream of one purpose (``lane``) of event ``index``: key = seed, counter = (block, lane, index)."""
    words = [0, lane, index & 0xFFFFFFFF, index >> 32, seed & 0xFFFFFFFF, seed >> 32, 0, 0, 0, 0, BLOCK]
    return np.array(words, np.uint64)


@numba.njit(cache=True)
def refill(stream):
    """Ten rounds of Philox on the counter fill the output block; the counter then moves on."""
    c0, c1, c2, c3 = stream[0], stream[1], stream[2], stream[3]
    k0, k1 = stream[KEY], stream[KEY + 1]
    for _ in range(10):
        product_0 = MULTIPLIER_0 * c0
        product_1 = MULTIPLIER_1 * c2
        c0, c2 = (product_1 >> HALF_WORD) ^ c1 ^ k0, (product_0 >> HALF_WORD) ^ c3 ^ k1
        c1, c3 = product_1 & MASK, product_0 & MASK
        k0 = (k0 + WEYL_0) & MASK
        k1 = (k1 + WEYL_1) & MASK
    stream[OUTPUT] = c0
    stream[OUTPUT + 1] = c1
    stream[OUTPUT + 2] = c2
    stream[OUTPUT + 3] = c3
    stream[COUNTER] = (stream[COUNTER] + ONE) & MASK


@numba.njit(cache=True)
def uniform(stream):
    """Uniform number strictly between 0 and 1: the middles of 2^32 equal cells."""
    used = np.int64(stream[USED])
    if used == BLOCK:
        refill(stream)
        used = 0
    stream[USED] = np.uint64(used + 1)
    return (np.float64(stream[OUTPUT + used]) + 0.5) * 2.0**-32


@numba.njit(cache=True)
def exponential(stream):
    """Exponential number of mean 1."""
    return -math.log(uniform(stream))


@numba.njit(cache=True)
def normal(stream):
    """Draw a standard normal number (Box and Muller 1958, one of the pair)."""
    radius = math.sqrt(2.0 * exponential(stream))
    return radius * math.cos(2.0 * math.pi * uniform(stream))


@numba.njit(cache=True)
def gamma(stream, shape):
    """Gamma number of the given shape and scale 1 (Marsaglia and Tsang 2000)."""
    boost = 1.0
    if shape < 1.0:
        boost = math.exp(-exponential(stream) / shape)
        shape += 1.0
    d = shape - 1.0 / 3.0
    c = 1.0 / math.sqrt(9.0 * d)
    while True:
        x = normal(stream)
        v = (1.0 + c * x) ** 3
        if v > 0.0 and math.log(uniform(stream)) < 0.5 * x * x + d - d * v + d * math.log(v):
            return boost * d * v


@numba.njit(cache=True)
def poisson(stream, mean):
    """Poisson number for small means (Knuth's product of uniforms; its cost grows with the mean)."""
    limit = math.exp(-mean)
    product = uniform(stream)
    n = 0
    while product > limit:
        product *= uniform(stream)
        n += 1
    return n
