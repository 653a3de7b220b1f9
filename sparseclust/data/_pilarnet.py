"""The HDF5 layout of PILArNet-M."""

import os
from collections.abc import Iterator
from typing import Any, Literal, get_args

import h5py
import numpy as np
import numpy.typing as npt

from sparseclust.data._event import Event
from sparseclust.data._hdf5 import Hdf5Events, faults_named

InstanceLabel = Literal["fragment", "group", "interaction"]

_POINT_COLUMNS = 8  # x, y, z, value, dE, time, electrons, dx
_CLUSTER_WIDTHS = (6, 5)  # version 2 ends with the particle id, version 1 does not have it
_CLUSTER_COLUMNS = {"fragment": 1, "group": 2, "interaction": 3, "pid": 5}
_SEMANTIC_COLUMN = 4


class PilarnetFile(Hdf5Events):
    """Events of a PILArNet-M file, read one at a time.

    Parameters
    ----------
    path : path
        HDF5 file with the datasets ``point`` and ``cluster``, one variable-length row per event.
    label : {"fragment", "group", "interaction"}
        The column that becomes ``event.instance``; ids are those of the file, -1 means none.
    min_energy : float, MeV
        Voxels with ``value`` below it are left out of the events; ``event.extra["row"]`` says which rows
        of the file remain. 0 keeps all.
    spatial_size : int or None
        Coordinates must lie in ``[0, spatial_size)`` on every axis; None accepts any.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        At opening, if the file is truncated or of another format; at reading an event, if its rows
        contradict one another. The message names the file, the event and what was expected.

    See Also
    --------
    open_events : the same for several files and for event stores.

    Notes
    -----
    ``point`` holds N rows of 8 numbers: x, y, z, value [MeV], dE [MeV], time [ns], electrons, dx [mm], in the
    order of the cluster rows. ``cluster`` holds M rows: n_points, fragment, group, interaction, semantic and,
    in version 2, the particle id. Rows keep the order of the file. ``event.feats`` is ``value``;
    ``event.extra`` holds ``row``, ``fragment``, ``group``, ``interaction`` and, in version 2, ``pid``. The
    other columns of ``point`` and the dataset ``cluster_extra`` are not read, so they may hold anything.

    A truncated file is always noticed. The layout has no checksums: changed bytes are noticed where the rows
    no longer make sense, and may crash the HDF5 library itself where they hit its own bookkeeping.

    The layout does not say whether a cluster row has 5 or 6 numbers. The right width always makes
    sum(n_points) equal to N; where the wrong one does so too (an event without clusters, or a coincidence),
    the first event of the file that only one width fits decides, and 6 where there is none.

    Examples
    --------
    >>> from sparseclust.data import PilarnetFile
    >>> with PilarnetFile("train.h5", label="group") as events:  # doctest: +SKIP
    ...     event = events[0]
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        label: InstanceLabel = "fragment",
        min_energy: float = 0.0,
        spatial_size: int | None = 768,
    ) -> None:
        if label not in get_args(InstanceLabel):
            raise ValueError(f"label must be one of {', '.join(get_args(InstanceLabel))}, got {label!r}")
        if not min_energy >= 0:
            raise ValueError(f"min_energy must be at least 0 MeV, got {min_energy}")
        if spatial_size is not None and spatial_size < 1:
            raise ValueError(
                f"spatial_size must be at least 1 voxel, or None for no check, got {spatial_size}"
            )
        self.label = label
        self.min_energy = min_energy
        self.spatial_size = spatial_size
        self._fallback_width: int | None = None
        super().__init__(path)

    def _inspect(self, file: Any) -> int:
        if not is_pilarnet(file):
            raise ValueError(
                "expected a PILArNet-M file with the datasets 'point' and 'cluster', one variable-length row "
                f"of numbers per event; got an HDF5 file with {list(file)}"
            )
        points, clusters = len(file["point"]), len(file["cluster"])
        if points != clusters:
            raise ValueError(
                f"event {min(points, clusters)}: expected 'point' and 'cluster' to have one row "
                f"per event each; 'point' has {points} rows and 'cluster' {clusters}"
            )
        return points

    def _read(self, index: int) -> Event:
        points = self._points(index)
        flat = self._clusters(index)
        widths = _fitting_widths(flat, len(points))
        if not widths:
            raise ValueError(_why_no_width(flat, len(points)))
        width = widths[0] if len(widths) == 1 else self._decided_width()
        coords, value = self._checked(points)
        truth = np.repeat(flat.reshape(-1, width), flat[::width], axis=0)
        rows = np.flatnonzero(value >= self.min_energy)
        extra = {name: truth[rows, c] for name, c in _CLUSTER_COLUMNS.items() if c < width}
        instance, semantic = extra[self.label], truth[rows, _SEMANTIC_COLUMN]
        return Event(coords[rows], value[rows], semantic, instance, extra={"row": rows, **extra})

    def _points(self, index: int) -> npt.NDArray[Any]:
        flat = self._flat("point", index)
        if len(flat) % _POINT_COLUMNS:
            raise ValueError(
                f"expected 'point' rows of {_POINT_COLUMNS} columns, got {len(flat)} numbers in all"
            )
        return flat.reshape(-1, _POINT_COLUMNS)

    def _clusters(self, index: int) -> npt.NDArray[np.int64]:
        flat = self._flat("cluster", index)
        # Tests that NaN fails, and that leave nothing int64 cannot hold.
        if not ((np.abs(flat) < 2**31) & (flat == np.floor(flat))).all():
            raise ValueError("expected whole numbers in 'cluster', got NaN, fractions or numbers beyond 2^31")
        return flat.astype(np.int64)

    def _flat(self, name: str, index: int) -> npt.NDArray[Any]:
        with faults_named(f"{name!r}"):
            return np.asarray(self._dataset(name)[index]).reshape(-1)

    def _decided_width(self) -> int:
        if self._fallback_width is None:
            self._fallback_width = next(self._widths(), _CLUSTER_WIDTHS[0])
        return self._fallback_width

    def _widths(self) -> Iterator[int]:
        for index in range(len(self)):
            try:
                widths = _fitting_widths(self._clusters(index), len(self._points(index)))
            except ValueError:
                continue  # reported when that event itself is read
            if len(widths) == 1:
                yield widths[0]

    def _checked(self, points: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        coords, value = points[:, :3], points[:, 3]
        low, high = (0, self.spatial_size) if self.spatial_size is not None else (-(2**31), 2**31)
        inside = ((coords >= low) & (coords < high) & (coords == np.floor(coords))).all(axis=1)
        if not inside.all():
            row = int(np.argmin(inside))
            raise ValueError(
                f"expected whole coordinates in [{low}, {high}), got {coords[row].tolist()} in row {row} of "
                "'point'; spatial_size sets the size of the volume"
            )
        good = np.isfinite(value) & (value >= 0)
        if not good.all():
            row = int(np.argmin(good))
            raise ValueError(
                f"expected energies (column 3, 'value') that are finite and not negative, got {value[row]} "
                f"in row {row} of 'point'"
            )
        return coords, value


def is_pilarnet(file: Any) -> bool:
    """Whether an open HDF5 file has the datasets of PILArNet-M."""
    return all(name in file and _is_ragged(file[name]) for name in ("point", "cluster"))


def _is_ragged(item: Any) -> bool:
    if not isinstance(item, h5py.Dataset) or item.ndim != 1:
        return False
    base = h5py.check_vlen_dtype(item.dtype)
    return base is not None and np.issubdtype(base, np.number)


def _fitting_widths(flat: npt.NDArray[np.int64], n: int) -> list[int]:
    """Row widths for which ``flat`` is a cluster table of ``n`` points."""
    whole = [width for width in _CLUSTER_WIDTHS if len(flat) % width == 0]
    return [width for width in whole if (flat[::width] >= 0).all() and flat[::width].sum() == n]


def _why_no_width(flat: npt.NDArray[np.int64], n: int) -> str:
    found = [
        f"not a multiple of {width}"
        if len(flat) % width
        else f"sum(n_points) = {flat[::width].sum()} with {width}"
        for width in sorted(_CLUSTER_WIDTHS)
    ]
    return (
        f"expected 'cluster' rows of 5 or 6 columns with sum(n_points) = {n}, the number of rows of 'point'; "
        f"got {len(flat)} numbers: {', '.join(found)}"
    )
