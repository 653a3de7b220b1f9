"""One writer per output, also where several machines share a file system that knows no locks."""

import contextlib
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

BEAT = 10.0  # seconds between two signs of life
SILENT = 60.0  # seconds after which a writer counts as dead
_TURN = 0.01  # seconds; to take over is a matter of less


@contextlib.contextmanager
def exclusive(target: Path) -> Iterator[None]:
    """Hold ``.<name>.lock`` beside ``target``, or refuse.

    The lock names host and process. That of a process that was killed is taken over: at once on the same
    host, elsewhere when there was no sign of life for a minute; what it left unfinished is removed.

    Raises
    ------
    FileExistsError
        If another process holds it.
    """
    lock = target.with_name(f".{target.name}.lock")
    own = f"{socket.gethostname()} {os.getpid()} {_started(os.getpid())}"
    try:
        _acquire(lock, own, target)
    except FileExistsError:
        raise
    except BaseException:  # Ctrl-C just after the file was made
        _release(lock, own)
        raise
    done = threading.Event()
    beat = threading.Thread(target=_show_life, args=(lock, done), daemon=True)
    try:
        beat.start()
        yield
    finally:
        done.set()
        if beat.ident is not None:
            beat.join()
        _release(lock, own)


def _release(lock: Path, own: str) -> None:
    if _holder(lock) == own:
        lock.unlink(missing_ok=True)


def _acquire(lock: Path, own: str, target: Path) -> None:
    while True:
        try:
            _create(lock, own)
        except FileExistsError:
            holder = _holder(lock)
            if holder is not None and not _is_dead(lock, holder):
                host, process, *_ = [*holder.split(), "?", "?"]
                raise FileExistsError(
                    f"{target}: is being written by process {process} on {host}; if that is no more, remove "
                    f"{lock} or wait a minute"
                ) from None
            if holder is not None:
                _remove(lock, holder, target)
        else:
            return


def _create(lock: Path, own: str) -> None:
    handle = os.open(lock, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    try:
        os.write(handle, own.encode())
    except OSError as error:  # the disk is full; its own message names no file
        lock.unlink()
        raise OSError(error.errno, error.strerror, str(lock)) from error
    except BaseException:
        lock.unlink(missing_ok=True)
        raise
    finally:
        os.close(handle)


def _holder(lock: Path) -> str | None:
    try:
        return lock.read_text()
    except FileNotFoundError:
        return None


def _is_dead(lock: Path, holder: str) -> bool:
    host, _, process = holder.partition(" ")
    number, _, started = process.partition(" ")
    if host == socket.gethostname() and number.isdecimal() and _started(int(number)) != started:
        return True
    try:
        return time.time() - lock.stat().st_mtime > SILENT
    except FileNotFoundError:
        return True


def _remove(lock: Path, holder: str, target: Path) -> None:
    # One at a time, and it looks again: the lock may be a new one by now, of another one that took over.
    turn = lock.with_name(f"{lock.name}.turn")
    try:
        os.close(os.open(turn, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        time.sleep(_TURN)
        with contextlib.suppress(FileNotFoundError):
            if time.time() - turn.stat().st_mtime > SILENT:  # killed between these lines
                turn.unlink()
        return
    try:
        if _holder(lock) != holder:
            return
        for path in target.parent.iterdir():
            if path.name.startswith(f".{target.name}.") and path.suffix == ".tmp":
                path.unlink(missing_ok=True)
        lock.unlink(missing_ok=True)
    finally:
        turn.unlink(missing_ok=True)


def _started(process: int) -> str:
    """When a process started, in its own words: its number may be another one's later. Empty if it is not."""
    if not os.path.isdir("/proc"):
        return "?"
    try:
        with open(f"/proc/{process}/stat") as file:
            state, *fields = file.read().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return "" if state == "Z" else fields[18]


def _show_life(lock: Path, done: threading.Event) -> None:
    while not done.wait(BEAT):
        with contextlib.suppress(OSError):
            os.utime(lock)
