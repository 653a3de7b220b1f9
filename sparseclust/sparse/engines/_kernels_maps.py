"""Compiled kernel map of cells: where rows ascend, their cells do so under each offset, and can be merged."""

import numba
import numpy as np


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
    rows = np.empty(places.shape[0], np.int64)
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
