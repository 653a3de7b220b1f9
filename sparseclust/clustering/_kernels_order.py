"""Compiled loops: rows by falling score, inside groups."""

import numba
import numpy as np

ROW = np.uint64(2**32 - 1)
DIGITS = 3
BITS = np.uint64(11)


@numba.njit(cache=True, nogil=True)
def falling_key(value):
    """Bits of a number other than NaN, changed so that they rise where numbers fall."""
    # Taken from zero, a zero of either sign is the positive one.
    bits = np.float64(0.0 - value).view(np.uint64)
    # The bits of positive numbers sort as they do, those of negative ones the other way round.
    return ~bits if bits >> np.uint64(63) else bits | np.uint64(1 << 63)


@numba.njit(cache=True, nogil=True)
def falling_order(score):
    """Rows by falling score, equal ones by index.

    A radix sort of words that hold the leading 32 bits of a key, counted from those in which keys differ, and
    the row. What these bits leave open, which is little, is sorted by comparison.
    """
    n = score.shape[0]
    if n == 0:
        return np.empty(0, np.int64)
    low = falling_key(score.max())
    differing = falling_key(score.min()) - low | np.uint64(1)
    shift = np.uint64(0)
    while differing << shift < np.uint64(1 << 63):
        shift += np.uint64(1)
    words, moved = np.empty(n, np.uint64), np.empty(n, np.uint64)
    counts = np.zeros((DIGITS, 1 << BITS), np.int64)
    mask = np.uint64(counts.shape[1] - 1)
    for i in range(n):
        leading = (falling_key(score[i]) - low) << shift >> np.uint64(32)
        words[i] = leading << np.uint64(32) | np.uint64(i)
        for k in range(DIGITS):
            counts[k, leading >> BITS * np.uint64(k) & mask] += 1
    for k in range(DIGITS):
        at = 0
        for digit in range(counts.shape[1]):
            at, counts[k, digit] = at + counts[k, digit], at
        for word in words:
            digit = word >> np.uint64(32) + BITS * np.uint64(k) & mask
            moved[counts[k, digit]] = word
            counts[k, digit] += 1
        words, moved = moved, words
    order = moved.view(np.int64)
    for i in range(n):
        order[i] = words[i] & ROW
    begin = 0
    for i in range(1, n + 1):
        if i == n or words[i] > words[begin] | ROW:
            if i - begin > 1:
                sort_run(order[begin:i], score)
            begin = i
    return order


@numba.njit(cache=True, nogil=True)
def sort_run(rows, score):
    """Sort a few rows by falling score, equal ones staying as they are."""
    for i in range(1, rows.shape[0]):
        if score[rows[i]] > score[rows[i - 1]]:
            rows[:] = rows[np.argsort(-score[rows], kind="mergesort")]
            return


@numba.njit(cache=True, nogil=True)
def stable_by_group(order, group, splits):
    """Sort ``order`` by the group of each row, keeping the order inside each: a counting sort."""
    fill = splits[:-1].copy()
    result = np.empty_like(order)
    for i in order:
        result[fill[group[i]]] = i
        fill[group[i]] += 1
    return result


@numba.njit(cache=True, nogil=True)
def count_candidates(score, order, splits, thresholds):
    """How many rows of each group reach its threshold: where it would stand in the falling order."""
    counts = np.empty(thresholds.shape[0], np.int64)
    for g in range(thresholds.shape[0]):
        low, high = splits[g], splits[g + 1]
        while low < high:
            middle = (low + high) // 2
            if score[order[middle]] >= thresholds[g]:
                low = middle + 1
            else:
                high = middle
        counts[g] = low - splits[g]
    return counts
