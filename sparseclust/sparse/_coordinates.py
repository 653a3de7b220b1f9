"""The voxels of one resolution, and the kernel maps that start from them."""

import torch
from torch import Tensor

from sparseclust.sparse._maps import KernelMap, strided_map, submanifold_map


class Coordinates:
    """Coordinates shared by the tensors that live on them; builds each kernel map once.

    A finer level owns the coarser ones that strided convolutions made from it, so the maps live exactly as
    long as the tensors of one forward pass.
    """

    __slots__ = ("_coarser", "_submanifold", "batch_size", "rows", "stride")

    def __init__(self, rows: Tensor, *, batch_size: int, stride: int = 1) -> None:
        self.rows = rows
        self.batch_size = batch_size
        self.stride = stride
        self._submanifold: dict[int, KernelMap] = {}
        self._coarser: dict[int, tuple[Coordinates, KernelMap]] = {}

    def submanifold(self, kernel_size: int) -> KernelMap:
        """Map of a submanifold convolution on these coordinates."""
        if kernel_size not in self._submanifold:
            self._submanifold[kernel_size] = submanifold_map(self.rows, kernel_size)
        return self._submanifold[kernel_size]

    def coarser(self, stride: int) -> tuple["Coordinates", KernelMap]:
        """Coordinates divided by ``stride``, and the map that leads there."""
        if stride not in self._coarser:
            rows, kernel_map = strided_map(self.rows, stride)
            level = Coordinates(rows, batch_size=self.batch_size, stride=self.stride * stride)
            self._coarser[stride] = level, kernel_map
        return self._coarser[stride]

    def edges(self) -> Tensor:
        """Pairs of touching voxels, each once, from the map of the 3-wide window."""
        kernel_map = self.submanifold(3)
        half = slice(0, int(kernel_map.splits[kernel_map.centre]))
        return torch.stack([kernel_map.source[half], kernel_map.target[half]])

    def __reduce__(self) -> tuple[object, ...]:
        return _restore, (self.rows, self.batch_size, self.stride)


def _restore(rows: Tensor, batch_size: int, stride: int) -> Coordinates:
    return Coordinates(rows, batch_size=batch_size, stride=stride)
