"""Fixtures shared by all tests."""

import os
from pathlib import Path

import numpy as np
import pytest

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
