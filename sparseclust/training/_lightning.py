"""Lightning, or an error that says how to install it."""

from typing import TYPE_CHECKING

from sparseclust._optional import require

if TYPE_CHECKING:
    import lightning.pytorch as lightning
else:
    lightning = require("lightning.pytorch", extra="train")

__all__ = ["lightning"]
