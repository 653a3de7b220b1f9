"""Progress bars."""

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

from sparseclust._optional import require

T = TypeVar("T")


def progress(items: Iterable[T], *, total: int, what: str) -> Iterator[T]:
    """Yield the items behind a progress bar on standard error; a plain pass when that is no terminal."""
    bar = require("tqdm", extra="train").tqdm(
        items, total=total, desc=what, unit="event", disable=not sys.stderr.isatty(), leave=False
    )
    yield from bar
