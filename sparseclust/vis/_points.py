"""What a display needs of an event, read from any object with the right attributes."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sparseclust.vis._colours import CLASS_NAMES, IntArray, matched_slots, ranked_slots, spread


@dataclass(frozen=True)
class Points:
    """Voxels ready to draw."""

    coords: IntArray  # (n, 2 or 3)
    energy: npt.NDArray[np.float32] | None  # (n,)
    semantic: IntArray | None  # (n,)
    instance: IntArray | None  # (n,)

    @property
    def ndim(self) -> int:
        """2 or 3."""
        return int(self.coords.shape[1])

    def cube(self) -> npt.NDArray[np.float64]:
        """Bounds (ndim, 2) of equal length on every axis, so that no direction is stretched."""
        if not len(self.coords):
            return np.tile([-0.5, 0.5], (self.ndim, 1))
        low, high = self.coords.min(axis=0), self.coords.max(axis=0)
        half = 0.53 * max(float((high - low).max()), 1.0)
        centre = (low + high) / 2
        return np.stack([centre - half, centre + half], axis=1)

    def by_class(self) -> Iterator[tuple[str, IntArray]]:
        """Name and rows of each class that occurs; see :func:`rows_by_class`."""
        return rows_by_class(self.semantic, len(self.coords))


@dataclass(frozen=True)
class Panel:
    """One way to cut an event into instances."""

    name: str
    labels: IntArray  # (n,) as given
    places: IntArray  # (n,) in the palette, -1 for none


def class_name(semantic: int) -> str:
    """Name of a semantic class."""
    return CLASS_NAMES.get(semantic, f"class {semantic}")


def rows_by_class(semantic: IntArray | None, n: int) -> Iterator[tuple[str, IntArray]]:
    """Name and rows of each class that occurs; all voxels under one name where no class is known."""
    if semantic is None:
        yield "voxels", np.arange(n)
        return
    for c in np.unique(semantic).tolist():
        yield class_name(c), np.flatnonzero(semantic == c)


def read_points(event: Any) -> Points:
    """Take ``coords`` of an event and, where known, its energy (or column 0 of ``feats``) and truth."""
    coords = np.asarray(event.coords)
    if coords.ndim != 2 or coords.shape[1] not in (2, 3):
        raise ValueError(f"a display needs coords of shape (n, 2) or (n, 3), got {coords.shape}")
    energy = getattr(event, "energy", None)
    if energy is None and getattr(event, "feats", None) is not None:
        energy = np.asarray(event.feats).reshape(len(coords), -1)[:, 0]
    return Points(
        coords=coords.astype(np.int64),
        energy=None if energy is None else read_rows("energy", energy, len(coords)).astype(np.float32),
        semantic=read_labels("semantic", getattr(event, "semantic", None), len(coords)),
        instance=read_labels("instance", getattr(event, "instance", None), len(coords)),
    )


def single_panel(points: Points, labels: npt.ArrayLike | None) -> Panel:
    """Panel of ``labels``, or else of the instances of the event, or else of voxels without instance."""
    given = read_labels("labels", labels, len(points.coords))
    if given is None:
        given = points.instance
    if given is None:
        given = np.full(len(points.coords), -1, np.int64)
    return Panel("", given, *spread(points.coords, [ranked_slots(given)]))


def panels(points: Points, labels: Mapping[str, npt.ArrayLike]) -> list[Panel]:
    """Panels "truth" (where known) and one per entry of ``labels``, in the colours of the first."""
    n = len(points.coords)
    given: dict[str, Any] = {} if points.instance is None else {"truth": points.instance}
    columns = {
        name: read_labels(f"labels[{name!r}]", values, n) for name, values in (given | dict(labels)).items()
    }
    known = {name: values for name, values in columns.items() if values is not None}
    if not known:
        raise ValueError("nothing to compare: the event has no instance and labels is empty")
    reference = ranked_slots(next(iter(known.values())))
    slots = [matched_slots(reference, values) for values in known.values()]
    return [Panel(*panel) for panel in zip(known, known.values(), spread(points.coords, slots))]


def read_labels(name: str, values: Any, n: int) -> IntArray | None:
    """Integers, one per voxel; None stays."""
    if values is None:
        return None
    labels = read_rows(name, values, n)
    if labels.size and not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(f"{name} must be integers, got dtype {labels.dtype}")
    return labels.astype(np.int64)


def read_rows(name: str, values: Any, n: int) -> npt.NDArray[Any]:
    """Array with one value per voxel."""
    array = np.asarray(values)
    if array.shape != (n,):
        raise ValueError(f"{name} must have shape ({n},), one per voxel, got {array.shape}")
    return array
