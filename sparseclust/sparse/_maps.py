"""Kernel maps: which input row meets which output row under which kernel offset."""

import dataclasses

import torch
from torch import Tensor

from sparseclust.sparse._windows import PerAxis, Window, per_axis
from sparseclust.sparse.engines import Engine, Pairs, select_engine


@dataclasses.dataclass(frozen=True, eq=False)
class KernelMap:
    """The pairs of rows that a convolution joins.

    Attributes
    ----------
    source, target : (m,) int32 or int64
        Input row and output row of each pair.
    splits : (k + 1,) int64, on the CPU
        The pairs of kernel offset ``k`` are ``splits[k]:splits[k + 1]``.
    n_source, n_target : int
        Number of input and of output rows.
    offsets : (k, ndim) int64, on the CPU
        The kernel offsets in the order of the weights: lexicographic, the last axis fastest.
    stride : tuple of int
        Ratio of the output spacing to the input spacing, per axis.
    centre : int
        The offset that joins every row to itself, in the middle of a window of odd size on its own sites;
        -1 for any other map.

    Notes
    -----
    A pair (i, o) is listed under offset k if and only if, within one event,
    ``coords_in[i] == stride * coords_out[o] + offsets[k]``. A transposed map has its roles exchanged:
    ``coords_out[o] == stride * coords_in[i] + offsets[k]``. Within one offset every row occurs at most once.
    """

    source: Tensor
    target: Tensor
    splits: Tensor
    n_source: int
    n_target: int
    offsets: Tensor
    stride: tuple[int, ...]
    centre: int = -1
    # What engines derived from the pairs, by name: for sums over the targets, and over the sources.
    _plans: tuple[dict[str, Tensor | None], ...] = dataclasses.field(
        default_factory=lambda: ({}, {}), repr=False
    )

    @property
    def volume(self) -> int:
        """Number of kernel offsets."""
        return len(self.offsets)

    def transposed(self) -> "KernelMap":
        """Return the map that leads back: inputs and outputs exchanged, offsets unchanged."""
        return dataclasses.replace(
            self,
            source=self.target,
            target=self.source,
            n_source=self.n_target,
            n_target=self.n_source,
            _plans=self._plans[::-1],
        )

    def plan(self, engine: Engine) -> Tensor | None:
        """Return what ``engine`` derives from the pairs for its products; it does so once per map."""
        plans = self._plans[0]
        if engine.name not in plans:
            plans[engine.name] = engine.plan(Pairs(self.source, self.target, self.splits), self.n_target)
        return plans[engine.name]


def submanifold_map(
    coords: Tensor, kernel_size: PerAxis, *, dilation: PerAxis = 1, stride: PerAxis = 1
) -> KernelMap:
    """Pairs of occupied sites within a window: outputs are the inputs' own sites.

    Parameters
    ----------
    coords : (n, 1 + ndim) int32
        Event and voxel indices; rows must differ.
    kernel_size : int or one per axis
        Edge of the window. An even edge reaches one step further up than down, as ``padding="same"`` does in
        torch.
    dilation : int or one per axis
        Spacing of the window's points, in sites.
    stride : int or one per axis
        Spacing of the sites. 1 for the coordinates of a :class:`SparseTensor`, which are divided by its
        stride; the stride itself for coordinates that are kept as multiples of it.

    Returns
    -------
    KernelMap
        Offsets ``-(kernel_size - 1) // 2 .. kernel_size // 2`` per axis, times dilation and stride.

    Raises
    ------
    ValueError
        If a size is not positive, if rows repeat, or if the coordinates span more cells than 64 bits can
        number.

    Notes
    -----
    Sorting the keys costs n log n; each offset then costs one linear pass (engine "numba") or n binary
    searches (engine "torch").

    Examples
    --------
    >>> import torch
    >>> from sparseclust.sparse import submanifold_map
    >>> kernel_map = submanifold_map(torch.tensor([[0, 4], [0, 5], [1, 6]]), 3)
    >>> kernel_map.source.tolist(), kernel_map.target.tolist(), kernel_map.splits.tolist()
    ([0, 0, 1, 2, 1], [1, 0, 1, 2, 0], [0, 1, 4, 5])
    """
    ndim = _check_coords(coords)
    window = Window.centred(ndim, kernel_size, dilation)
    offsets = window.offsets() * torch.tensor(per_axis("stride", stride, ndim))
    pairs = select_engine(coords.device).submanifold_pairs(coords, offsets)
    centre = window.volume // 2 if window.volume % 2 else -1
    return KernelMap(*pairs[:3], len(coords), len(coords), offsets, window.stride, centre)


