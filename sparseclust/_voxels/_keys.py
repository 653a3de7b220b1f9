"""Integer coordinates as 64-bit keys, and the neighbours of every voxel by merging sorted keys."""

import itertools
import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sparseclust._voxels import _kernels

IntArray = npt.NDArray[np.int64]


class VoxelKeys(NamedTuple):
    """Mixed-radix keys of integer rows.

    Attributes
    ----------
    keys : (n,) int64
        One key per row. Keys sort as the rows do, column 0 slowest.
    weights : (c,) int64
        ``keys = (coords - lowest) @ weights``; an offset ``o`` moves a key by ``o @ weights``.
    """

    keys: IntArray
    weights: IntArray


def pack_keys(coords: npt.NDArray[Any], *, pad: int = 0) -> VoxelKeys:
    """Pack integer rows into one int64 key each.

    Parameters
    ----------
    coords : (n, c) integer array
        Any values, negative ones too. Columns that separate (event, group) come first.
    pad : int
        Every offset of at most ``pad`` per axis may be added to a key without reaching the key of an
        unrelated row: each axis is widened by ``pad`` on both sides.

    Raises
    ------
    ValueError
        If the bounding box has more cells than an int64 can number.
    """
    c = coords.shape[1]
    if len(coords) == 0:
        return VoxelKeys(np.zeros(0, np.int64), np.zeros(c, np.int64))
    # Column by column: numpy is ten times slower along the first axis.
    lowest = [int(column.min()) for column in coords.T]
    sizes = [int(column.max()) - low + 1 + 2 * pad for column, low in zip(coords.T, lowest)]
    weights = [1] * c
    for axis in reversed(range(c - 1)):
        weights[axis] = weights[axis + 1] * sizes[axis + 1]
    if weights[0] * sizes[0] >= 2**62:
        raise ValueError(
            f"the coordinates span {' x '.join(map(str, sizes))} cells (column 0 first), more than a 64-bit "
            "key can number; check for stray coordinates, or shift and crop the volume"
        )
    keys = np.zeros(len(coords), np.int64)
    for axis in range(c):
        keys += (coords[:, axis].astype(np.int64) - lowest[axis]) * weights[axis]
    return VoxelKeys(keys, np.array(weights, np.int64))


def stable_order(keys: IntArray) -> IntArray:
    """Sort rows by keys of at least 0, equal ones in their order; linear where all are below 2^16."""
    narrow = keys.astype(np.uint16) if keys.max(initial=0) < 2**16 else keys  # NumPy has a radix sort for it
    return np.argsort(narrow, kind="stable")


def dense_ids(values: npt.NDArray[Any]) -> tuple[IntArray, npt.NDArray[Any]]:
    """Integers (n,) as indices into the sorted distinct ones, and those."""
    low, high = (int(values.min()), int(values.max())) if len(values) else (0, 0)
    if len(values) and high - low < 4 * len(values) and high < 2**63:
        # Those that lie close together are marked in a table, in a fraction of the time that sorting takes.
        offset = values.astype(np.int64) - low
        occurs = np.zeros(high - low + 1, bool)
        occurs[offset] = True
        return (np.cumsum(occurs) - 1)[offset], (np.flatnonzero(occurs) + low).astype(values.dtype)
    ids, index = np.unique(values, return_inverse=True)
    return index.astype(np.int64).reshape(len(values)), ids


def shifted_pairs(
    keys: IntArray, deltas: IntArray, *, mirror: bool = False
) -> tuple[IntArray, IntArray, IntArray]:
    """All pairs of keys that differ by one of ``deltas``.

    Parameters
    ----------
    keys : (n,) int64, strictly increasing
    deltas : (k,) int64
    mirror : bool
        Continue ``deltas`` by zero and by their opposites in opposite order, to 2 k + 1.

    Returns
    -------
    source, target : (m,) int64
        ``keys[source] == keys[target] + deltas[k]`` for the pairs ``splits[k]:splits[k + 1]``, which are
        sorted by target and by source.
    splits : (k + 1,) int64

    Notes
    -----
    Linear: two merges of the list with itself (one counts, one writes) per run of deltas that follow one
    another without a gap; no hash table.
    """
    counts = _kernels.count_shifted(keys, deltas)
    if mirror:
        counts = np.concatenate([counts, [len(keys)], counts[::-1]])
    splits = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(counts, out=splits[1:])
    source = np.empty(splits[-1], np.int64)
    target = np.empty(splits[-1], np.int64)
    _kernels.fill_shifted(keys, deltas, splits, source, target)
    if mirror:
        _kernels.mirror_shifted(splits, source, target)
    return source, target, splits


def offsets_within(radius: float, ndim: int) -> IntArray:
    """Integer offsets ``o != 0`` with ``|o| <= radius``, one of each pair ``{o, -o}``: (k, ndim), sorted.

    The kept half is the lexicographically negative one, so every unordered pair of voxels is met once.
    """
    reach = int(np.floor(radius))
    half = [
        o
        for o in itertools.product(range(-reach, reach + 1), repeat=ndim)
        if o < (0,) * ndim and math.sqrt(sum(v * v for v in o)) <= radius
    ]
    return np.array(half, np.int64).reshape(-1, ndim)


def component_labels(n: int, edges: IntArray) -> IntArray:
    """Label the components of ``n`` nodes under ``edges`` (2, m) in order of first appearance."""
    labels: IntArray = _kernels.component_labels(
        n, np.ascontiguousarray(edges[0]), np.ascontiguousarray(edges[1])
    )
    return labels
