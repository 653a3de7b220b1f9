"""Compiled loops: points sorted into the cells of a grid, and the cells that a ball touches.

Divisions follow IEEE 754 (``error_model="numpy"``): a kernel of width zero divides by zero and covers nothing
but its own seed.
"""

import math
from typing import NamedTuple

import numba
import numpy as np

GRID_AXES = 4


class Grid(NamedTuple):
    """Sorted points: ``points[start[c]:start[c + 1]]`` are in cell ``c``, row ``i`` at ``place[i]``."""

    axes: np.ndarray
    low: np.ndarray
    inverse: np.ndarray
    cells: np.ndarray
    start: np.ndarray
    place: np.ndarray
    points: np.ndarray


@numba.njit(cache=True, nogil=True, error_model="numpy", inline="always")
def squared_distance(points, j, centre, variance):
    """|x_j - mu|^2, with one variance per axis each term divided by its own; terms added in axis order."""
    total = 0.0
    if variance.shape[0] == 1:
        for k in range(points.shape[1]):
            step = points[j, k] - centre[k]
            total += step * step
    else:
        for k in range(points.shape[1]):
            step = points[j, k] - centre[k]
            total += step * step / variance[k]
    return total


@numba.njit(cache=True, nogil=True, error_model="numpy")
def axis_cell(value, low, inverse, cells):
    """Cell of a coordinate, clamped to the grid; never decreases when the coordinate grows."""
    at = (value - low) * inverse
    if at >= cells:
        return cells - 1
    if at > 0:
        return int(at)
    return 0


@numba.njit(cache=True, nogil=True)
def bounding_box(x):
    """Least and largest coordinate of each axis."""
    low, high = x[0].copy(), x[0].copy()
    for i in range(x.shape[0]):
        for k in range(x.shape[1]):
            low[k] = min(low[k], x[i, k])
            high[k] = max(high[k], x[i, k])
    return low, high


@numba.njit(cache=True, nogil=True, error_model="numpy")
def grid_layout(x, variance, exponent):
    """Axes of the grid, and on each of them low corner, inverse cell edge and number of cells.

    The axes are those along which the points spread over most kernel radii; the edge is near two thirds of
    the median radius, and there are at most about as many cells as points. All this decides how long a search
    takes, never its result, so a sample of the rows is enough for the median.
    """
    n, d = x.shape
    used = min(d, GRID_AXES)
    sample = variance[:: max(1, variance.shape[0] // 256)]
    low, high = bounding_box(x)
    extent = high - low
    wanted = np.ones(d)
    edge = 0.0
    for k in range(d):
        if k < variance.shape[1]:
            edge = math.sqrt(exponent * np.median(sample[:, k])) / 1.5
        if extent[k] > edge:
            wanted[k] = extent[k] / edge
    axes = np.argsort(-wanted, kind="mergesort")[:used]
    most = max(1, int(float(n) ** (1.0 / used)))
    cells = np.ones(used, np.int64)
    inverse = np.zeros(used)
    for k in range(used):
        cells[k] = most if wanted[axes[k]] > most else math.ceil(wanted[axes[k]])
        inverse[k] = cells[k] / extent[axes[k]]
    return axes, low[axes], inverse, cells


@numba.njit(cache=True, nogil=True, error_model="numpy")
def build_grid(x, variance, exponent):
    """Sort the points by cell, counting."""
    n, d = x.shape
    axes, low, inverse, cells = grid_layout(x, variance, exponent)
    place = np.empty(n, np.int32)
    start = np.zeros(cells.prod() + 2, np.int32)
    for i in range(n):
        cell = 0
        for k in range(axes.shape[0]):
            cell = cell * cells[k] + axis_cell(x[i, axes[k]], low[k], inverse[k], cells[k])
        place[i] = cell
        start[cell + 2] += 1
    for c in range(1, start.shape[0]):
        start[c] += start[c - 1]
    points = np.empty_like(x)
    for i in range(n):
        # Until all points have found their place, a cell's start is kept in the next cell's entry.
        at = start[place[i] + 1]
        start[place[i] + 1] = at + 1
        place[i] = at
        for k in range(d):
            points[at, k] = x[i, k]
    return Grid(axes, low, inverse, cells, start, place, points)


@numba.njit(cache=True, nogil=True)
def room_for_runs(grid):
    """Scratch for :func:`ball_runs`: as many runs as a ball over the whole grid has."""
    return np.empty((grid.cells[:-1].prod(), 2), np.int32)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def ball_runs(grid, centre, variance, exponent, runs):
    """Write the runs of points in the cells that a ball touches, begin and end; return how many they are.

    None when the ball lies beside the grid, or its kernel has no width. That all are looked up before one is
    visited lets the processor wait for all of them at once.
    """
    if not variance.min() > 0:
        return 0
    count = 1
    runs[0, 0] = 0
    for k in range(grid.axes.shape[0]):
        low, inverse, cells = grid.low[k], grid.inverse[k], grid.cells[k]
        at = centre[grid.axes[k]]
        # A little wider than the ball, so that rounding never leaves out a point of it.
        width = variance[grid.axes[k] if variance.shape[0] > 1 else 0]
        reach = math.sqrt(exponent * width) * (1 + 1e-9) + 1e-150
        # The largest coordinate may round to a little more than ``cells``.
        if (at - reach - low) * inverse > cells * (1 + 1e-9) or (at + reach - low) * inverse < 0:
            return 0
        first = axis_cell(at - reach, low, inverse, cells)
        steps = axis_cell(at + reach, low, inverse, cells) + 1 - first
        if k + 1 < grid.axes.shape[0]:
            for r in range(count - 1, -1, -1):
                line = runs[r, 0] * cells + first
                for step in range(steps):
                    runs[r * steps + step, 0] = line + step
            count *= steps
        else:
            for r in range(count):
                line = runs[r, 0] * cells + first
                runs[r, 0] = grid.start[line]
                runs[r, 1] = grid.start[line + steps]
    return count
