"""Convolution layers on sparse tensors."""

import math

import torch
from torch import Tensor, nn

from sparseclust._eager import eager
from sparseclust.sparse._conv import sparse_conv
from sparseclust.sparse._maps import KernelMap
from sparseclust.sparse._tensor import SparseTensor
from sparseclust.sparse._way_back import way_back
from sparseclust.sparse._windows import PerAxis, Window, collapse


class _Convolution(nn.Module):
    """Weights (kernel volume, in, out), offsets lexicographic, and an optional bias."""

    _shown: tuple[str, ...]

    def __init__(
        self, in_channels: int, out_channels: int, window: Window, *, bias: bool, fan_in: int
    ) -> None:
        super().__init__()
        if min(in_channels, out_channels) < 1:
            raise ValueError(f"channels must be positive, got in={in_channels}, out={out_channels}")
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.window = window
        self.ndim = len(window.kernel_size)
        self.fan_in = fan_in
        self.weight = nn.Parameter(torch.empty(window.volume, in_channels, out_channels))
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
        window = ", ".join(f"{name}={collapse(getattr(self.window, name))}" for name in self._shown)
        bias = self.bias is not None
        return f"{self.in_channels}, {self.out_channels}, {window}, ndim={self.ndim}, bias={bias}"

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
    kernel_size : int or one per axis
        Edge of the window. An even edge reaches one step further up than down, as ``padding="same"`` does in
        torch; spconv refuses even edges.
    dilation : int or one per axis
        Spacing of the window's points.
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
    ``weight`` is (kernel volume, in, out), offsets lexicographic from ``-(kernel_size - 1) // 2`` to
    ``kernel_size // 2`` times the dilation, the last axis fastest. Initialised with fan-in = kernel volume x
    in_channels.

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

    _shown = ("kernel_size", "dilation")

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: PerAxis = 3,
        *,
        dilation: PerAxis = 1,
        ndim: int = 3,
        bias: bool = False,
    ) -> None:
        window = Window.centred(ndim, kernel_size, dilation)
        super().__init__(in_channels, out_channels, window, bias=bias, fan_in=window.volume * in_channels)

    @eager
    def forward(self, x: SparseTensor) -> SparseTensor:
        """Convolve on the voxels of ``x``."""
        self._check(x)
        return x.with_feats(self._convolve(x.feats, x.level.submanifold(self.window)))


class _Resampling(_Convolution):
    """Convolution between a grid and one that is ``stride`` times coarser."""

    _shown = ("stride", "kernel_size", "dilation", "padding")
    _upwards = True

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: PerAxis = 2,
        *,
        kernel_size: PerAxis | None = None,
        dilation: PerAxis = 1,
        padding: PerAxis = 0,
        ndim: int = 3,
        bias: bool = False,
    ) -> None:
        window = Window.of(ndim, kernel_size=kernel_size, stride=stride, dilation=dilation, padding=padding)
        products = window.volume // (math.prod(window.stride) if self._upwards else 1)
        super().__init__(in_channels, out_channels, window, bias=bias, fan_in=max(products, 1) * in_channels)


class StridedConv(_Resampling):
    """Convolution to a coarser grid; by default the windows are its cells, so that each voxel counts once.

    Parameters
    ----------
    in_channels, out_channels : int
        Features per voxel.
    stride : int or one per axis
        Edge of a coarse cell in voxels of the input.
    kernel_size : int or one per axis, optional
        Edge of the window, by default the stride.
    dilation : int or one per axis
        Spacing of the window's points.
    padding : int or one per axis
        The window of the coarse voxel ``o`` begins at ``stride * o - padding``, as in torch.
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
    Output coordinates are all coarse voxels whose windows hold a voxel, sorted by event and by axis; by
    default ``floor(coords / stride)``. See :func:`strided_map`. ``weight`` is (kernel volume, in, out),
    offsets ``dilation * (0 .. kernel_size - 1) - padding`` lexicographic, the last axis fastest. Initialised
    with fan-in = kernel volume x in_channels.

    Examples
    --------
    >>> import torch
    >>> from sparseclust.sparse import SparseTensor, StridedConv
    >>> x = SparseTensor(torch.ones(2, 4), torch.tensor([[0, 7, 7, 7], [0, 7, 7, 8]]))
    >>> StridedConv(4, 16)(x).coords.tolist()
    [[0, 3, 3, 3], [0, 3, 3, 4]]
    >>> len(StridedConv(4, 16, 2, kernel_size=3, padding=1)(x))
    8
    """

    _upwards = False

    @eager
    def forward(self, x: SparseTensor) -> SparseTensor:
        """Convolve ``x`` onto the coarse voxels that it reaches."""
        self._check(x)
        level, kernel_map = x.level.coarser(self.window)
        return SparseTensor.on(level, self._convolve(x.feats, kernel_map))


