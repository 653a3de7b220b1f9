"""One output file for each input file, whatever makes it."""

import contextlib
import errno
import glob
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from sparseclust.cli._progress import progress_bar
from sparseclust.data import open_events
from sparseclust.pipeline import PredictedFile

_FULL = (errno.ENOSPC, errno.EDQUOT)


class Work(NamedTuple):
    """An input, its output, and what the output says about them."""

    source: str
    target: Path
    attrs: dict[str, Any]


def list_work(files: Sequence[str], output: Path, *, suffix: str, model: Path) -> list[Work]:
    """Find the inputs, and where the output of each goes: NAME + suffix for NAME.h5.

    Raises
    ------
    ValueError
        If a file would be written twice, or an input be overwritten.
    """
    inputs = [name for pattern in files for name in _matching(pattern)]
    return [
        Work(
            source, target, {"model": str(model), "source": source, "input": {"number": i, "of": len(inputs)}}
        )
        for i, (source, target) in enumerate(zip(inputs, _targets(inputs, output, suffix)), start=1)
    ]


def do_all(
    works: Sequence[Work],
    do: Callable[..., PredictedFile],
    *,
    command: str,
    **reading: Any,
) -> None:
    """Do all that can be done; then raise if anything could not.

    ``do`` is called as ``do(source, target, attrs=..., advance=...)``, such as
    :func:`sparseclust.pipeline.predict_file` with its other arguments filled in; ``reading`` are options of
    :func:`sparseclust.data.open_events`.
    """
    failed = []
    with _stopped_when_told():
        for work in works:
            try:
                n = len(open_events(work.source, **reading))
                with contextlib.closing(progress_bar(total=n, what=Path(work.source).name)) as bar:
                    done = do(work.source, work.target, attrs=work.attrs, advance=bar.update)
                print(_told(done), flush=True)
            except KeyboardInterrupt as stop:
                words = [*map(str, stop.args), "the same command goes on, finished files are kept"]
                raise KeyboardInterrupt("; ".join(words)) from None
            except (ValueError, OSError) as error:
                if len(works) == 1 or getattr(error, "errno", None) in _FULL:
                    raise
                print(f"sparseclust {command}: error: {error}", file=sys.stderr, flush=True)
                failed.append(work.source)
    if failed:
        raise ValueError(f"{len(failed)} of {len(works)} inputs failed, see above: {', '.join(failed)}")


def _told(done: PredictedFile) -> str:
    events = f"{done.path}: {done.n_events:,} {'event' if done.n_events == 1 else 'events'}"
    total = sum(done.seconds.values())
    if not done.new or not total:
        return events if done.new else f"{events}, finished before"
    told = f"{events}, {done.n_events / total:.3g} per second"
    shares = ", ".join(f"{stage} {seconds / total:.0%}" for stage, seconds in done.seconds.items())
    return f"{told} ({shares})" if len(done.seconds) > 1 else told


@contextlib.contextmanager
def _stopped_when_told() -> Iterator[None]:
    """End on SIGTERM, which batch systems send before they kill, as on Ctrl-C: nothing half stays behind."""

    def stop(number: int, frame: object) -> None:
        raise KeyboardInterrupt("terminated")

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _matching(pattern: str) -> list[str]:
    # A name that matches nothing is kept: it is reported when its turn comes.
    return [pattern] if Path(pattern).exists() else sorted(glob.glob(pattern, recursive=True)) or [pattern]


def _targets(inputs: list[str], output: Path, suffix: str) -> list[Path]:
    """Where the output of each input goes; no file is written twice, and no input is overwritten."""
    if output.suffix == ".h5":
        targets = [output] * len(inputs)
    else:
        targets = [output / f"{Path(name).stem}{suffix}" for name in inputs]
    given = {Path(name).resolve() for name in inputs}
    taken: set[Path] = set()
    for name, target in zip(inputs, targets):
        if target in taken:
            raise ValueError(f"{name}: another input goes to {target} too; write them into different folders")
        taken.add(target)
        if target.resolve() in given:
            raise ValueError(f"{target}: is an input; choose another --output")
    return targets
