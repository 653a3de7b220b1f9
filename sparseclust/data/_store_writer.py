"""Writing event stores: flat columns that grow, in a file that appears when it is complete."""

import contextlib
import os
import shutil
import uuid
from array import array
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from sparseclust.data._event import Event
from sparseclust.data._interrupts import HeldBack
from sparseclust.data._sink import Sink

EXTRA = "extra/"
_CHUNK_BYTES = 1 << 15  # a few events: what a random read has to unpack for one


class ColumnWriter:
    """Appends events to flat columns; a column begins with the first event that has it."""

    def __init__(self, file: Any) -> None:
        self._file = file
        index: Any = file["index"][:] if "index" in file else np.empty(0, [("n_voxels", np.int64)])
        _, *names = index.dtype.names
        self._lengths = array("q", index["n_voxels"].tolist())
        self._columns: dict[str, Any] = {name: file[name] for name in names}
        self._starts: dict[str, array[int]] = {name: array("q", index[name].tolist()) for name in names}

    def append(self, event: Event) -> None:
        """Add one event.

        Raises
        ------
        ValueError
            If its columns are not like those of the events before it.
        """
        columns = _columns(event)
        for name, values in columns.items():
            self._check(name, values)
        for name in [name for name in columns if name not in self._starts]:
            self._create(name, columns[name])
        for name, starts in self._starts.items():
            starts.append(self._extend(name, columns[name]) if name in columns else -1)
        self._lengths.append(len(event))

    def finish(self) -> int:
        """Write the index and return the number of events."""
        names = ["n_voxels", *self._starts]
        index = np.empty(len(self._lengths), [(name, np.int64) for name in names])
        for name, values in zip(names, [self._lengths, *self._starts.values()]):
            index[name] = np.array(values, np.int64)
        return write_index(self._file, index)

    def _check(self, name: str, values: npt.NDArray[Any]) -> None:
        if name not in self._starts:
            label = name.removeprefix(EXTRA)
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


def write_index(file: Any, index: npt.NDArray[Any]) -> int:
    """Put one record per event into the file, in place of those it had; return their number."""
    if "index" in file:
        del file["index"]
    file.create_dataset("index", data=index, chunks=(1024,), maxshape=(None,), fletcher32=True)
    file.attrs["n_events"] = len(index)
    return len(index)


def _columns(event: Event) -> dict[str, npt.NDArray[Any]]:
    truth = {"semantic": event.semantic, "instance": event.instance}
    return {
        "coords": event.coords,
        "feats": event.feats,
        **{name: values for name, values in truth.items() if values is not None},
        **{EXTRA + name: values for name, values in event.extra.items()},
    }


def _form(values: Any) -> str:
    return f"{values.dtype} rows of shape {values.shape[1:]}"


@contextlib.contextmanager
def replacing(
    target: Path, *, copy: bool = False
) -> Iterator[tuple[Any, Callable[[Iterable[Event]], Iterator[Event]]]]:
    """Give an HDF5 file beside ``target`` that replaces it if the block succeeds and vanishes if not.

    With ``copy`` it begins as a copy of ``target``. Whoever writes goes through the events with the function
    that comes with the file, and hears there of a full disk. Ctrl-C and SIGTERM come through there too and
    after the block, as HDF5 crashes where they interrupt it. Only a process that is killed leaves the hidden
    ``.<name>.<random>.tmp`` behind; ``target`` itself is the old file or the new one at any moment.
    """
    if target.is_dir() or not target.parent.is_dir():
        raise FileNotFoundError(f"{target}: expected the name of a file in a folder that exists")
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.tmp")
    with HeldBack() as held_back, contextlib.ExitStack() as undone:
        undone.callback(temporary.unlink, missing_ok=True)
        if copy:
            _copy(target, temporary)
        sink = undone.enter_context(contextlib.closing(Sink(temporary, name=target)))

        def each(events: Iterable[Event]) -> Iterator[Event]:
            for event in held_back.each(events):
                yield event
                sink.check()

        # From HDF5 1.10 on its own bookkeeping has checksums; without them a flipped bit there may crash a
        # reader, or show it the rows of another chunk.
        with h5py.File(sink, "r+" if copy else "w", libver="v110") as file:
            yield file, each
        sink.sync()  # before it takes the other's place: a power cut must not leave the name with nothing
        os.replace(temporary, target)


def _copy(source: Path, path: Path) -> None:
    try:
        shutil.copyfile(source, path)
    except OSError as error:  # its own message names no file when the disk is full
        raise OSError(error.errno, error.strerror, str(source)) from error
