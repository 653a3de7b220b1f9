"""Which engines a test can run."""

import importlib

import pytest
import torch

from sparseclust.sparse import available_engines, use_engine
from sparseclust.sparse.engines import select_engine

ENGINES = tuple(available_engines())


def skip_unless_usable(engine: str, device: str) -> None:
    """Skip with the reason where the engine is absent, or does not run on the device."""
    state = available_engines()[engine]
    if state != "ok":
        pytest.skip(f"{engine}: {state}")
    with use_engine(engine):
        try:
            select_engine(torch.device(device))
        except ValueError as error:
            pytest.skip(str(error))
    if (
        engine == "spconv"
        and device != "cpu"
        and importlib.import_module("spconv.cppconstants").CPU_ONLY_BUILD
    ):
        pytest.skip("spconv: built for the CPU")
