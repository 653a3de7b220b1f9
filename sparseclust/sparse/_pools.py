"""Pooling to a coarser grid, and back."""

import itertools
from collections.abc import Callable

import torch
from torch import Tensor, nn

from sparseclust._eager import eager
from sparseclust.sparse._maps import KernelMap
from sparseclust.sparse._tensor import SparseTensor
from sparseclust.sparse._way_back import way_back
from sparseclust.sparse._windows import PerAxis, Window


class _Windowed(nn.Module):
    """A window between a grid and one that is ``stride`` times coarser; the tensor gives the axes."""

    def __init__(
        self,
        stride: PerAxis = 2,
        *,
        kernel_size: PerAxis | None = None,
        dilation: PerAxis = 1,
        padding: PerAxis = 0,
    ) -> None:
        super().__init__()
        self.stride = stride
        self.kernel_size = stride if kernel_size is None else kernel_size
        self.dilation = dilation
        self.padding = padding

    def extra_repr(self) -> str:
        """Show the arguments."""
        names = ("stride", "kernel_size", "dilation", "padding")
        return ", ".join(f"{name}={getattr(self, name)}" for name in names)

    def _window(self, x: SparseTensor) -> Window:
        return Window.of(
            x.ndim,
            kernel_size=self.kernel_size,
            stride=self.stride,
            dilation=self.dilation,
            padding=self.padding,
        )

    def _down(self, x: SparseTensor, reduce: Callable[[Tensor, KernelMap], Tensor]) -> SparseTensor:
        level, kernel_map = x.level.coarser(self._window(x))
        return SparseTensor.on(level, reduce(x.feats, kernel_map))


class SumPool(_Windowed):
    """Sum over the voxels of each window.

    Parameters
    ----------
    stride : int or one per axis
        Edge of a coarse cell in voxels of the input.
    kernel_size : int or one per axis, optional
        Edge of the window, by default the stride.
    dilation, padding : int or one per axis
        As :class:`StridedConv`, which makes the same coarse voxels and shares the kernel map.

    Raises
    ------
    ValueError
        When called, if a size is not positive or does not fit the axes of the tensor.

    Notes
    -----
    Dense average pooling, which counts empty voxels as zeros, is this over the kernel volume. Sums run in
    float32 at least, offset by offset, so they do not depend on threads.

    Examples
    --------
    >>> import torch
    >>> from sparseclust.sparse import SparseTensor, SumPool
    >>> x = SparseTensor(torch.tensor([[1.0], [2.0], [4.0]]), torch.tensor([[0, 0], [0, 1], [0, 2]]))
    >>> SumPool(2)(x).feats.tolist()
    [[3.0], [4.0]]
    """

    @eager
    def forward(self, x: SparseTensor) -> SparseTensor:
        """Pool ``x`` onto the coarse voxels whose windows hold a voxel."""
        return self._down(x, _sums)


class AvgPool(_Windowed):
    """Mean over the voxels of each window; empty voxels do not count.

    Parameters and errors as :class:`SumPool`.

    Examples
    --------
    >>> import torch
    >>> from sparseclust.sparse import AvgPool, SparseTensor
    >>> x = SparseTensor(torch.tensor([[1.0], [2.0], [4.0]]), torch.tensor([[0, 0], [0, 1], [0, 2]]))
    >>> AvgPool(2)(x).feats.tolist()
    [[1.5], [4.0]]
    """

    @eager
    def forward(self, x: SparseTensor) -> SparseTensor:
        """Pool ``x`` onto the coarse voxels whose windows hold a voxel."""
        return self._down(x, _means)


