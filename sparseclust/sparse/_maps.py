"""Kernel maps: which input row meets which output row under which kernel offset."""

import dataclasses
import itertools

import torch
from torch import Tensor

from sparseclust.sparse.engines import select_engine


@dataclasses.dataclass(frozen=True, eq=False)
class KernelMap:
    """The pairs of rows that a convolution joins.

    Attributes
    ----------
    source, target : (m,) int64
        Input row and output row of each pair.
    splits : (k + 1,) int64, on the CPU
        The pairs of kernel offset ``k`` are ``splits[k]:splits[k + 1]``.
    n_source, n_target : int
        Number of input and of output rows.
    offsets : (k, ndim) int64, on the CPU
        The kernel offsets in the order of the weights: lexicographic, the last axis fastest.
    stride : int
        Ratio of the output spacing to the input spacing.
    centre : int
        The offset that joins every row to itself, -1 when there is none.

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
    stride: int = 1
    centre: int = -1

    @property
    def volume(self) -> int:
        """Number of kernel offsets."""
        return len(self.offsets)

    def transposed(self) -> "KernelMap":
        """Return the map that leads back: inputs and outputs exchanged, offsets unchanged."""
        return dataclasses.replace(
            self, source=self.target, target=self.source, n_source=self.n_target, n_target=self.n_source
        )


def submanifold_map(coords: Tensor, kernel_size: int, *, stride: int = 1) -> KernelMap:
    """Pairs of occupied sites within a centred window: outputs are the inputs' own sites.

    Parameters
    ----------
    coords : (n, 1 + ndim) int32
        Event and voxel indices; rows must differ.
    kernel_size : int
        Odd edge of the window.
    stride : int
        Spacing of the window's points. 1 for the coordinates of a :class:`SparseTensor`, which are divided
        by its stride; the stride itself for coordinates that are kept as multiples of it.

    Returns
    -------
    KernelMap

    Raises
    ------
    ValueError
        If the size is even, if rows repeat, or if the coordinates span more cells than 64 bits can number.

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
    _check_coords(coords)
    if kernel_size < 1 or kernel_size % 2 == 0:
        raise ValueError(
            f"a submanifold window has a centre: kernel_size must be odd and positive, got {kernel_size}"
        )
    reach = kernel_size // 2
    offsets = _grid(range(-reach, reach + 1), coords.shape[1] - 1) * stride
    pairs = select_engine(coords.device).submanifold_pairs(coords, offsets)
    return KernelMap(*pairs, len(coords), len(coords), offsets, centre=len(offsets) // 2)


def strided_map(coords: Tensor, stride: int) -> tuple[Tensor, KernelMap]:
    """Pairs of each site and the coarse cell that contains it.

    Parameters
    ----------
    coords : (n, 1 + ndim) int32
        Event and voxel indices; rows must differ.
    stride : int
        Edge of a coarse cell.

    Returns
    -------
    coarse_coords : (m, 1 + ndim) int32
        The occupied cells, ``floor(coords / stride)``, sorted by event and by axis.
    kernel_map : KernelMap
        From the sites to the cells.

    Raises
    ------
    ValueError
        As :func:`submanifold_map`; the stride must be positive.

    Examples
    --------
    >>> import torch
    >>> from sparseclust.sparse import strided_map
    >>> coarse, kernel_map = strided_map(torch.tensor([[0, 4], [0, 5], [0, -1]]), 2)
    >>> coarse.tolist(), kernel_map.source.tolist(), kernel_map.target.tolist()
    ([[0, -1], [0, 2]], [0, 2, 1], [1, 0, 1])
    """
    _check_coords(coords)
    if stride < 1:
        raise ValueError(f"stride must be positive, got {stride}")
    coarse, pairs = select_engine(coords.device).strided_pairs(coords, stride)
    offsets = _grid(range(stride), coords.shape[1] - 1)
    return coarse, KernelMap(*pairs, len(coords), len(coarse), offsets, stride=stride)


def _grid(values: range, ndim: int) -> Tensor:
    return torch.tensor(list(itertools.product(values, repeat=ndim)), dtype=torch.int64).reshape(-1, ndim)


def _check_coords(coords: Tensor) -> None:
    if coords.ndim != 2 or coords.shape[1] < 2:
        raise ValueError(
            f"coords must have shape (n, 1 + ndim), the event index first; got {tuple(coords.shape)}"
        )
    if coords.is_floating_point() or coords.is_complex() or coords.dtype == torch.bool:
        raise ValueError(f"coords must be integers, got {coords.dtype}")
