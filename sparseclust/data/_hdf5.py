"""HDF5 files as random-access sequences of events."""

import contextlib
import os
from abc import abstractmethod
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import h5py
import numpy as np
import numpy.typing as npt

from sparseclust.data._event import Event
from sparseclust.data._sequence import EventSequence

# What h5py raises on a file that is damaged or laid out in another way than expected.
_FAULTS = (OSError, RuntimeError, LookupError, TypeError, MemoryError)
_LARGE = 1 << 26  # bytes
_BEST_RATIO = 1032  # of gzip


@contextlib.contextmanager
def faults_named(where: str) -> Iterator[None]:
    """Turn every error of reading into a ``ValueError`` that starts with ``where``."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error
    except _FAULTS as error:
        raise ValueError(f"{where}: expected a complete, undamaged HDF5 file, got: {error}") from error


def open_hdf5(path: Path) -> Any:
    """Open a file for reading.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is not HDF5, or damaged so far that it cannot be opened.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    if not os.access(path, os.R_OK):
        raise PermissionError(f"{path}: no permission to read this file")
    with faults_named(str(path)):
        # Network file systems often refuse locks, and a file that is only read needs none.
        return h5py.File(str(path), "r", locking="best-effort")


def check_stored(dataset: Any, rows: int) -> None:
    """Refuse to read so many rows if the file cannot hold them: HDF5 would make room for them all first.

    Raises
    ------
    ValueError
        If they are large, and more than what is stored of the data set can be unpacked to.
    """
    claimed = rows * int(np.prod(dataset.shape[1:], dtype=np.float64)) * dataset.dtype.itemsize
    # Asking what is stored takes time in proportion to the size of the file.
    if claimed > _LARGE and not dataset.is_virtual:
        stored = dataset.id.get_storage_size()
        if claimed > _BEST_RATIO * stored:
            raise ValueError(
                f"expected {rows} rows of {dataset.name!r}, {claimed / 2**20:.3g} MiB, of which the file "
                f"holds {stored} bytes"
            )


def _identity(file: Any) -> tuple[int, int, int]:
    # Of the open file, not of its name, behind which there may be another one by now.
    found = os.fstat(file.id.get_vfd_handle())
    return found.st_ino, found.st_size, found.st_mtime_ns


class Hdf5Events(EventSequence):
    """Base of the readers: opens the file on first use, once per process.

    A reader can be copied into DataLoader workers by fork and by pickle; each process opens its own handle.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._file: Any = None
        self._datasets: dict[str, Any] = {}
        self._process = -1
        with open_hdf5(self.path) as file, faults_named(str(self.path)):
            self._length = self._inspect(file)
            self._stamp = _identity(file)

    @abstractmethod
    def _inspect(self, file: Any) -> int:
        """Check that the file has this reader's format; return the number of events."""

    @abstractmethod
    def _read(self, index: int) -> Event:
        """Read one event with :meth:`_dataset`; any error is reported as a fault of that event."""

    def _counts(self) -> npt.NDArray[np.int64] | None:
        """Voxels of each event, or None where only the events tell."""
        return None

    def __len__(self) -> int:
        return self._length

    def _event(self, index: int) -> Event:
        self._ensure_open()
        with faults_named(f"{self.path}: event {index}"):
            return self._read(index)

    def voxel_counts(self) -> npt.NDArray[np.int64]:
        """Return what :func:`sparseclust.data.voxel_counts` does."""
        self._ensure_open()
        with faults_named(str(self.path)):
            counts = self._counts()
        return super().voxel_counts() if counts is None else counts

    def _ensure_open(self) -> None:
        if self._file is None or self._process != os.getpid():
            self._file, self._datasets, self._process = self._opened(), {}, os.getpid()

    def _opened(self) -> Any:
        file = open_hdf5(self.path)
        if _identity(file) != self._stamp:
            file.close()
            raise ValueError(f"{self.path}: the file has changed since this reader was made; make a new one")
        return file

    def _dataset(self, name: str) -> Any:
        # Kept open: closing a data set throws its cache of chunks away.
        if name not in self._datasets:
            self._datasets[name] = self._file[name]
        return self._datasets[name]

    def close(self) -> None:
        """Close this process's handle; the next access opens it again."""
        if self._file is not None and self._process == os.getpid():
            self._file.close()
        self._file, self._datasets = None, {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_file": None, "_datasets": {}}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.path)!r}, {len(self)} events)"
