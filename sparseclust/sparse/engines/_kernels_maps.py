"""Compiled kernel maps: keys that ascend can be merged, with shifted copies of themselves or cell by cell."""

import numba
import numpy as np

from sparseclust.sparse.engines._kernels_parallel import in_parallel


@numba.njit(cache=True, nogil=True)
def ascend(coords):
    """Whether every row is greater than the one before, the first column deciding first."""
    for i in range(1, coords.shape[0]):
        axis = 0
        while axis < coords.shape[1] and coords[i, axis] == coords[i - 1, axis]:
            axis += 1
        if axis == coords.shape[1] or coords[i, axis] < coords[i - 1, axis]:
            return False
    return True


@numba.njit(cache=True, nogil=True)
def divide(coords, stride):
    """Cell of each row, and the number of its place within the cell, the last axis fastest."""
    cells = np.empty_like(coords)
    places = np.empty(coords.shape[0], np.int64)
    for i in range(coords.shape[0]):
        place = 0
        cells[i, 0] = coords[i, 0]
        for axis in range(1, coords.shape[1]):
            edge = stride[axis - 1]
            cell = coords[i, axis] // edge
            place = place * edge + coords[i, axis] - cell * edge
            cells[i, axis] = cell
        places[i] = place
    return cells, places


@numba.njit(cache=True, nogil=True)
def group(places, volume):
    """Rows by place, in their order, and where the rows of each place begin."""
    splits = np.zeros(volume + 1, np.int64)
    for place in places:
        splits[place + 1] += 1
    splits = np.cumsum(splits)
    ends = splits[:-1].copy()
    rows = np.empty(places.shape[0], np.int32)
    for i in range(places.shape[0]):
        rows[ends[places[i]]] = i
        ends[places[i]] += 1
    return rows, splits


@numba.njit(cache=True, nogil=True)
def merge(keys, rows, splits):
    """Count through the keys of ascending lists of rows: the number of each row, one row of each number."""
    end = np.iinfo(np.int64).max
    heads = splits[:-1].copy()
    ahead = np.full(heads.shape[0], end)
    for k in range(heads.shape[0]):
        if splits[k] < splits[k + 1]:
            ahead[k] = keys[rows[splits[k]]]
    numbers, first = np.empty_like(rows), np.empty_like(rows)
    count = 0
    lowest = ahead.min()
    while lowest < end:
        for k in range(heads.shape[0]):
            if ahead[k] == lowest:
                p = heads[k]
                numbers[p], first[count] = count, rows[p]
                heads[k] = p + 1
                ahead[k] = keys[rows[p + 1]] if p + 1 < splits[k + 1] else end
        count += 1
        lowest = ahead.min()
    return numbers, first[:count].copy()


@numba.njit(cache=True, nogil=True)
def number(coords, lowest, weights, keys):
    """Write the key of each row, and behind them the largest number; return whether the keys ascend."""
    descents = 0
    for i in range(coords.shape[0]):
        key = np.int64(0)
        for axis in range(coords.shape[1]):
            key += (coords[i, axis] - lowest[axis]) * weights[axis]
        keys[i] = key
        descents += i > 0 and key <= keys[i - 1]
    keys[coords.shape[0] :] = np.iinfo(np.int64).max
    return descents == 0


@numba.njit(cache=True, nogil=True)
def sweep(start, threads, keys, deltas, first, edges, ends, source, target):
    """List all pairs with ``keys[source] == keys[target] + deltas[k]``.

    ``first`` are the deltas that do not just count up by one, and the end. Thread t has the targets from
    ``edges[t]`` to ``edges[t + 1]``. ``ends[t, k]`` is where its list of delta k begins, and then where it
    ends; one number behind it is lost.
    """
    in_parallel(start, threads, ends.shape[0], _sweep, (keys, deltas, first, edges, ends, source, target))


@numba.njit(cache=True, nogil=True)
def _sweep(part, keys, deltas, first, edges, all_ends, source, target):
    """Do it for the targets of one part.

    Behind the ascending keys is one that no other reaches. Hits are not foreseeable, so nothing branches on
    them: what is no pair is overwritten.
    """
    low, high, ends = edges[part], edges[part + 1], all_ends[part]
    # Unsigned, as numba asks of every signed index whether it counts from the end.
    one = np.uint64(1)
    heads = np.searchsorted(keys, keys[low] + deltas[first[:-1]]).astype(np.uint64)
    for j in range(low, high):
        for r in range(heads.shape[0]):
            i, want = heads[r], keys[j] + deltas[first[r]]
            i += np.uint64(keys[i] < want)
            i += np.uint64(keys[i] < want)
            while keys[i] < want:
                i += one
            heads[r] = i
            for k in range(first[r], first[r + 1]):
                at, hit = ends[k], np.uint64(keys[i] == want)
                source[at] = i
                target[at] = j
                ends[k] = at + hit
                i += hit
                want += 1


@numba.njit(cache=True, nogil=True)
def gather(start, threads, source, target, starts, ends, splits, sources, targets):
    """Put the lists of all deltas one behind the other, the parts of each in their order.

    With more splits than lists, the rows themselves and the lists with source and target exchanged follow,
    backwards: the pairs of opposite deltas.
    """
    in_parallel(
        start, threads, threads, _gather, (threads, source, target, starts, ends, splits, sources, targets)
    )


@numba.njit(cache=True, nogil=True)
def _gather(part, parts, source, target, starts, ends, splits, sources, targets):
    _gather_one(source, target, starts, ends, splits, part, parts, sources)
    _gather_one(target, source, starts, ends, splits, part, parts, targets)


@numba.njit(cache=True, nogil=True)
def _gather_one(listed, other, starts, ends, splits, part, parts, out):
    half = ends.shape[1]
    for k in range(part, half, parts):
        at, opposite = splits[k], splits[splits.shape[0] - 2 - k]
        for t in range(ends.shape[0]):
            length = ends[t, k] - starts[t, k]
            out[at : at + length] = listed[starts[t, k] : ends[t, k]]
            at += length
            if splits.shape[0] > half + 1:
                out[opposite : opposite + length] = other[starts[t, k] : ends[t, k]]
                opposite += length
    if splits.shape[0] > half + 1 and part == 0:
        for j in range(splits[half + 1] - splits[half]):
            out[splits[half] + j] = j
