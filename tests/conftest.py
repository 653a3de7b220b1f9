"""Fixtures shared by all tests."""

import os
from pathlib import Path

import hypothesis
import numpy as np
import pytest

# The first call of a compiled function takes seconds. In CI the examples are the same in every run: a failure
# there must be due to the change.
hypothesis.settings.register_profile("default", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "default")

ROOT = Path(__file__).resolve().parents[1]
# Reference data that is too large, or not ours, to live in the repository.
SHARED = Path(os.environ.get("SPARSECLUST_SHARED", ROOT.parent / "shared"))


def _folder(name: str) -> Path:
    folder = SHARED / name
    if not folder.is_dir():
        pytest.skip(f"needs the reference data: no folder {folder.name!r} where SPARSECLUST_SHARED points to")
    return folder


@pytest.fixture(scope="session")
def oracle_dir() -> Path:
    """Golden vectors computed with independent programs."""
    return _folder("oracle")


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Real and Geant4-made events."""
    return _folder("data")


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20261122)
