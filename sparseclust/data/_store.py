"""The library's own event files: flat columns in HDF5, written in one pass and read at random."""

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sparseclust._version import __version__
from sparseclust.data._event import Event
from sparseclust.data._hdf5 import Hdf5Events, check_stored
from sparseclust.data._store_writer import EXTRA, ColumnWriter, replacing

FORMAT = "sparseclust-events"
VERSION = 1
_NO_ATTRS: Mapping[str, Any] = {}


def write_events(
    path: str | os.PathLike[str],
    events: Iterable[Event],
    *,
    attrs: Mapping[str, Any] = _NO_ATTRS,
    append: bool = False,
) -> int:
    """Write events to a file that :class:`EventStore` reads.

    Parameters
    ----------
    path : path
        File to write; its folder exists. A file of that name is replaced once all events are written. Until
        then, and after an error, an interruption or a kill, it stays as it was.
    events : iterable of Event
        Taken one at a time, never all in memory. All have the same ``ndim``, number of features and types of
        ``extra`` columns; truth and extra columns may be missing in some.
    attrs : mapping, optional
        Anything JSON can hold: where the events come from, the settings that made them.
    append : bool
        Keep the events of a store that is there and write the new ones behind them; ``attrs`` are added to
        its own. Without such a file this makes no difference.

    Returns
    -------
    int
        Number of events of the file.

    Raises
    ------
    ValueError, TypeError
        If an event does not have the columns of those before it, ``attrs`` is not JSON, or the file to
        append to is no event store.
    OSError
        If the file cannot be written, for example because the disk is full; names the path.

    Notes
    -----
    Layout: dataset ``index`` has one record per event, ``n_voxels`` and for each column the first row of the
    event in it, or -1 where the event lacks this column. The columns are ``coords``, ``feats``, ``semantic``,
    ``instance`` and ``extra/<name>``: flat, chunked, compressed, with checksums. ``attrs`` is a JSON text.
    The attributes ``format``, ``format_version``, ``written_by`` and ``n_events`` belong to the file.

    Appending copies the old file first, so that it survives whatever happens: many small additions belong in
    files of their own, which ``open_events("train-*.h5")`` reads as one.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> from sparseclust.data import Event, EventStore, write_events
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "events.h5"
    >>> write_events(path, [Event([[0, 0, 0]], [0.5])], attrs={"source": "by hand"})
    1
    >>> write_events(path, [Event([[1, 1, 1]], [0.7])], attrs={"second": True}, append=True)
    2
    >>> store = EventStore(path)
    >>> store[0].energy.tolist(), store.attrs
    ([0.5], {'source': 'by hand', 'second': True})
    """
    target = Path(path)
    extend = append and target.exists()
    old = EventStore(target).attrs if extend else {}
    description = json.dumps({**old, **attrs})
    with replacing(target, copy=extend) as (file, each):
        describe(file, description)
        writer = ColumnWriter(file)
        for i, event in enumerate(each(events)):
            if not isinstance(event, Event):
                raise TypeError(f"events[{i}] must be an Event, got {type(event).__name__}")
            try:
                writer.append(event)
            except ValueError as error:
                raise ValueError(f"{target}: event {i}: {error}") from error
        return writer.finish()


def describe(file: Any, description: str) -> None:
    """Say what the file is; ``description`` is its attributes as JSON."""
    # Texts of fixed length: those of variable length lie in a part of the file that has no checksums.
    file.attrs["format"] = np.bytes_(FORMAT)
    file.attrs["format_version"] = VERSION
    file.attrs["written_by"] = np.bytes_(f"sparseclust {__version__}")
    if "attrs" in file:
        del file["attrs"]
    text = np.frombuffer(description.encode(), np.uint8)
    file.create_dataset("attrs", data=text, chunks=text.shape, fletcher32=True)


class EventStore(Hdf5Events):
    """Events of a file written by :func:`write_events`, read one at a time.

    Parameters
    ----------
    path : path

    Attributes
    ----------
    attrs : dict
        What was given to :func:`write_events`.
    written_by : str
        Name and version of the program that wrote the file last.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        At opening, if the file is truncated or of another format; at reading an event, if it is damaged.

    Notes
    -----
    Events come back exactly as they were written: values, types, missing truth, extra columns.
    """

    attrs: dict[str, Any]
    written_by: str

    def _inspect(self, file: Any) -> int:
        if not is_store(file):
            raise ValueError(
                f"expected an event store (attribute format={FORMAT!r}); got an HDF5 file with {list(file)}"
            )
        version = file.attrs.get("format_version")
        if version != VERSION:
            raise ValueError(
                f"expected an event store of version {VERSION}, got version {version}; read it "
                "with the release of sparseclust that wrote it, or a newer one"
            )
        description = file["attrs"]
        check_stored(description, len(description))
        self.attrs = json.loads(bytes(description[()]))
        self.written_by = _text(file.attrs.get("written_by", "unknown"))
        index = file["index"]
        if index.ndim != 1 or "n_voxels" not in (index.dtype.names or ()):
            raise ValueError(f"expected 'index' to be a list of records, got {index.dtype} {index.shape}")
        n_events = int(file.attrs.get("n_events", len(index)))
        if n_events != len(index):
            raise ValueError(f"expected {n_events} records in 'index', got {len(index)}")
        return n_events

    def _read(self, index: int) -> Event:
        record = self._dataset("index")[index]
        n = int(record["n_voxels"])
        columns: dict[str, Any] = {}
        for name in record.dtype.names[1:]:
            start = int(record[name])
            if start >= 0:
                columns[name] = self._rows(name, start, n)
        extra = {k.removeprefix(EXTRA): v for k, v in columns.items() if k.startswith(EXTRA)}
        return Event(
            columns["coords"], columns["feats"], columns.get("semantic"), columns.get("instance"), extra=extra
        )

    def _counts(self) -> npt.NDArray[np.int64]:
        index = self._dataset("index")
        check_stored(index, len(index))
        return np.asarray(index["n_voxels"], np.int64)

    def _rows(self, name: str, start: int, n: int) -> Any:
        column = self._dataset(name)
        if not 0 <= n <= len(column) - start:
            raise ValueError(f"expected rows {start} to {start + n} of {name!r}, which has {len(column)}")
        check_stored(column, n)
        return column[start : start + n]


def is_store(file: Any) -> bool:
    """Whether an open HDF5 file says that it is an event store."""
    return _text(file.attrs.get("format")) == FORMAT


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
