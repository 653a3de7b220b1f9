"""The command line: ``sparseclust demo | simulate | train | predict | evaluate | info``."""

from sparseclust.cli._main import main

__all__ = ["main"]
