"""Features on occupied voxels of a batch of events."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from sparseclust._eager import eager
from sparseclust.sparse._coordinates import Coordinates
from sparseclust.sparse._windows import PerAxis, collapse, per_axis

_INT32 = torch.iinfo(torch.int32)


class SparseTensor:
    """Features on the occupied voxels of a batch of events.

    Parameters
    ----------
    feats : (n, c) float Tensor
        One row of features per voxel.
    coords : (n, 1 + ndim) integer Tensor
        Column 0 is the event, counted from 0; then the voxel indices, any sign, divided by ``stride``.
        Kept as int32 on the device of ``feats``.
    batch_size : int, optional
        Number of events, empty ones included; by default the largest event index plus one.
    stride : int or one per axis
        Size of one of these voxels in voxels of the input.

    Raises
    ------
    ValueError
        If shapes or types do not fit, an event index is not in the batch, or a coordinate is no int32.
        Voxels that occur twice are found when the first kernel map is built; see :func:`coalesce`.

    Notes
    -----
    Rows keep the order in which they were given. Kernel maps are kept with the coordinates and shared by
    every tensor made from this one on the same voxels, so each is built once per forward pass. Pickling and
    moving to another device leave them behind.

    Examples
    --------
    >>> import torch
    >>> from sparseclust.sparse import SparseTensor
    >>> SparseTensor(torch.ones(2, 4), torch.tensor([[0, 7, 7, 7], [1, -3, 0, 5]]))
    SparseTensor(2 voxels, 4 features, ndim=3, stride=1, batch_size=2)
    """

    __slots__ = ("_level", "feats")

    def __init__(
        self, feats: Tensor, coords: Tensor, *, batch_size: int | None = None, stride: PerAxis = 1
    ) -> None:
        _check_rows(feats, coords)
        steps = per_axis("stride", stride, coords.shape[1] - 1)
        rows = _as_int32(coords).to(feats.device)
        if batch_size is None or not torch.compiler.is_exporting():  # an exported program has no values yet
            batch_size = _n_events(rows, batch_size)
        self.feats = feats
        self._level = Coordinates(rows, batch_size=batch_size, stride=steps)

    @classmethod
    def on(cls, level: Coordinates, feats: Tensor) -> "SparseTensor":
        """Put features on coordinates that exist already; they share its kernel maps."""
        if feats.ndim != 2 or len(feats) != len(level.rows):
            raise ValueError(f"feats must have shape ({len(level.rows)}, c), got {tuple(feats.shape)}")
        tensor = cls.__new__(cls)
        tensor.feats = feats
        tensor._level = level
        return tensor

    @property
    def level(self) -> Coordinates:
        """The coordinates with their kernel maps."""
        return self._level

    @property
    def coords(self) -> Tensor:
        """Event and voxel indices (n, 1 + ndim), int32."""
        return self._level.rows

    @property
    def stride(self) -> int | tuple[int, ...]:
        """Size of a voxel in voxels of the input, one number where all axes agree."""
        return collapse(self._level.stride)

    @property
    def batch_size(self) -> int:
        """Number of events, empty ones included."""
        return self._level.batch_size

    @property
    def ndim(self) -> int:
        """Number of spatial axes."""
        return self.coords.shape[1] - 1

    @property
    def device(self) -> torch.device:
        """Device of features and coordinates."""
        return self.feats.device

    @property
    def dtype(self) -> torch.dtype:
        """Type of the features."""
        return self.feats.dtype

    def __len__(self) -> int:
        return len(self.feats)

    def __repr__(self) -> str:
        return (
            f"SparseTensor({len(self)} voxels, {self.feats.shape[1]} features, ndim={self.ndim}, "
            f"stride={self.stride}, batch_size={self.batch_size})"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return SparseTensor.on, (self._level, self.feats)

    def with_feats(self, feats: Tensor) -> "SparseTensor":
        """Return a tensor with other features (n, c) on the same voxels."""
        return SparseTensor.on(self._level, feats)

    def to(self, *args: Any, **kwargs: Any) -> "SparseTensor":
        """Move or cast the features as :meth:`torch.Tensor.to` does; the coordinates follow the device."""
        feats = self.feats.to(*args, **kwargs)
        if feats.device == self.device:
            return self.with_feats(feats)
        rows = self.coords.to(feats.device)
        level = Coordinates(rows, batch_size=self.batch_size, stride=self._level.stride)
        return SparseTensor.on(level, feats)

    def select(self, rows: Tensor) -> "SparseTensor":
        """Keep some of the voxels, for example to prune what a generative convolution made.

        Parameters
        ----------
        rows : (n,) bool Tensor, or integer Tensor
            Mask, or numbers of the rows to keep, each once.

        Returns
        -------
        SparseTensor
            With coordinates of its own, so kernel maps are built anew; events and stride stay.
        """
        level = Coordinates(self.coords[rows], batch_size=self.batch_size, stride=self._level.stride)
        return SparseTensor.on(level, self.feats[rows])

    @eager
    def edges(self) -> Tensor:
        """Return the pairs of voxels of one event that touch, by a face, an edge or a corner.

        Returns
        -------
        (2, m) int64 Tensor
            Rows of this tensor, each pair once. They come from the kernel map of a 3-wide submanifold
            convolution and cost nothing where one runs on these voxels.
        """
        return self._level.edges()

    def split(self) -> list["SparseTensor"]:
        """Return one tensor per event, each a batch of one; rows keep their order."""
        events = []
        for event in range(self.batch_size):
            rows = self.coords[:, 0] == event
            coords = self.coords[rows]
            coords[:, 0] = 0
            events.append(SparseTensor(self.feats[rows], coords, batch_size=1, stride=self.stride))
        return events

    def dense(self, shape: Sequence[int]) -> Tensor:
        """Return the image ``(batch_size, c, *shape)``, zero where no voxel is.

        Raises
        ------
        ValueError
            If a voxel lies outside ``0 .. shape - 1``, or ``shape`` has another number of axes.
        """
        if len(shape) != self.ndim:
            raise ValueError(f"shape must have {self.ndim} axes, got {tuple(shape)}")
        index = self.coords.long()
        limits = torch.tensor(shape, device=self.device)
        if bool(((index[:, 1:] < 0) | (index[:, 1:] >= limits)).any()):
            raise ValueError(
                f"voxels lie outside the image of shape {tuple(shape)}: shift or crop the coordinates"
            )
        image = self.feats.new_zeros(self.batch_size, *shape, self.feats.shape[1])
        return image.index_put(tuple(index.unbind(1)), self.feats).movedim(-1, 1)


def _check_rows(feats: Tensor, coords: Tensor) -> None:
    if feats.ndim != 2 or not feats.is_floating_point():
        raise ValueError(
            f"feats must be floating point of shape (n, c), got {feats.dtype} {tuple(feats.shape)}"
        )
    if coords.ndim != 2 or coords.shape[1] < 2 or coords.shape[0] != feats.shape[0]:
        raise ValueError(
            f"coords must have shape ({len(feats)}, 1 + ndim), the event index first; "
            f"got {tuple(coords.shape)}"
        )


def _n_events(rows: Tensor, batch_size: int | None) -> int:
    """Check the events that the rows name; return how many there are."""
    found = int(rows[:, 0].max()) + 1 if len(rows) else 0
    if len(rows) and int(rows[:, 0].min()) < 0:
        raise ValueError("column 0 of coords is the event index: it must not be negative")
    if batch_size is not None and batch_size < found:
        raise ValueError(f"coords name event {found - 1}, but batch_size is {batch_size}")
    return found if batch_size is None else batch_size


def _as_int32(coords: Tensor) -> Tensor:
    if coords.dtype == torch.int32:
        return coords
    if coords.is_floating_point() or coords.is_complex() or coords.dtype == torch.bool:
        raise ValueError(f"coords must be integers, got {coords.dtype}")
    if len(coords) and not _INT32.min <= int(coords.min()) <= int(coords.max()) <= _INT32.max:
        raise ValueError(f"coords must fit int32, got values from {int(coords.min())} to {int(coords.max())}")
    return coords.to(torch.int32)