class InverseConv(_Resampling):
    """The way back from a :class:`StridedConv`, to exactly the voxels it came from.

    Coarse voxels may come in another order, and some may have been pruned: these count as zeros.

    Parameters
    ----------
    in_channels, out_channels : int
        Features per voxel.
    stride, kernel_size, dilation, padding : int or one per axis
        Those of the :class:`StridedConv`.
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
    ``weight`` as in :class:`StridedConv`: the dense transposed convolution, at the occupied voxels. A voxel
    receives kernel volume / stride^ndim products on the average, by default one; the fan-in of the
    initialisation is that times in_channels.

    Examples
    --------
    >>> import torch
    >>> from sparseclust.sparse import InverseConv, SparseTensor, StridedConv
    >>> x = SparseTensor(torch.ones(2, 4), torch.tensor([[0, 7, 7, 7], [0, 7, 7, 8]]))
    >>> InverseConv(16, 4)(StridedConv(4, 16)(x), like=x)
    SparseTensor(2 voxels, 4 features, ndim=3, stride=1, batch_size=1)
    """

    @eager
    def forward(self, x: SparseTensor, like: SparseTensor) -> SparseTensor:
        """Convolve ``x`` onto the voxels of the finer tensor ``like``.

        Raises
        ------
        ValueError
            If ``x`` holds a voxel that a :class:`StridedConv` does not make of ``like``, or one twice.
        """
        self._check(x)
        return like.with_feats(self._convolve(*way_back(x, like, self.window)))


class GenerativeConv(_Resampling):
    """Transposed convolution that occupies every voxel it reaches, by default all children of each voxel.

    Parameters
    ----------
    in_channels, out_channels : int
        Features per voxel.
    stride, kernel_size, dilation, padding : int or one per axis
        As :class:`StridedConv`, whose transposed this is.
    ndim : int
        Number of spatial axes.
    bias : bool
        Add a vector to every output row.

    Raises
    ------
    ValueError
        If a size is not positive; when called, if the stride of the tensor is not a multiple of this one.

    Notes
    -----
    The dense transposed convolution, without the voxels where it is zero for want of input; rows sorted by
    event and by axis. Voxels multiply by stride^ndim: prune with :meth:`SparseTensor.select`. ``weight`` and
    its initialisation as :class:`InverseConv`.

    References
    ----------
    Gwak, Choy, Savarese, "Generative Sparse Detection Networks", 2006.12356.

    Examples
    --------
    >>> import torch
    >>> from sparseclust.sparse import GenerativeConv, SparseTensor
    >>> x = SparseTensor(torch.ones(1, 16), torch.tensor([[0, 3, -1]]), stride=2)
    >>> y = GenerativeConv(16, 4, ndim=2)(x)
    >>> y.coords.tolist(), y.stride
    ([[0, 6, -2], [0, 6, -1], [0, 7, -2], [0, 7, -1]], 1)
    >>> y.select(y.feats[:, 0] > -100)
    SparseTensor(4 voxels, 4 features, ndim=2, stride=1, batch_size=1)
    """

    @eager
    def forward(self, x: SparseTensor) -> SparseTensor:
        """Convolve ``x`` onto all finer voxels that it reaches."""
        self._check(x)
        level, kernel_map = x.level.finer(self.window)
        return SparseTensor.on(level, self._convolve(x.feats, kernel_map))
