"""The HDF5 layout of PILArNet-M."""

import os
from collections.abc import Iterator, Sequence
from typing import Any, Literal, get_args

import h5py
import numpy as np
import numpy.typing as npt

from sparseclust.data._duplicates import coalesce_event
from sparseclust.data._event import Event
from sparseclust.data._hdf5 import Hdf5Events, check_stored, faults_named
from sparseclust.data._heap import check_row, row_lengths

InstanceLabel = Literal["fragment", "group", "interaction"]

_POINT_WIDTH = 8  # x, y, z, value and these
_POINT_COLUMNS = {"dE": 4, "time": 5, "electrons": 6, "dx": 7}
_CLUSTER_WIDTHS = (6, 5)  # versions 2 and 3 end with the particle id, version 1 does not have it
_CLUSTER_COLUMNS = {"fragment": 1, "group": 2, "interaction": 3, "pid": 5}
_SEMANTIC_COLUMN = 4
_PARTICLE_COLUMNS: dict[str, int | slice] = {"momentum": 1, "vertex": slice(2, 5), "primary": 5}
_PARTICLE_WIDTHS = (5, 6)  # version 2; version 3, with the flag of primary particles


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
        of the file remain. 0 keeps all. (Published trainings keep those above 0.13 MeV.)
    spatial_size : int or None
        Coordinates must lie in ``[0, spatial_size)`` on every axis; None accepts any.
    classes : sequence of int or None
        Semantic classes whose voxels are kept; ``(0, 1, 2, 3)`` leaves out low-energy scatters. None keeps
        all.
    precedence : sequence of int or None
        Merge voxels that are listed more than once as :func:`coalesce_event` does, with this precedence of
        the classes. None leaves them as they are: one row for each particle that shares the voxel.
    columns : sequence of str
        Further columns for ``event.extra``: of ``point`` ``"dE"`` [MeV], ``"time"`` [ns], ``"electrons"``,
        ``"dx"`` [mm]; of ``cluster_extra``, for each voxel that of its particle, ``"momentum"`` [GeV] and
        ``"vertex"`` (n, 3) in versions 2 and 3, and ``"primary"`` in version 3. They may hold anything.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        At opening, if the file is truncated or of another format, or has no ``cluster_extra`` but is asked
        for its columns; at reading an event, if its rows contradict one another. The message names the file,
        the event and what was expected.

    See Also
    --------
    open_events : the same for several files and for event stores.

    Notes
    -----
    ``point`` holds N rows of 8 numbers: x, y, z, value [MeV], dE [MeV], time [ns], electrons, dx [mm], in the
    order of the cluster rows. ``cluster`` holds M rows: n_points, fragment, group, interaction, semantic and,
    in versions 2 and 3, the particle id. ``cluster_extra`` (versions 2 and 3) holds M rows of 5 or 6 numbers.
    Rows keep the order of the file. ``event.feats`` is ``value``; ``event.extra`` holds ``row``,
    ``fragment``, ``group``, ``interaction``, ``pid`` where the file has it, and ``columns``. The energy
    threshold applies to rows, then the classes are chosen, then rows are merged.

    Versions 1 and 2 divide the same kind of events differently into train, validation and test: do not mix
    them. An event that tests one version may be a training event of the other.

    A truncated file is always noticed. The layout has no checksums: changed bytes are noticed where the rows
    no longer make sense. HDF5 itself does not come back from some damage to its bookkeeping of the rows,
    which is therefore looked at first (unless a row's place is in a compressed chunk).

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
        classes: Sequence[int] | None = None,
        precedence: Sequence[int] | None = None,
        columns: Sequence[str] = (),
    ) -> None:
        if label not in get_args(InstanceLabel):
            raise ValueError(f"label must be one of {', '.join(get_args(InstanceLabel))}, got {label!r}")
        if not min_energy >= 0:
            raise ValueError(f"min_energy must be at least 0 MeV, got {min_energy}")
        if spatial_size is not None and spatial_size < 1:
            raise ValueError(
                f"spatial_size must be at least 1 voxel, or None for no check, got {spatial_size}"
            )
        known = [*_POINT_COLUMNS, *_PARTICLE_COLUMNS]
        if isinstance(columns, str) or not set(columns) <= set(known):
            raise ValueError(f"columns must be a list of names among {', '.join(known)}, got {columns!r}")
        self.label = label
        self.min_energy = min_energy
        self.spatial_size = spatial_size
        self.classes = classes
        self.precedence = precedence
        self.columns = tuple(columns)
        self._fallback_width: int | None = None
        super().__init__(path)

    def _inspect(self, file: Any) -> int:
        if not is_pilarnet(file):
            raise ValueError(
                "expected a PILArNet-M file with the datasets 'point' and 'cluster', one variable-length row "
                f"of numbers per event; got an HDF5 file with {list(file)}"
            )
        of_particles = any(name in _PARTICLE_COLUMNS for name in self.columns)
        if of_particles and not ("cluster_extra" in file and _is_ragged(file["cluster_extra"])):
            raise ValueError(
                f"expected the dataset 'cluster_extra' of versions 2 and 3, as columns={self.columns} asks "
                f"for it; got an HDF5 file with {list(file)}"
            )
        names = ["point", "cluster", *(["cluster_extra"] if of_particles else [])]
        lengths = [len(file[name]) for name in names]
        for name, length in zip(names, lengths):
            check_stored(file[name], length)
        if len(set(lengths)) > 1:
            raise ValueError(
                f"event {min(lengths)}: expected one row per event in each dataset; "
                + " and ".join(f"{name!r} has {length} rows" for name, length in zip(names, lengths))
            )
        return lengths[0]

    def _read(self, index: int) -> Event:
        points = self._points(index)
        clusters = self._clusters(index, len(points))
        coords, value = self._checked(points)
        cluster = np.repeat(np.arange(len(clusters)), clusters[:, 0])
        keep = value >= self.min_energy
        if self.classes is not None:
            keep &= np.isin(clusters[:, _SEMANTIC_COLUMN], self.classes)[cluster]
        rows = np.flatnonzero(keep)
        truth = clusters[cluster[rows]]
        extra = {name: truth[:, c] for name, c in _CLUSTER_COLUMNS.items() if c < truth.shape[1]}
        further = {
            name: points[rows, _POINT_COLUMNS[name]]
            if name in _POINT_COLUMNS
            else self._of_particles(name, index, len(clusters))[cluster[rows]]
            for name in self.columns
        }
        event = Event(
            coords[rows],
            value[rows],
            truth[:, _SEMANTIC_COLUMN],
            extra[self.label],
            extra={"row": rows, **extra, **further},
        )
        return event if self.precedence is None else coalesce_event(event, precedence=self.precedence)[0]

    def _counts(self) -> npt.NDArray[np.int64] | None:
        if self.min_energy or self.classes is not None or self.precedence is not None:
            return None
        lengths = row_lengths(self._file, self._dataset("point"))
        return None if lengths is None else lengths // _POINT_WIDTH

    def _points(self, index: int) -> npt.NDArray[Any]:
        flat = self._flat("point", index)
        if len(flat) % _POINT_WIDTH:
            raise ValueError(
                f"expected 'point' rows of {_POINT_WIDTH} columns, got {len(flat)} numbers in all"
            )
        return flat.reshape(-1, _POINT_WIDTH)

    def _clusters(self, index: int, n: int) -> npt.NDArray[np.int64]:
        flat = self._flat_clusters(index)
        widths = _fitting_widths(flat, n)
        if not widths:
            raise ValueError(_why_no_width(flat, n))
        return flat.reshape(-1, widths[0] if len(widths) == 1 else self._decided_width())

    def _of_particles(self, name: str, index: int, n: int) -> npt.NDArray[Any]:
        flat = self._flat("cluster_extra", index)
        width = next((width for width in _PARTICLE_WIDTHS if len(flat) == n * width), None)
        if width is None or (name == "primary" and width != _PARTICLE_WIDTHS[-1] and n):
            raise ValueError(
                f"expected 'cluster_extra' to have {n} rows of 5 columns, or of 6 in version 3, which alone "
                f"has 'primary'; got {len(flat)} numbers"
            )
        return flat.reshape(n, width if n else _PARTICLE_WIDTHS[-1])[:, _PARTICLE_COLUMNS[name]]

    def _flat_clusters(self, index: int) -> npt.NDArray[np.int64]:
        flat = self._flat("cluster", index)
        # Tests that NaN fails, and that leave nothing int64 cannot hold.
        if not ((np.abs(flat) < 2**31) & (flat == np.floor(flat))).all():
            raise ValueError("expected whole numbers in 'cluster', got NaN, fractions or numbers beyond 2^31")
        return flat.astype(np.int64)

    def _flat(self, name: str, index: int) -> npt.NDArray[Any]:
        with faults_named(f"{name!r}"):
            dataset = self._dataset(name)
            check_row(self._file, dataset, index)
            return np.asarray(dataset[index]).reshape(-1)

    def _decided_width(self) -> int:
        if self._fallback_width is None:
            self._fallback_width = next(self._widths(), _CLUSTER_WIDTHS[0])
        return self._fallback_width

    def _widths(self) -> Iterator[int]:
        for index in range(len(self)):
            try:
                widths = _fitting_widths(self._flat_clusters(index), len(self._points(index)))
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
