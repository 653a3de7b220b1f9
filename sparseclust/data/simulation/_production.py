"""Many simulated events on disk: by several processes, in parts that survive an interruption."""

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

from sparseclust._lock import exclusive
from sparseclust._threads import begin_worker
from sparseclust._version import __version__
from sparseclust.data._store import EventStore, write_events
from sparseclust.data.simulation._generator import SimulatedEvents

PART = 100  # events
_NO_ATTRS: Mapping[str, Any] = {}


class _Task(NamedTuple):
    path: Path
    events: SimulatedEvents
    origin: str


def write_simulated(
    path: str | os.PathLike[str],
    events: SimulatedEvents,
    *,
    workers: int = 1,
    attrs: Mapping[str, Any] = _NO_ATTRS,
    advance: Callable[[int], object] | None = None,
) -> int:
    """Simulate events into a file that :class:`~sparseclust.data.EventStore` reads.

    Parameters
    ----------
    path : path
        File to write; it appears when it is complete.
    events : SimulatedEvents
    workers : int
        Processes that simulate. Their number changes no byte of the file.
    attrs : mapping, optional
        Written into the file, see :func:`~sparseclust.data.write_events`.
    advance : callable, optional
        Called with the number of events whenever some are simulated, and again when they are copied into the
        file: twice as many in all.

    Returns
    -------
    int
        Number of events.

    Raises
    ------
    ValueError
        If ``workers`` is below 1.
    FileExistsError
        If another process is writing it.
    OSError
        If the file cannot be written.

    Notes
    -----
    Parts of 100 events are kept in the folder ``<path>.parts`` until the file is complete. Called again after
    an interruption, only the parts that are missing are simulated; those of another generator are replaced.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> from sparseclust.data.simulation import EventGenerator, SimulatedEvents, write_simulated
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "muons.h5"
    >>> write_simulated(path, SimulatedEvents(5, EventGenerator("single:mu-", spatial_size=64)))
    5
    """
    if workers < 1:
        raise ValueError(f"workers must be at least 1, got {workers}")
    target = Path(path)
    if target.is_dir() or not target.parent.is_dir():
        raise FileNotFoundError(f"{target}: expected the name of a file in a folder that exists")
    with exclusive(target):
        folder = target.with_name(f"{target.name}.parts")
        folder.mkdir(exist_ok=True)
        origin = _origin(events)
        tasks = [
            _Task(folder / f"{first:09d}.h5", events[first : first + PART], origin)
            for first in range(0, len(events), PART)
        ]
        for n in _run(tasks, workers):
            _report(advance, n)
        count = write_events(target, _stored(tasks, advance), attrs=attrs)
        shutil.rmtree(folder)
        return count


def _origin(events: SimulatedEvents) -> str:
    """Name what the events depend on: parts of another generator, range or release do not fit."""
    settings = {name: value for name, value in vars(events.generator).items() if not name.startswith("_")}
    return hashlib.sha256(repr([__version__, settings, events.indices]).encode()).hexdigest()


def _run(tasks: list[_Task], workers: int) -> Iterator[int]:
    """Make the parts; how many events each has, as they come, in order."""
    if workers == 1 or len(tasks) < 2:
        yield from map(_make, tasks)
        return
    # Fresh processes: a fork would copy locks that threads of the caller hold.
    pool = ProcessPoolExecutor(
        min(workers, len(tasks)), mp_context=get_context("spawn"), initializer=begin_worker
    )
    try:
        yield from pool.map(_make, tasks)
    finally:
        pool.shutdown(cancel_futures=True)


def _make(task: _Task) -> int:
    if task.path.exists() and _fits(task):
        return len(task.events)
    return write_events(task.path, task.events, attrs={"origin": task.origin})


def _fits(task: _Task) -> bool:
    try:
        part = EventStore(task.path)
    except ValueError:  # damaged
        return False
    return len(part) == len(task.events) and part.attrs.get("origin") == task.origin


def _stored(tasks: list[_Task], advance: Callable[[int], object] | None) -> Iterator[Any]:
    for task in tasks:
        for event in EventStore(task.path):
            yield event
            _report(advance, 1)


def _report(advance: Callable[[int], object] | None, n: int) -> None:
    if advance is not None:
        advance(n)
