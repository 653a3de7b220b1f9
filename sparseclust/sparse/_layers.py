"""Convolution layers on sparse tensors."""

import torch
from torch import Tensor, nn

from sparseclust.sparse._conv import sparse_conv
from sparseclust.sparse._maps import KernelMap
from sparseclust.sparse._tensor import SparseTensor


class _Convolution(nn.Module):
    """Weights (kernel volume, in, out), offsets lexicographic, and an optional bias."""

    def __init__(
        self, in_channels: int, out_channels: int, size: int, *, ndim: int, bias: bool, fan_in: int
    ) -> None:
        super().__init__()
        if min(in_channels, out_channels, size, ndim) < 1:
            raise ValueError(
                "channels, kernel size, stride and ndim must be positive, got "
                f"in={in_channels}, out={out_channels}, size={size}, ndim={ndim}"
            )
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.size = size
        self.ndim = ndim
        self.fan_in = fan_in
        self.weight = nn.Parameter(torch.empty(size**ndim, in_channels, out_channels))
        self.bias = nn.Parameter(torch.empty(out_channels)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the weights from U(-b, b) with ``b = sqrt(6 / fan_in)`` (He et al. 1502.01852); bias zero."""
        bound = (6.0 / self.fan_in) ** 0.5
        nn.init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def extra_repr(self) -> str:
        """Show the arguments."""
        bias = self.bias is not None
        return f"{self.in_channels}, {self.out_channels}, {self.size}, ndim={self.ndim}, bias={bias}"

    def _check(self, x: SparseTensor) -> None:
        if x.ndim != self.ndim or x.feats.shape[1] != self.in_channels:
            raise ValueError(
                f"the layer takes {self.in_channels} features in {self.ndim} dimensions, got {x!r}"
            )

    def _convolve(self, feats: Tensor, kernel_map: KernelMap) -> Tensor:
        out = sparse_conv(feats, self.weight, kernel_map)
        return out if self.bias is None else out + self.bias.to(out.dtype)


class SubmanifoldConv(_Convolution):
    """Convolution that keeps the set of occupied voxels.

    Parameters
    ----------
    in_channels, out_channels : int
        Features per voxel.
    kernel_size : int
        Odd edge of the window.
    ndim : int
        Number of spatial axes.
    bias : bool
        Add a vector to every output row.

    Raises
    ------
    ValueError
        If a size is not positive, or the kernel size is even.

    Notes
    -----
    ``weight`` is (kernel volume, in, out), offsets lexicographic from ``-kernel_size // 2`` to
    ``kernel_size // 2``, the last axis fastest. Initialised with fan-in = kernel volume x in_channels.

    References
    ----------
    Graham, van der Maaten, "Submanifold Sparse Convolutional Networks", 1706.01307.

    Examples
    --------
    >>> import torch
    >>> from sparseclust.sparse import SparseTensor, SubmanifoldConv
    >>> x = SparseTensor(torch.ones(2, 4), torch.tensor([[0, 7, 7, 7], [0, 7, 7, 8]]))
    >>> SubmanifoldConv(4, 16)(x)
    SparseTensor(2 voxels, 16 features, ndim=3, stride=1, batch_size=1)
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int = 3, *, ndim: int = 3, bias: bool = False
    ) -> None:
        if kernel_size % 2 == 0:
            raise ValueError(f"a submanifold window has a centre: kernel_size must be odd, got {kernel_size}")
        fan_in = kernel_size**ndim * in_channels
        super().__init__(in_channels, out_channels, kernel_size, ndim=ndim, bias=bias, fan_in=fan_in)

    def forward(self, x: SparseTensor) -> SparseTensor:
        """Convolve on the voxels of ``x``."""
        self._check(x)
        return x.with_feats(self._convolve(x.feats, x.level.submanifold(self.size)))


class StridedConv(_Convolution):
    """Convolution to a coarser grid: kernel size equal to the stride, so that each voxel counts once.

    Parameters
    ----------
    in_channels, out_channels : int
        Features per voxel.
    stride : int
        Edge of a coarse cell in voxels of the input.
    ndim : int
        Number of spatial axes.
    bias : bool
        Add a vector to every output row.

    Raises
    ------
    ValueError
        If a size is not positive.

    Notes
    -----
    Output coordinates are ``floor(coords / stride)``, sorted by event and by axis. ``weight`` is
    (stride^ndim, in, out), offsets ``0 .. stride - 1`` lexicographic, the last axis fastest. Initialised
    with fan-in = stride^ndim x in_channels.

    Examples
    --------
    >>> import torch
    >>> from sparseclust.sparse import SparseTensor, StridedConv
    >>> x = SparseTensor(torch.ones(2, 4), torch.tensor([[0, 7, 7, 7], [0, 7, 7, 8]]))
    >>> StridedConv(4, 16)(x).coords.tolist()
    [[0, 3, 3, 3], [0, 3, 3, 4]]
    """

    def __init__(
        self, in_channels: int, out_channels: int, stride: int = 2, *, ndim: int = 3, bias: bool = False
    ) -> None:
        super().__init__(
            in_channels, out_channels, stride, ndim=ndim, bias=bias, fan_in=stride**ndim * in_channels
        )

    def forward(self, x: SparseTensor) -> SparseTensor:
        """Convolve ``x`` onto the occupied coarse cells."""
        self._check(x)
        level, kernel_map = x.level.coarser(self.size)
        return SparseTensor.on(level, self._convolve(x.feats, kernel_map))


class InverseConv(_Convolution):
    """The way back from a :class:`StridedConv`, to exactly the voxels it came from.

    Parameters
    ----------
    in_channels, out_channels : int
        Features per voxel.
    stride : int
        Edge of a coarse cell in voxels of the output.
    ndim : int
        Number of spatial axes.
    bias : bool
        Add a vector to every output row.

    Raises
    ------
    ValueError
        If a size is not positive.

    Notes
    -----
    ``weight`` as in :class:`StridedConv`. Every output voxel lies in one cell and receives one product, so
    the fan-in of the initialisation is in_channels.

    Examples
    --------
    >>> import torch
    >>> from sparseclust.sparse import InverseConv, SparseTensor, StridedConv
    >>> x = SparseTensor(torch.ones(2, 4), torch.tensor([[0, 7, 7, 7], [0, 7, 7, 8]]))
    >>> InverseConv(16, 4)(StridedConv(4, 16)(x), like=x)
    SparseTensor(2 voxels, 4 features, ndim=3, stride=1, batch_size=1)
    """

    def __init__(
        self, in_channels: int, out_channels: int, stride: int = 2, *, ndim: int = 3, bias: bool = False
    ) -> None:
        super().__init__(in_channels, out_channels, stride, ndim=ndim, bias=bias, fan_in=in_channels)

    def forward(self, x: SparseTensor, like: SparseTensor) -> SparseTensor:
        """Convolve ``x`` onto the voxels of the finer tensor ``like``.

        Raises
        ------
        ValueError
            If the rows of ``x`` are not the sorted coarse cells of ``like``.
        """
        self._check(x)
        level, kernel_map = like.level.coarser(self.size)
        if x.level is not level and not torch.equal(x.coords, level.rows):
            raise ValueError(f"{x!r} does not hold the cells that a stride of {self.size} makes of {like!r}")
        return like.with_feats(self._convolve(x.feats, kernel_map.transposed()))
