"""Lightning, or an error that says how to install it."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sparseclust._optional import require

if TYPE_CHECKING:
    import lightning.pytorch as lightning
else:
    lightning = require("lightning.pytorch", extra="train")

__all__ = ["lightning", "without_hints"]


@contextmanager
def without_hints() -> Iterator[None]:
    """Silence what Lightning says of devices that are not used, and of other products; not its warnings."""
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(max(level, logging.WARNING))
    try:
        yield
    finally:
        logger.setLevel(level)
