"""What a model expects of its heads."""

from typing import Protocol, runtime_checkable

from torch import Tensor

from sparseclust.sparse import SparseTensor


@runtime_checkable
class Head(Protocol):
    """Features to predictions, row for row."""

    def __call__(self, features: SparseTensor) -> Tensor:
        """Return one row per voxel, in the order of ``features``."""


@runtime_checkable
class EdgeHead(Protocol):
    """Features to predictions for pairs of voxels."""

    def __call__(self, features: SparseTensor, edges: Tensor) -> Tensor:
        """Return one row per column of ``edges`` (2, m), the rows of the two voxels."""
