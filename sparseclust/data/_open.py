"""Open event files of any readable format."""

import bisect
import glob
import itertools
import os
from collections.abc import Sequence
from pathlib import Path

from sparseclust.data._event import Event
from sparseclust.data._hdf5 import Hdf5Events, faults_named, open_hdf5
from sparseclust.data._pilarnet import InstanceLabel, PilarnetFile, is_pilarnet
from sparseclust.data._sequence import EventSequence
from sparseclust.data._store import FORMAT, EventStore, is_store


def open_events(
    path: str | os.PathLike[str],
    *,
    label: InstanceLabel = "fragment",
    min_energy: float = 0.0,
    spatial_size: int | None = 768,
) -> Sequence[Event]:
    """Open one or several event files, whatever their format.

    Parameters
    ----------
    path : path or pattern
        A file, or a pattern such as ``"train/*.h5"``; several files follow one another in sorted order.
    label, min_energy, spatial_size
        See :class:`PilarnetFile`. An event store holds its events as they are: ``label`` and ``min_energy``
        cannot be given for one, ``spatial_size`` is not looked at.

    Returns
    -------
    sequence of Event
        For one file a :class:`PilarnetFile` or an :class:`EventStore`.

    Raises
    ------
    FileNotFoundError
        If no file has this name or matches the pattern.
    ValueError
        If a file has a format that cannot be read, or an option does not apply to it.

    Examples
    --------
    >>> from sparseclust.data import open_events
    >>> events = open_events("train/*.h5", min_energy=0.05)  # doctest: +SKIP
    """
    options = (label, min_energy, spatial_size)
    files = [_open_one(file, *options) for file in _matching(os.fspath(path))]
    return files[0] if len(files) == 1 else _Chain(files)


def _matching(path: str) -> list[Path]:
    # A name with brackets in it is a name first.
    found = [path] if os.path.exists(path) else sorted(glob.glob(path, recursive=True))
    if not found:
        raise FileNotFoundError(f"{path}: no such file, and no file matches it as a pattern")
    return [Path(name) for name in found]


def _open_one(path: Path, label: InstanceLabel, min_energy: float, spatial_size: int | None) -> Hdf5Events:
    with open_hdf5(path) as file, faults_named(str(path)):
        store, pilarnet, found = is_store(file), is_pilarnet(file), list(file)
    if store:
        if label != "fragment" or min_energy != 0:
            raise ValueError(
                f"{path}: label and min_energy choose what is read from PILArNet-M files; this is an event "
                "store, whose events were chosen when it was written"
            )
        return EventStore(path)
    if pilarnet:
        return PilarnetFile(path, label=label, min_energy=min_energy, spatial_size=spatial_size)
    raise ValueError(
        f"{path}: expected a PILArNet-M file (datasets 'point' and 'cluster', one variable-length row "
        f"per event) or an event store (attribute format={FORMAT!r}); got an HDF5 file with {found}"
    )


class _Chain(EventSequence):
    """Several sequences of events as one."""

    def __init__(self, parts: Sequence[Sequence[Event]]) -> None:
        self._parts = parts
        self._ends = list(itertools.accumulate(len(part) for part in parts))

    def __len__(self) -> int:
        return self._ends[-1]

    def _event(self, index: int) -> Event:
        part = bisect.bisect_right(self._ends, index)
        return self._parts[part][index - self._ends[part]]  # counted from the end of that part

    def __repr__(self) -> str:
        return f"<{len(self)} events in {len(self._parts)} files>"
