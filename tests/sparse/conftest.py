"""Random voxels for the tests of sparse tensors."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

MakeCoords = Callable[..., Tensor]


@pytest.fixture
def make_coords(rng: np.random.Generator) -> MakeCoords:
    """Distinct voxels in random order: ``make_coords(ndim, size=…, batch=…, fill=…, low=…)``."""

    def make(ndim: int, *, size: int = 8, batch: int = 3, fill: float = 0.25, low: int = 0) -> Tensor:
        occupied = rng.random((batch, *[size] * ndim)) < fill
        rows = rng.permutation(np.argwhere(occupied))
        rows[:, 1:] += low
        return torch.from_numpy(rows.astype(np.int32))

    return make
