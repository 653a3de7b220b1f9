"""Event files of the SPINE reconstruction chain."""

import os
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from sparseclust.data._event import Event
from sparseclust.data._hdf5 import Hdf5Events, check_stored

_PARTS = {"info": h5py.Group, "events": h5py.Dataset}
_VALUE = 3  # column of a table of voxels, after the coordinates
_CLUSTER = 4
_PARTICLE_COLUMNS = ("group", "interaction", "pid")


class SpineFile(Hdf5Events):
    """Events of an HDF5 file of SPINE, read one at a time.

    Parameters
    ----------
    path : path
        File of format 1 (references) or 2 (offsets).
    points : str
        The product with the voxels: coordinates, then features.
    semantic : str or None
        The product with the semantic classes: one number per voxel, or a table whose last column it is. None
        if there is none, or to leave it out.
    instance : str or None
        The product with the clusters, in one of three forms: a table like ``points`` with the cluster after
        the first feature; a list of the voxels of each cluster, such as ``"fragment_clusts"``, whose
        instances are the places in the list, -1 for voxels in none; or one number per voxel.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        At opening, if the file is truncated, incomplete, of another format or lacks a product; at reading an
        event, if its products contradict one another.

    See Also
    --------
    write_spine : the way back.

    Notes
    -----
    Coordinates must be voxel indices, not positions in cm. All features become columns of ``event.feats``.
    Where the table of clusters comes with its particles, ``event.extra`` holds ``group``, ``interaction`` and
    ``pid`` of each voxel, -1 where there is none. Other products with one row per particle are not read.

    Examples
    --------
    >>> from sparseclust.data import SpineFile
    >>> with SpineFile("output.h5", instance="fragment_clusts") as events:  # doctest: +SKIP
    ...     event = events[0]
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        points: str = "data",
        semantic: str | None = "seg_label",
        instance: str | None = "clust_label",
    ) -> None:
        self.points = points
        self.semantic = semantic
        self.instance = instance
        self._version = 0
        super().__init__(path)

    def _inspect(self, file: Any) -> int:
        if not is_spine(file):
            raise ValueError(
                "expected a SPINE file (group 'info' with its format, data set 'events'); got an HDF5 file "
                f"with {list(file)}"
            )
        info = file["info"].attrs
        self._version = int(info["format_version"])
        if self._version not in (1, 2):
            raise ValueError(f"expected SPINE's file format 1 or 2, got {self._version}")
        if not info.get("complete", True):
            raise ValueError("expected a complete file; SPINE did not finish writing this one")
        found = spine_products(file)
        for role in ("points", "semantic", "instance"):
            name = getattr(self, role)
            if name is not None and name not in found:
                raise ValueError(f"expected the product {name!r} ({role}); the file has {', '.join(found)}")
        n_events = len(file["events"])
        if self._version == 1:
            for name in found:
                if isinstance(file[name], h5py.Dataset):
                    check_stored(file[name], len(file[name]))
        if self._version == 2 and len(file[f"products/{self.points}/event_offsets"]) != n_events + 1:
            raise ValueError(f"expected one offset of {self.points!r} after each of {n_events} events")
        return n_events

    def _read(self, index: int) -> Event:
        table = self._array(self.points, index)
        if self._version == 1:  # its tables of voxels begin with the number of the event in a batch
            table = table[:, 1:]
        coords, feats = table[:, :_VALUE], table[:, _VALUE:]
        if feats.shape[1] == 0:
            raise ValueError(f"expected coordinates and features in {self.points!r}, got {table.shape}")
        semantic = None if self.semantic is None else self._semantic(self.semantic, index)
        instance = None if self.instance is None else self._instance(self.instance, index, coords)
        return Event(coords, feats, semantic, instance, extra=self._of_particles(index, coords))

    def _counts(self) -> npt.NDArray[np.int64] | None:
        if self._version == 1:
            return None
        offsets = self._dataset(f"products/{self.points}/event_offsets")
        check_stored(offsets, len(offsets))
        counts: npt.NDArray[np.int64] = np.diff(offsets[:]).astype(np.int64)
        return counts

    def _semantic(self, name: str, index: int) -> npt.NDArray[np.int64]:
        values = self._array(name, index)
        return _whole(name, values if values.ndim == 1 else values[:, -1])

    def _instance(self, name: str, index: int, coords: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
        if self._is_list(name):
            return self._from_list(name, index, len(coords))
        values = self._array(name, index)
        if values.ndim == 1:
            return _whole(name, values)
        return _whole(name, self._cluster_table(name, values, coords)[:, _CLUSTER])

    def _cluster_table(
        self, name: str, values: npt.NDArray[Any], coords: npt.NDArray[Any]
    ) -> npt.NDArray[Any]:
        """From the coordinates on, which must be those of the voxels."""
        for first in (0, 1):  # tables of format 1 may begin with the number of the event
            if (
                np.array_equal(values[:, first : first + _VALUE], coords)
                and values.shape[1] > first + _CLUSTER
            ):
                return values[:, first:]
        raise ValueError(
            f"expected rows of {name!r} with the coordinates of {self.points!r}, a value and a cluster; got "
            f"{values.shape} for {len(coords)} voxels"
        )

    def _of_particles(self, index: int, coords: npt.NDArray[Any]) -> dict[str, npt.NDArray[np.int64]]:
        """Group, interaction and particle id of each voxel, where the clusters come with their particles."""
        name = self.instance
        if name is None or self._is_list(name) or not self._has_particles(name):
            return {}
        table = self._cluster_table(name, self._array(name, index), coords)
        if self._version == 1:
            particles = self._array(f"{name}_particles", index)
        else:
            particles = self._between(
                f"products/{name}/particles", "event_offsets", index, index + 1, "fixed"
            )
        number = _whole(name, table[:, _CLUSTER + 1])
        if number.max(initial=-1) >= len(particles):
            raise ValueError(f"expected particles below {len(particles)} in {name!r}, got {number.max()}")
        known = number >= 0
        found = {column: np.full(len(number), -1, np.int64) for column in _PARTICLE_COLUMNS}
        for column, values in found.items():
            values[known] = particles[column][number[known]]
        return found

    def _has_particles(self, name: str) -> bool:
        if self._version == 1:
            return f"{name}_particles" in self._file
        return "particles" in self._dataset(f"products/{name}")

    def _from_list(self, name: str, index: int, n: int) -> npt.NDArray[np.int64]:
        labels = np.full(n, -1, np.int64)
        for number, rows in enumerate(self._list(name, index)):
            if len(rows) and not (rows.min() >= 0 and rows.max() < n and (labels[rows] == -1).all()):
                raise ValueError(
                    f"expected clusters in {name!r} that share no voxel, with indices below {n}; cluster "
                    f"{number} is not so"
                )
            labels[rows] = number
        return labels

    def _is_list(self, name: str) -> bool:
        if self._version == 1:
            return isinstance(self._dataset(name), h5py.Group)
        return "element_offsets" in self._dataset(f"products/{name}")

    def _array(self, name: str, index: int) -> npt.NDArray[Any]:
        if self._version == 2:
            return self._between(f"products/{name}", "event_offsets", index, index + 1)
        dataset = self._dataset(name)
        values = np.asarray(dataset[self._dataset("events")[index][name]])
        return values if values.size else np.zeros((0, *dataset.shape[1:]), dataset.dtype)

    def _list(self, name: str, index: int) -> list[npt.NDArray[Any]]:
        if self._version == 1:
            elements, places = self._dataset(f"{name}/elements"), self._dataset(f"{name}/index")
            return [elements[place] for place in places[self._dataset("events")[index][name]]]
        group = f"products/{name}"
        first, last = self._dataset(f"{group}/event_offsets")[index : index + 2].tolist()
        flat = self._between(group, "element_offsets", first, last)
        ends = self._dataset(f"{group}/element_offsets")[first : last + 1]
        return np.split(flat, ends[1:-1] - ends[0]) if last > first else []

    def _between(
        self, group: str, offsets: str, first: int, last: int, name: str = "values"
    ) -> npt.NDArray[Any]:
        """Values from one offset to another."""
        values, ends = self._dataset(f"{group}/{name}"), self._dataset(f"{group}/{offsets}")
        if not 0 <= first <= last < len(ends):
            raise ValueError(
                f"expected {offsets!r} of {group!r} to have more than {last} rows, got {len(ends)}"
            )
        check_stored(ends, last - first + 1)
        used = ends[first : last + 1]
        if not (used[0] >= 0 and used[-1] <= len(values) and (np.diff(used) >= 0).all()):
            raise ValueError(f"expected {offsets!r} of {group!r} to rise from 0 to {len(values)}, got {used}")
        check_stored(values, int(used[-1] - used[0]))
        return np.asarray(values[int(used[0]) : int(used[-1])])


def is_spine(file: Any) -> bool:
    """Whether an open HDF5 file is laid out as SPINE does it.

    No text is read: HDF5 keeps them where it has no checksums, and may not come back from a damaged file.
    """
    return (
        all(name in file and isinstance(file[name], kind) for name, kind in _PARTS.items())
        and {"format", "format_version"} <= file["info"].attrs.keys()
    )


def spine_products(file: Any) -> list[str]:
    """Names of the products of a SPINE file."""
    return list(file["products"] if "products" in file else file["events"].dtype.names or ())


def _whole(name: str, values: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    if not ((np.abs(values) < 2**53) & (values == np.floor(values))).all():
        raise ValueError(f"expected whole numbers in {name!r}, got NaN, fractions or numbers beyond 2^53")
    return values.astype(np.int64)