class MaxPool(_Windowed):
    """Largest value of each feature among the voxels of each window; empty voxels do not count.

    Parameters and errors as :class:`SumPool`.

    Notes
    -----
    As in torch, a NaN wins, and of equal values the first in the window receives the gradient.

    Examples
    --------
    >>> import torch
    >>> from sparseclust.sparse import MaxPool, SparseTensor
    >>> x = SparseTensor(torch.tensor([[1.0], [2.0], [-4.0]]), torch.tensor([[0, 0], [0, 1], [0, 2]]))
    >>> MaxPool(2)(x).feats.tolist()
    [[2.0], [-4.0]]
    """

    @eager
    def forward(self, x: SparseTensor) -> SparseTensor:
        """Pool ``x`` onto the coarse voxels whose windows hold a voxel."""
        return self._down(x, _maxima)


class Unpool(_Windowed):
    """The way back from a pooling or a :class:`StridedConv`: each voxel copies the cell it lies in.

    Where windows overlap, it takes the mean of those that hold it; pruned cells are zero. Parameters and
    errors as :class:`SumPool`.

    Examples
    --------
    >>> import torch
    >>> from sparseclust.sparse import MaxPool, SparseTensor, Unpool
    >>> x = SparseTensor(torch.tensor([[1.0], [2.0], [-4.0]]), torch.tensor([[0, 0], [0, 1], [0, 2]]))
    >>> Unpool(2)(MaxPool(2)(x), like=x).feats.tolist()
    [[2.0], [2.0], [-4.0]]
    """

    @eager
    def forward(self, x: SparseTensor, like: SparseTensor) -> SparseTensor:
        """Put the features of ``x`` on the voxels of the finer tensor ``like``.

        Raises
        ------
        ValueError
            If ``x`` holds a voxel that a pooling does not make of ``like``, or one twice.
        """
        return like.with_feats(_means(*way_back(x, like, self._window(x))))


def _sums(feats: Tensor, kernel_map: KernelMap) -> Tensor:
    out = feats.new_zeros(kernel_map.n_target, feats.shape[1], dtype=_sum_type(feats))
    for source, target in _blocks(kernel_map):
        out.index_add_(0, target, feats.index_select(0, source).to(out.dtype))
    return out.to(feats.dtype)


def _means(feats: Tensor, kernel_map: KernelMap) -> Tensor:
    count = torch.bincount(kernel_map.target, minlength=kernel_map.n_target)
    total = _sums(feats.to(_sum_type(feats)), kernel_map)
    return (total / count.clamp(min=1)[:, None]).to(feats.dtype)


def _maxima(feats: Tensor, kernel_map: KernelMap) -> Tensor:
    """Add up the winners only: plain gathers and sums, so gradients need no code of their own."""
    winner = _winners(feats.detach(), kernel_map)
    out = feats.new_zeros(kernel_map.n_target, feats.shape[1])
    for source, target in _blocks(kernel_map):
        won = winner.index_select(0, target) == source[:, None]
        out.index_add_(0, target, torch.where(won, feats.index_select(0, source), 0))
    return out


def _winners(feats: Tensor, kernel_map: KernelMap) -> Tensor:
    """Row that holds the first maximum of each window, per feature; a NaN is larger than all."""
    best = feats.new_full((kernel_map.n_target, feats.shape[1]), -torch.inf)
    winner = torch.full_like(best, -1, dtype=torch.int64)
    for source, target in _blocks(kernel_map):
        rows, held, holder = feats[source], best[target], winner[target]
        better = ((rows > held) | rows.isnan() | (holder < 0)) & ~held.isnan()
        best[target] = torch.where(better, rows, held)
        winner[target] = torch.where(better, source[:, None], holder)
    return winner


def _blocks(kernel_map: KernelMap) -> list[tuple[Tensor, Tensor]]:
    """Source and target of each offset; within one, every row occurs at most once."""
    edges = itertools.pairwise(kernel_map.splits.tolist())
    return [(kernel_map.source[a:b], kernel_map.target[a:b]) for a, b in edges]


def _sum_type(feats: Tensor) -> torch.dtype:
    return torch.promote_types(feats.dtype, torch.float32)
