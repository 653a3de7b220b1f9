"""A file to which HDF5 can write although the disk is full."""

import errno
import io
import os
from pathlib import Path
from typing import Any


class Sink(io.RawIOBase):
    """A file for ``h5py.File`` that remembers that it could not be written, and goes on as if it had been.

    HDF5 does not survive a failed write: it keeps the file open, tries again when the process ends, and
    crashes there. So what the disk does not take is kept in memory, where HDF5 finds it again, until the file
    is closed; :meth:`check` tells the writer to give up.

    Parameters
    ----------
    path : path
        Opened for reading and writing; made if it does not exist.
    name : path
        What errors call it.
    """

    def __init__(self, path: Path, *, name: Path) -> None:
        self._name = str(name)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        self._at = 0
        self._size = os.fstat(self._file).st_size
        self._kept: list[tuple[int, bytes]] = []
        self._error: OSError | None = None

    def check(self) -> None:
        """Raise the first error of writing, if there was one."""
        if self._error is not None:
            raise OSError(self._error.errno, self._error.strerror, self._name) from self._error

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to a position."""
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        return self._at

    def tell(self) -> int:
        """Return the position."""
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Read from the position, what could not be written included; zeros where nothing is."""
        view = memoryview(buffer).cast("B")
        found = os.pread(self._file, len(view), self._at)
        view[:] = found + bytes(len(view) - len(found))
        for start, data in self._kept:
            low, high = max(start, self._at), min(start + len(data), self._at + len(view))
            if low < high:
                view[low - self._at : high - self._at] = data[low - start : high - start]
        self._at += len(view)
        return len(view)

    def write(self, buffer: Any) -> int:
        """Write at the position; always all of it."""
        view = memoryview(buffer).cast("B")
        self._put(self._at, view)
        self._at += len(view)
        self._size = max(self._size, self._at)
        return len(view)

    def _put(self, at: int, view: memoryview) -> None:
        done = 0
        try:
            while self._error is None and done < len(view):
                written = os.pwrite(self._file, view[done:], at + done)
                if written == 0:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                done += written
        except OSError as error:
            self._error = error
        if done < len(view):
            self._kept.append((at + done, bytes(view[done:])))

    def truncate(self, size: int | None = None) -> int:
        """Set the size of the file."""
        self._size = self._at if size is None else size
        try:
            os.ftruncate(self._file, self._size)
        except OSError as error:
            self._error = self._error or error
        return self._size

    def flush(self) -> None:
        """Do nothing: there is no buffer."""

    def sync(self) -> None:
        """Wait until the file is on the disk; raise if it is not."""
        self.check()
        try:
            os.fsync(self._file)
        except OSError as error:
            self._error = error
        self.check()

    def close(self) -> None:
        """Close the file."""
        if not self.closed:
            os.close(self._file)
        super().close()
