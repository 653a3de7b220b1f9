"""Several rows on one voxel."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from sparseclust.data._event import Event, SemanticClass

# Who owns a voxel that two particles share, first to last.
PRECEDENCE = (
    SemanticClass.TRACK,
    SemanticClass.MICHEL,
    SemanticClass.SHOWER,
    SemanticClass.DELTA,
    SemanticClass.LOW_ENERGY,
)


def coalesce_event(
    event: Event, *, precedence: Sequence[int] = PRECEDENCE
) -> tuple[Event, npt.NDArray[np.int64]]:
    """Merge rows that share a coordinate.

    Parameters
    ----------
    event : Event
    precedence : sequence of int
        Semantic classes in the order in which they lead; classes that it does not name come after these.

    Returns
    -------
    event : Event
        One row per coordinate, in order of first appearance; the same object if nothing repeats.
    inverse : (n,) int64
        Row of the new event for each row of the given one.

    Notes
    -----
    The energy (column 0 of the features) is summed. Everything else, labels, further features and extra
    columns, is that of the leading row: the class that comes first in ``precedence`` (track, Michel, shower,
    delta, low energy); then the highest energy; then the first row.

    Examples
    --------
    >>> from sparseclust.data import Event, coalesce_event
    >>> event = Event([[3, 1], [2, 2], [3, 1]], [0.25, 1.0, 0.5], semantic=[0, 1, 1], instance=[7, 8, 9])
    >>> merged, inverse = coalesce_event(event)
    >>> merged.energy.tolist(), merged.instance.tolist(), inverse.tolist()
    ([0.75, 1.0], [9, 8], [0, 1, 0])
    """
    inverse, n_unique = _first_appearance(event.coords)
    if n_unique == len(event):
        return event, inverse
    order = np.lexsort((-event.energy, _rank(event, precedence), inverse))
    leading = order[np.searchsorted(inverse[order], np.arange(n_unique))]
    merged = event.select(leading)
    merged.feats[:, 0] = np.bincount(inverse, weights=event.energy, minlength=n_unique)
    return merged, inverse


def _first_appearance(coords: npt.NDArray[np.int32]) -> tuple[npt.NDArray[np.int64], int]:
    """Return each row's number, distinct rows counted by first appearance, and how many there are."""
    n = len(coords)
    order = np.lexsort(coords.T)  # stable: the first row of every run of equals is the one that appears first
    ordered = coords[order]
    new = np.ones(n, np.bool_)
    new[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    first = order[new]
    number = np.empty(len(first), np.int64)
    number[np.argsort(first)] = np.arange(len(first))
    inverse = np.empty(n, np.int64)
    inverse[order] = number[np.cumsum(new) - 1]
    return inverse, len(first)


def _rank(event: Event, precedence: Sequence[int]) -> npt.NDArray[np.int64]:
    rank = np.full(len(event), len(precedence), np.int64)
    if event.semantic is not None:
        for place, semantic in enumerate(precedence):
            rank[event.semantic == semantic] = place
    return rank
