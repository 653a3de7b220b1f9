"""Several event stores as one file that holds no events itself: virtual data sets of HDF5."""

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import numpy.typing as npt

from sparseclust.data._hdf5 import check_stored, faults_named, open_hdf5
from sparseclust.data._store import EventStore, describe
from sparseclust.data._store_writer import replacing, write_index

PARTS = "parts"
_NO_ATTRS: Mapping[str, Any] = {}


class _Column(NamedTuple):
    length: int
    row: tuple[int, ...]
    dtype: Any


class _Part(NamedTuple):
    path: Path
    records: npt.NDArray[Any]
    columns: dict[str, _Column]


def link_events(
    path: str | os.PathLike[str],
    parts: Iterable[str | os.PathLike[str]],
    *,
    attrs: Mapping[str, Any] = _NO_ATTRS,
) -> int:
    """Write a file that shows the events of several stores, in this order, without copying them.

    Parameters
    ----------
    path : path
        File to write; it appears when it is complete.
    parts : iterable of path
        Event stores, see :func:`write_events`. The file finds them by their paths relative to its own.
    attrs : mapping, optional
        As for :func:`write_events`; ``"parts"``, the relative paths, is added.

    Returns
    -------
    int
        Number of events.

    Raises
    ------
    FileNotFoundError
        If a part is missing.
    ValueError
        If a part is no event store or damaged, or has columns of another kind than those before it.
    OSError
        If the file cannot be written.

    Notes
    -----
    The columns are virtual data sets, so whatever reads HDF5 reads the file. HDF5 shows missing parts, and
    those beyond the number of files that a process may open, as NaN and zeros. :func:`open_events` reads the
    parts themselves instead, 64 open at a time, and says which is missing.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> from sparseclust.data import Event, link_events, open_events, write_events
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> parts = [folder / "a.h5", folder / "b.h5"]
    >>> [write_events(part, [Event([[i, 0, 0]], [0.5])]) for i, part in enumerate(parts)]
    [1, 1]
    >>> link_events(folder / "all.h5", parts)
    2
    >>> [event.coords.tolist() for event in open_events(folder / "all.h5")]
    [[[0, 0, 0]], [[1, 0, 0]]]
    """
    target = Path(path)
    found = [_inspected(Path(part)) for part in parts]
    names = [os.path.relpath(part.path, target.parent) for part in found]
    columns = _joined(found)
    with replacing(target) as (file, _):
        describe(file, json.dumps({**attrs, PARTS: names}))
        for name, column in columns.items():
            layout = h5py.VirtualLayout((column.length, *column.row), column.dtype)
            at = 0
            for part, source in zip(found, names):
                n = part.columns[name].length if name in part.columns else 0
                if n:
                    layout[at : at + n] = h5py.VirtualSource(source, name, (n, *column.row))
                at += n
            fill = np.nan if column.dtype.kind == "f" else None
            file.create_virtual_dataset(name, layout, fillvalue=fill)
        n_events = write_index(file, _shifted(found, columns))
    return n_events


def _inspected(path: Path) -> _Part:
    EventStore(path).close()
    with open_hdf5(path) as file, faults_named(str(path)):
        check_stored(file["index"], len(file["index"]))
        index = file["index"][:]
        columns = {
            name: _Column(len(file[name]), file[name].shape[1:], file[name].dtype)
            for name in index.dtype.names[1:]
        }
    return _Part(path, index, columns)


def _joined(parts: list[_Part]) -> dict[str, _Column]:
    """Columns of all parts together, in the order in which they begin."""
    joined: dict[str, _Column] = {}
    for part in parts:
        for name, column in part.columns.items():
            before = joined.get(name, column._replace(length=0))
            if (before.row, before.dtype) != (column.row, column.dtype):
                raise ValueError(
                    f"{part.path}: expected {before.dtype} rows of shape {before.row} in column {name!r}, as "
                    f"in the parts before it, got {column.dtype} rows of shape {column.row}"
                )
            joined[name] = before._replace(length=before.length + column.length)
    return joined


def _shifted(parts: list[_Part], columns: Mapping[str, _Column]) -> npt.NDArray[Any]:
    """Index of all events; rows are counted on from part to part."""
    index = np.empty(
        sum(len(part.records) for part in parts), [(name, np.int64) for name in ("n_voxels", *columns)]
    )
    first, begins = 0, dict.fromkeys(columns, 0)
    for part in parts:
        rows = slice(first, first + len(part.records))
        index["n_voxels"][rows] = part.records["n_voxels"]
        for name in columns:
            starts = part.records[name] if name in part.columns else np.int64(-1)
            index[name][rows] = np.where(starts < 0, -1, starts + begins[name])
            begins[name] += part.columns[name].length if name in part.columns else 0
        first += len(part.records)
    return index
