"""Which colour an instance gets."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]

# Ordered so that each colour is far in OKLab from those just before it, also as protanopes and deuteranopes
# see them, and away from the grey of what has no instance.
PALETTE = (
    "#166daf", "#7ce239", "#d40728", "#59bbfb", "#710385", "#169e27", "#eb4db6", "#0a562b",
    "#f4a85a", "#5265f9", "#992154", "#299f9c", "#0d37ab", "#ff4565", "#a887f5", "#53760e",
)  # fmt: skip
NO_INSTANCE = "#b8b8b8"

CLASS_NAMES: Mapping[int, str] = {0: "shower", 1: "track", 2: "Michel", 3: "delta", 4: "low energy"}


def colours(slots: IntArray) -> npt.NDArray[np.str_]:
    """Colour (n,) of each slot: the palette over and over, grey for -1."""
    table = np.array([*PALETTE, NO_INSTANCE])
    return table[np.where(slots < 0, len(PALETTE), slots % len(PALETTE))]


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


def _count(slots: IntArray) -> int:
    return int(slots.max(initial=-1)) + 1