def strided_map(
    coords: Tensor,
    stride: PerAxis,
    *,
    kernel_size: PerAxis | None = None,
    dilation: PerAxis = 1,
    padding: PerAxis = 0,
) -> tuple[Tensor, KernelMap]:
    """Pairs of each site and the coarse sites whose windows hold it.

    Parameters
    ----------
    coords : (n, 1 + ndim) int32
        Event and voxel indices; rows must differ.
    stride : int or one per axis
        Ratio of the coarse spacing to that of ``coords``.
    kernel_size : int or one per axis, optional
        Edge of the window, by default the stride: each site lies in one window.
    dilation : int or one per axis
        Spacing of the window's points.
    padding : int or one per axis
        The window of a coarse site ``o`` begins at ``stride * o - padding``.

    Returns
    -------
    coarse_coords : (m, 1 + ndim) int32
        The coarse sites whose windows hold at least one of ``coords``, sorted by event and by axis. By
        default these are the occupied cells, ``floor(coords / stride)``.
    kernel_map : KernelMap
        From the sites to the coarse sites; offsets ``dilation * (0 .. kernel_size - 1) - padding``.

    Raises
    ------
    ValueError
        As :func:`submanifold_map`, and if a coarse site does not fit int32.

    Notes
    -----
    Exactly the sites at which a dense convolution with these arguments would see an occupied site, on a grid
    without borders (Graham, 1409.6070). MinkowskiEngine keeps ``floor(coords / stride)`` whatever the
    window.

    Examples
    --------
    >>> import torch
    >>> from sparseclust.sparse import strided_map
    >>> coarse, kernel_map = strided_map(torch.tensor([[0, 4], [0, 5], [0, -1]]), 2)
    >>> coarse.tolist(), kernel_map.source.tolist(), kernel_map.target.tolist()
    ([[0, -1], [0, 2]], [0, 2, 1], [1, 0, 1])
    >>> strided_map(torch.tensor([[0, 5]]), 2, kernel_size=3, padding=1)[0].tolist()
    [[0, 2], [0, 3]]
    """
    window = Window.of(
        _check_coords(coords), kernel_size=kernel_size, stride=stride, dilation=dilation, padding=padding
    )
    offsets = window.offsets()
    coarse, pairs = select_engine(coords.device).strided_pairs(coords, offsets, window.stride)
    return coarse, KernelMap(*pairs[:3], len(coords), len(coarse), offsets, window.stride)


def generative_map(
    coords: Tensor,
    stride: PerAxis,
    *,
    kernel_size: PerAxis | None = None,
    dilation: PerAxis = 1,
    padding: PerAxis = 0,
) -> tuple[Tensor, KernelMap]:
    """Pairs of each coarse site and all the sites in its window, occupied or not.

    Parameters
    ----------
    coords : (n, 1 + ndim) int32
        Event and voxel indices of the coarse sites; rows must differ.
    stride, kernel_size, dilation, padding
        As :func:`strided_map`.

    Returns
    -------
    fine_coords : (m, 1 + ndim) int32
        Every site that lies in a window, sorted by event and by axis; by default the ``stride^ndim``
        children of each coarse site.
    kernel_map : KernelMap
        From the coarse sites to the fine ones, a transposed map.

    Raises
    ------
    ValueError
        As :func:`submanifold_map`, and if a fine site does not fit int32.

    Examples
    --------
    >>> import torch
    >>> from sparseclust.sparse import generative_map
    >>> fine, kernel_map = generative_map(torch.tensor([[0, -1], [0, 3]]), 2)
    >>> fine.tolist(), kernel_map.source.tolist(), kernel_map.target.tolist()
    ([[0, -2], [0, -1], [0, 6], [0, 7]], [0, 1, 0, 1], [0, 2, 1, 3])
    """
    window = Window.of(
        _check_coords(coords), kernel_size=kernel_size, stride=stride, dilation=dilation, padding=padding
    )
    offsets = window.offsets()
    fine, pairs = select_engine(coords.device).generated_pairs(coords, offsets, window.stride)
    return fine, KernelMap(*pairs[:3], len(coords), len(fine), offsets, window.stride)


def _check_coords(coords: Tensor) -> int:
    if coords.ndim != 2 or coords.shape[1] < 2:
        raise ValueError(
            f"coords must have shape (n, 1 + ndim), the event index first; got {tuple(coords.shape)}"
        )
    if coords.is_floating_point() or coords.is_complex() or coords.dtype == torch.bool:
        raise ValueError(f"coords must be integers, got {coords.dtype}")
    return coords.shape[1] - 1
