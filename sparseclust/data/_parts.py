"""Several sequences of events as one, and one as several; nothing is read or copied."""

import bisect
import itertools
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt

from sparseclust.data._event import Event
from sparseclust.data._sequence import EventSequence, voxel_counts

_OPEN_FILES = 64  # of one concatenation in one process; systems allow about a thousand in all


def concatenate_events(parts: Iterable[Sequence[Event]]) -> Sequence[Event]:
    """Join sequences of events, for example files, without copying anything.

    Parameters
    ----------
    parts : iterable of sequences of Event
        In this order.

    Returns
    -------
    sequence of Event
        Reads from the parts, and keeps at most 64 of their files open. ``write_events(path, joined)`` makes
        one file of it.

    Examples
    --------
    >>> from sparseclust.data import Event, concatenate_events
    >>> a, b = Event([[0, 0]], [1.0]), Event([[1, 1], [2, 2]], [1.0, 1.0])
    >>> [len(event) for event in concatenate_events([[a, b], [], [a]])]
    [1, 2, 1]
    """
    return Concatenation(parts)


def split_events(
    events: Sequence[Event], fractions: Sequence[float], *, rng: np.random.Generator | None = None
) -> list[Sequence[Event]]:
    """Split a sequence of events into parts that share none, without copying anything.

    Parameters
    ----------
    events : sequence of Event
        For example a file.
    fractions : sequence of float
        Size of each part; they add up to 1.
    rng : numpy.random.Generator, optional
        Draws which events go where; each part keeps their order. Without it the parts follow one another.

    Returns
    -------
    list of sequences of Event
        Every event is in exactly one part. ``write_events(path, part)`` makes a file of one.

    Raises
    ------
    ValueError
        If a fraction is negative or they do not add up to 1.

    Examples
    --------
    >>> import numpy as np
    >>> from sparseclust.data import Event, split_events
    >>> events = [Event([[i, i]], [1.0]) for i in range(10)]
    >>> train, validation = split_events(events, [0.8, 0.2], rng=np.random.default_rng(0))
    >>> len(train), len(validation)
    (8, 2)
    """
    shares = np.asarray(fractions, np.float64)
    if shares.ndim != 1 or not (shares >= 0).all() or abs(shares.sum() - 1) > 1e-9:
        raise ValueError(f"fractions must be at least 0 and add up to 1, got {list(fractions)}")
    ends = np.rint(np.cumsum(shares) * len(events)).astype(np.int64)
    order = np.arange(len(events)) if rng is None else rng.permutation(len(events))
    return [_Selection(events, np.sort(rows)) for rows in np.split(order, ends[:-1])]


class Concatenation(EventSequence):
    """Several sequences of events as one."""

    def __init__(self, parts: Iterable[Sequence[Event]]) -> None:
        self._parts = list(parts)
        self._ends = list(itertools.accumulate((len(part) for part in self._parts), initial=0))[1:]
        self._recent: OrderedDict[int, None] = OrderedDict()

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def _event(self, index: int) -> Event:
        part = bisect.bisect_right(self._ends, index)
        self._use(part)
        return self._parts[part][index - self._ends[part]]  # counted from the end of that part

    def voxel_counts(self) -> npt.NDArray[np.int64]:
        """Return what :func:`sparseclust.data.voxel_counts` does."""
        counts = [np.empty(0, np.int64)]
        for number, part in enumerate(self._parts):
            self._use(number)
            counts.append(voxel_counts(part))
        return np.concatenate(counts)

    def _use(self, part: int) -> None:
        self._recent[part] = None
        self._recent.move_to_end(part)
        if len(self._recent) > _OPEN_FILES:
            self._close(self._recent.popitem(last=False)[0])

    def _close(self, part: int) -> None:
        close = getattr(self._parts[part], "close", None)
        if close is not None:
            close()

    def close(self) -> None:
        """Close the files of this process; the next access opens them again."""
        for part in self._recent:
            self._close(part)
        self._recent.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<{len(self)} events in {len(self._parts)} parts>"


class _Selection(EventSequence):
    """Some events of a sequence, by their indices."""

    def __init__(self, events: Sequence[Event], rows: npt.NDArray[np.int64]) -> None:
        self._events = events
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def _event(self, index: int) -> Event:
        return self._events[int(self._rows[index])]

    def voxel_counts(self) -> npt.NDArray[np.int64]:
        """Return what :func:`sparseclust.data.voxel_counts` does."""
        return voxel_counts(self._events)[self._rows]

    def __repr__(self) -> str:
        return f"<{len(self)} of {self._events!r}>"
