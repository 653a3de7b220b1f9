"""What every random-access sequence of events does alike."""

import operator
from abc import abstractmethod
from collections.abc import Sequence
from typing import overload

import numpy as np
import numpy.typing as npt

from sparseclust.data._event import Event


class EventSequence(Sequence[Event]):
    """Events by index: negative indices count from the end, a slice gives a list."""

    @abstractmethod
    def _event(self, index: int) -> Event:
        """Event ``index``, ``0 <= index < len(self)``."""

    @overload
    def __getitem__(self, index: int) -> Event: ...
    @overload
    def __getitem__(self, index: slice) -> list[Event]: ...
    def __getitem__(self, index: int | slice) -> Event | list[Event]:
        if isinstance(index, slice):
            return [self._event(i) for i in range(*index.indices(len(self)))]
        i = operator.index(index)
        if not -len(self) <= i < len(self):
            raise IndexError(f"no event {i} in {self!r}")
        return self._event(i % len(self))

    def voxel_counts(self) -> npt.NDArray[np.int64]:
        """Return what :func:`sparseclust.data.voxel_counts` does."""
        return _read_counts(self)


def voxel_counts(events: Sequence[Event]) -> npt.NDArray[np.int64]:
    """Count the voxels of each event.

    Parameters
    ----------
    events : sequence of Event
        For example a file.

    Returns
    -------
    (n_events,) int64
        As the readers give them: before transforms, and with every row of a voxel that is listed more than
        once.

    Raises
    ------
    ValueError
        If a file is damaged.

    Notes
    -----
    Event stores, SPINE files of format 2 and PILArNet-M files have the counts in one place, so that no event
    is read. All events are read where a PILArNet-M file is read in part (``min_energy``, ``classes``,
    ``precedence``) or its references to rows are compressed, and in SPINE files of format 1.

    Examples
    --------
    >>> from sparseclust.data import Event, voxel_counts
    >>> voxel_counts([Event([[0, 0], [0, 1]], [1.0, 1.0]), Event([[5, 5]], [1.0])]).tolist()
    [2, 1]
    """
    return events.voxel_counts() if isinstance(events, EventSequence) else _read_counts(events)


def _read_counts(events: Sequence[Event]) -> npt.NDArray[np.int64]:
    return np.array([len(events[i]) for i in range(len(events))], np.int64)
