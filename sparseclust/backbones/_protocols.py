"""What a model expects of its encoder and of its decoders."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from sparseclust.sparse import SparseTensor


@runtime_checkable
class Encoder(Protocol):
    """Image to pyramid.

    Attributes
    ----------
    channels : list of int
        Features per level, finest first.
    """

    channels: list[int]

    def __call__(self, x: SparseTensor) -> list[SparseTensor]:
        """Return one tensor per level, finest first; the finest has the rows of ``x``."""


@runtime_checkable
class Decoder(Protocol):
    """Pyramid to features at full resolution.

    Attributes
    ----------
    out_channels : int
        Features per voxel of the result.
    """

    out_channels: int

    def __call__(self, pyramid: Sequence[SparseTensor]) -> SparseTensor:
        """Return features with the rows of ``pyramid[0]``."""
