"""Progress bars."""

import sys
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

from sparseclust._optional import require

T = TypeVar("T")


def progress(items: Iterable[T], *, total: int, what: str) -> Iterator[T]:
    """Yield the items behind a progress bar on standard error; a plain pass when that is no terminal."""
    yield from progress_bar(items, total=total, what=what)


def progress_bar(items: Iterable[T] | None = None, *, total: int, what: str) -> Any:
    """Bar to be advanced by hand, with ``update(n)`` and ``close()``, or an iterable that does it."""
    tqdm = require("tqdm", extra="train").tqdm
    return tqdm(items, total=total, desc=what, unit="event", disable=not sys.stderr.isatty(), leave=False)
