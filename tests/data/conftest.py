"""Small files in the layout of PILArNet-M, right and wrong ones."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

# n_points, fragment, group, interaction, semantic, pid
CLUSTERS = np.array([[2, -1, -1, -1, 4, -1], [3, 0, 0, 0, 1, 2], [1, 7, 0, 0, 0, 1]], np.int32)
Table = Any


def random_points(n: int, *, seed: int = 0) -> np.ndarray:
    """Points with distinct coordinates; only x, y, z and value are known, as in the real file."""
    rng = np.random.default_rng(seed)
    rows = np.full((n, 8), np.nan, np.float32)
    rows[:, :3] = np.stack(np.unravel_index(rng.choice(768**3, n), (768,) * 3), axis=1)
    rows[:, 3] = rng.exponential(1.0, n) + 0.01
    return rows


@pytest.fixture
def points() -> Callable[..., np.ndarray]:
    return random_points


@pytest.fixture
def tables() -> list[tuple[Table, Table]]:
    """Three events of six points in three clusters, as (point, cluster) tables that a test may spoil."""
    return [(random_points(6, seed=i), CLUSTERS.copy()) for i in range(3)]


@pytest.fixture
def write_pilarnet(tmp_path: Path) -> Callable[..., Path]:
    def write(
        tables: Sequence[tuple[Table, ...]], *, name: str = "events.h5", cluster_dtype: Any = np.int32
    ) -> Path:
        dtypes = {"point": np.float32, "cluster": cluster_dtype, "cluster_extra": np.float32}
        if all(len(event) < 3 for event in tables):
            del dtypes["cluster_extra"]
        with h5py.File(tmp_path / name, "w") as file:
            for column, (key, dtype) in enumerate(dtypes.items()):
                dataset = file.create_dataset(key, (len(tables),), h5py.vlen_dtype(dtype))
                for i, row in enumerate(tables):
                    dataset[i] = np.asarray(row[column], dtype).reshape(-1)
        return tmp_path / name

    return write
