"""Which colour an instance gets."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from sparseclust.vis._vision import distances

IntArray = npt.NDArray[np.int64]

# Ordered so that each colour is far in OKLab from those just before it, also as protanopes and deuteranopes
# see them, and away from the grey of what has no instance.
PALETTE = (
    "#166daf", "#7ce239", "#d40728", "#59bbfb", "#710385", "#169e27", "#eb4db6", "#0a562b",
    "#f4a85a", "#5265f9", "#992154", "#299f9c", "#0d37ab", "#ff4565", "#a887f5", "#53760e",
)  # fmt: skip
NO_INSTANCE = "#b8b8b8"

# Colours nearer than this in OKLab are told apart with an effort.
_DISTINCT = 0.2
# Of this many cells along an event, instances within half of one are neighbours, and within one they may be.
_CELLS = 16
# Among more than this many, nobody looks for a colour; the rest go round the palette.
_SPREAD = 4096
_NOBODY = np.zeros(0, np.int64)

CLASS_NAMES: Mapping[int, str] = {0: "shower", 1: "track", 2: "Michel", 3: "delta", 4: "low energy"}


def colours(places: IntArray) -> npt.NDArray[np.str_]:
    """Colour (n,) of each place in the palette, grey for -1."""
    return np.array([*PALETTE, NO_INSTANCE])[places]


def ranked_slots(labels: IntArray) -> IntArray:
    """Replace labels by their rank, so that neighbouring ids get neighbouring slots; -1 stays."""
    slots = np.full(len(labels), -1, np.int64)
    known = labels >= 0
    slots[known] = np.unique(labels[known], return_inverse=True)[1]
    return slots


def matched_slots(reference: IntArray, labels: IntArray) -> IntArray:
    """Slots of ``labels``, equal to those of ``reference`` where clusters correspond.

    Clusters are paired one to one, the largest overlap first, ties to the smaller ids; what finds no partner
    gets a slot that the reference does not use.
    """
    slots = ranked_slots(labels)
    n_labels, n_reference = _count(slots), _count(reference)
    both = (slots >= 0) & (reference >= 0)
    pairs, overlap = np.unique(slots[both] * n_reference + reference[both], return_counts=True)
    slot_of = np.full(n_labels, -1, np.int64)
    free = np.ones(n_reference, np.bool_)
    for pair in pairs[np.argsort(-overlap, kind="stable")]:
        mine, theirs = divmod(int(pair), n_reference)
        if slot_of[mine] < 0 and free[theirs]:
            slot_of[mine] = theirs
            free[theirs] = False
    alone = slot_of < 0
    slot_of[alone] = n_reference + np.arange(alone.sum())
    return np.where(slots >= 0, slot_of[slots], -1) if n_labels else slots


def spread(coords: npt.NDArray[Any], partitions: Sequence[IntArray]) -> list[IntArray]:
    """Place in the palette (n,) of each voxel in each partition, far apart in colour for neighbours in space.

    Parameters
    ----------
    coords : (n, d)
        Positions of the voxels.
    partitions : sequence of (n,) int64
        Slots of the voxels in each panel; equal slots are one instance, and get one colour, in all of them.
        -1 stays -1.

    Notes
    -----
    Greedy in the order of the slots: the colour that is told apart best from those of the neighbours so far,
    then the one used least, then the first. Instances without neighbours go round the palette in their order.
    """
    near = _neighbours(coords, partitions)
    closeness = np.clip(1 - distances(PALETTE) / _DISTINCT, 0, None)
    used = np.zeros(len(PALETTE))
    places = np.arange(max(map(_count, partitions), default=0)) % len(PALETTE)
    for slot in range(min(len(places), _SPREAD)):
        around = near.get(slot, _NOBODY)
        cost = closeness[places[around[around < slot]]].sum(axis=0) + used / max(slot, 1) / len(PALETTE)
        places[slot] = cost.argmin()
        used[places[slot]] += 1
    return [np.where(slots < 0, -1, np.append(places, -1)[slots]) for slots in partitions]


def _neighbours(coords: npt.NDArray[Any], partitions: Sequence[IntArray]) -> dict[int, IntArray]:
    """Slots near each slot. Two voxels are near if they share a cell of a grid, or of one shifted by half."""
    if not len(coords):
        return {}
    low = coords.min(axis=0)
    touching = 2.0 if np.issubdtype(coords.dtype, np.integer) else 0.0
    cell = max(float((coords.max(axis=0) - low).max()) / _CELLS, touching) or 1.0
    halves = np.floor((coords - low) / (cell / 2)).astype(np.int64)
    base = (_CELLS + 2,) * coords.shape[1]
    n = max(map(_count, partitions), default=0)
    pairs = [_NOBODY]
    for slots in partitions:
        known = np.flatnonzero((slots >= 0) & (slots < _SPREAD))
        fine = np.ravel_multi_index(tuple(halves[known].T), tuple(2 * b for b in base))
        rows = known[np.unique(fine * n + slots[known], return_index=True)[1]]
        for shift in itertools.product((0, 1), repeat=coords.shape[1]):
            cells = np.ravel_multi_index(tuple(((halves[rows] + shift) // 2).T), base)
            pairs.append(_sharing(np.unique(cells * n + slots[rows]), n))
    both = np.unique(np.concatenate([*pairs, *(p % n * n + p // n for p in pairs)]))
    first, starts = np.unique(both // n, return_index=True)
    return dict(zip(first.tolist(), np.split(both % n, starts[1:])))


def _sharing(rows: IntArray, n: int) -> IntArray:
    """Pairs, as ``one * n + other``, of slots that share a cell; in a crowd, each with the next ones only."""
    cells, slots = np.divmod(rows, n)
    pairs = [_NOBODY]
    for lag in range(1, len(PALETTE)):
        same = cells[lag:] == cells[:-lag]
        if not same.any():
            break
        pairs.append(slots[:-lag][same] * n + slots[lag:][same])
    return np.concatenate(pairs)


def _count(slots: IntArray) -> int:
    return int(slots.max(initial=-1)) + 1
