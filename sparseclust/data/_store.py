"""The library's own event files: flat columns in HDF5, written in one pass and read at random."""

import contextlib
import json
import os
import uuid
from array import array
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from sparseclust.data._event import Event
from sparseclust.data._hdf5 import Hdf5Events

FORMAT = "sparseclust-events"
VERSION = 1
_EXTRA = "extra/"
_CHUNK_BYTES = 1 << 15  # a few events: what a random read has to unpack for one
_NO_ATTRS: Mapping[str, Any] = {}


def write_events(
    path: str | os.PathLike[str], events: Iterable[Event], *, attrs: Mapping[str, Any] = _NO_ATTRS
) -> int:
    """Write events to a file that :class:`EventStore` reads.

    Parameters
    ----------
    path : path
        File to write; its folder exists. A file of that name is replaced once all events are written. Until
        then, and after an error or an interruption, it stays as it was.
    events : iterable of Event
        Taken one at a time, never all in memory. All have the same ``ndim``, number of features and types of
        ``extra`` columns; truth and extra columns may be missing in some.
    attrs : mapping, optional
        Anything JSON can hold: where the events come from, the settings that made them.

    Returns
    -------
    int
        Number of events written.

    Raises
    ------
    ValueError, TypeError
        If an event does not have the columns of those before it, or ``attrs`` is not JSON.

    Notes
    -----
    Layout: dataset ``index`` has one record per event, ``n_voxels`` and for each column the first row of the
    event in it, or -1 where the event lacks this column. The columns are ``coords``, ``feats``, ``semantic``,
    ``instance`` and ``extra/<name>``: flat, chunked, compressed, with checksums. ``attrs`` is a JSON text.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> from sparseclust.data import Event, EventStore, write_events
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "events.h5"
    >>> write_events(path, [Event([[0, 0, 0]], [0.5])], attrs={"source": "by hand"})
    1
    >>> store = EventStore(path)
    >>> store[0].energy.tolist(), store.attrs
    ([0.5], {'source': 'by hand'})
    """
    target = Path(path)
    description = json.dumps(dict(attrs))
    with _replacing(target) as temporary, h5py.File(str(temporary), "w-") as file:
        file.attrs["format"] = FORMAT
        file.attrs["format_version"] = VERSION
        file["attrs"] = description
        writer = _Writer(file)
        for i, event in enumerate(events):
            if not isinstance(event, Event):
                raise TypeError(f"events[{i}] must be an Event, got {type(event).__name__}")
            try:
                writer.append(event)
            except ValueError as error:
                raise ValueError(f"{target}: event {i}: {error}") from error
        return writer.finish()


class EventStore(Hdf5Events):
    """Events of a file written by :func:`write_events`, read one at a time.

    Parameters
    ----------
    path : path

    Attributes
    ----------
    attrs : dict
        What was given to :func:`write_events`.

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
        self.attrs = json.loads(file["attrs"][()])
        return len(file["index"])

    def _read(self, index: int) -> Event:
        record = self._dataset("index")[index]
        n = int(record["n_voxels"])
        columns: dict[str, Any] = {}
        for name in record.dtype.names[1:]:
            start = int(record[name])
            if start >= 0:
                columns[name] = self._dataset(name)[start : start + n]
        extra = {k.removeprefix(_EXTRA): v for k, v in columns.items() if k.startswith(_EXTRA)}
        return Event(
            columns["coords"], columns["feats"], columns.get("semantic"), columns.get("instance"), extra=extra
        )


def is_store(file: Any) -> bool:
    """Whether an open HDF5 file says that it is an event store."""
    return bool(np.all(file.attrs.get("format") == FORMAT))


class _Writer:
    """Appends events to flat columns; a column begins with the first event that has it."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self._lengths = array("q")
        self._columns: dict[str, Any] = {}
        self._starts: dict[str, array[int]] = {}

    def append(self, event: Event) -> None:
        columns = _columns(event)
        for name, values in columns.items():
            self._check(name, values)
        for name in columns.keys() - self._starts.keys():
            self._create(name, columns[name])
        for name, starts in self._starts.items():
            starts.append(self._extend(name, columns[name]) if name in columns else -1)
        self._lengths.append(len(event))

    def finish(self) -> int:
        names = ["n_voxels", *self._starts]
        index = np.empty(len(self._lengths), [(name, np.int64) for name in names])
        for name, values in zip(names, [self._lengths, *self._starts.values()]):
            index[name] = np.array(values, np.int64)
        self._file.create_dataset("index", data=index, chunks=(1024,), maxshape=(None,), fletcher32=True)
        return len(index)

    def _check(self, name: str, values: npt.NDArray[Any]) -> None:
        if name not in self._starts:
            label = name.removeprefix(_EXTRA)
            if not label or "/" in label or label.strip(".") == "" or "\0" in label:
                raise ValueError(
                    f"expected a column name without '/' that is not empty or dots, got {label!r}"
                )
            if values.dtype.kind not in "biufc" or 0 in values.shape[1:]:
                raise ValueError(f"expected numbers in column {name!r}, got {_form(values)}")
        elif _form(values) != _form(self._columns[name]):
            raise ValueError(
                f"expected {_form(self._columns[name])} in column {name!r}, as in the events before it, got "
                f"{_form(values)}; write events of different kinds to different files"
            )

    def _create(self, name: str, values: npt.NDArray[Any]) -> None:
        row = values.shape[1:]
        chunk = max(1, _CHUNK_BYTES // (values.dtype.itemsize * int(np.prod(row))))
        self._columns[name] = self._file.create_dataset(
            name,
            shape=(0, *row),
            maxshape=(None, *row),
            chunks=(chunk, *row),
            dtype=values.dtype,
            compression="gzip",
            compression_opts=4,
            shuffle=True,
            fletcher32=True,
        )
        self._starts[name] = array("q", [-1]) * len(self._lengths)

    def _extend(self, name: str, values: npt.NDArray[Any]) -> int:
        column = self._columns[name]
        start = len(column)
        if len(values):
            column.resize(start + len(values), axis=0)
            column[start:] = values
        return start


def _columns(event: Event) -> dict[str, npt.NDArray[Any]]:
    truth = {"semantic": event.semantic, "instance": event.instance}
    return {
        "coords": event.coords,
        "feats": event.feats,
        **{name: values for name, values in truth.items() if values is not None},
        **{_EXTRA + name: values for name, values in event.extra.items()},
    }


def _form(values: Any) -> str:
    return f"{values.dtype} rows of shape {values.shape[1:]}"


@contextlib.contextmanager
def _replacing(target: Path) -> Iterator[Path]:
    """Give a temporary path beside ``target`` that replaces it if the block succeeds and vanishes if not."""
    if target.is_dir() or not target.parent.is_dir():
        raise FileNotFoundError(f"{target}: expected the name of a file in a folder that exists")
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        yield temporary
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
