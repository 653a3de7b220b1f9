"""The voxels of one resolution, and the kernel maps that start from them."""

import torch
from torch import Tensor

from sparseclust.sparse._maps import KernelMap, generative_map, strided_map, submanifold_map
from sparseclust.sparse._windows import Window


class Coordinates:
    """Coordinates shared by the tensors that live on them; builds each kernel map once.

    A level owns those that strided and generative convolutions made from it, so the maps live exactly as
    long as the tensors of one forward pass.
    """

    __slots__ = ("_coarser", "_finer", "_submanifold", "batch_size", "rows", "stride")

    def __init__(self, rows: Tensor, *, batch_size: int, stride: tuple[int, ...]) -> None:
        self.rows = rows
        self.batch_size = batch_size
        self.stride = stride
        self._submanifold: dict[Window, KernelMap] = {}
        self._coarser: dict[Window, tuple[Coordinates, KernelMap]] = {}
        self._finer: dict[Window, tuple[Coordinates, KernelMap]] = {}

    def submanifold(self, window: Window) -> KernelMap:
        """Map of a submanifold convolution on these coordinates."""
        if window not in self._submanifold:
            self._submanifold[window] = submanifold_map(
                self.rows, window.kernel_size, dilation=window.dilation
            )
        return self._submanifold[window]

    def coarser(self, window: Window) -> tuple["Coordinates", KernelMap]:
        """Coarse coordinates whose windows hold these, and the map that leads there."""
        if window not in self._coarser:
            rows, kernel_map = strided_map(self.rows, **window._asdict())
            stride = tuple(own * step for own, step in zip(self.stride, window.stride))
            self._coarser[window] = self._level(rows, stride), kernel_map
        return self._coarser[window]

    def finer(self, window: Window) -> tuple["Coordinates", KernelMap]:
        """All fine coordinates in the windows of these, and the map that leads there."""
        if any(own % step for own, step in zip(self.stride, window.stride)):
            raise ValueError(
                f"voxels of stride {self.stride} cannot be divided by {window.stride}: "
                "give the coarse tensor the stride it has on the grid that is to be generated"
            )
        if window not in self._finer:
            rows, kernel_map = generative_map(self.rows, **window._asdict())
            stride = tuple(own // step for own, step in zip(self.stride, window.stride))
            self._finer[window] = self._level(rows, stride), kernel_map
        return self._finer[window]

    def edges(self) -> Tensor:
        """Pairs of touching voxels, each once, from the map of the 3-wide window."""
        kernel_map = self.submanifold(Window.centred(self.rows.shape[1] - 1, 3))
        half = slice(0, int(kernel_map.splits[kernel_map.centre]))
        return torch.stack([kernel_map.source[half], kernel_map.target[half]]).long()

    def _level(self, rows: Tensor, stride: tuple[int, ...]) -> "Coordinates":
        return Coordinates(rows, batch_size=self.batch_size, stride=stride)

    def __reduce__(self) -> tuple[object, ...]:
        return _restore, (self.rows, self.batch_size, self.stride)


def _restore(rows: Tensor, batch_size: int, stride: tuple[int, ...]) -> Coordinates:
    return Coordinates(rows, batch_size=batch_size, stride=stride)
