"""One event: voxels with features and, where known, their truth."""

import enum
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

_EMPTY: Mapping[str, npt.NDArray[Any]] = {}


class SemanticClass(enum.IntEnum):
    """Semantic classes of the PILArNet data sets."""

    SHOWER = 0
    TRACK = 1
    MICHEL = 2
    DELTA = 3
    LOW_ENERGY = 4


class Event:
    """The voxels of one event.

    Parameters
    ----------
    coords : (n, ndim) integers
        Voxel indices; any sign. Floats are accepted when they are whole numbers. Kept as int32.
    feats : (n, c) or (n,) numbers
        Features of each voxel, column 0 the deposited energy in MeV for LArTPC events. Kept as float32.
    semantic : (n,) integers, optional
        Semantic class of each voxel, see :class:`SemanticClass`. Kept as int64.
    instance : (n,) integers, optional
        Instance id of each voxel; ``-1`` means none. Kept as int64.
    extra : mapping of str to array, optional
        Further arrays with one row per voxel, carried along untouched.

    Raises
    ------
    ValueError
        If shapes do not agree, a feature is not finite, or a coordinate is no int32.

    Notes
    -----
    Rows keep the order in which they were given; nothing is sorted, merged or dropped.

    Examples
    --------
    >>> from sparseclust.data import Event
    >>> event = Event([[0, 0, 0], [0, 0, 1]], [0.5, 0.7], semantic=[1, 1], instance=[0, 0])
    >>> len(event), event.ndim, event.energy.tolist()
    (2, 3, [0.5, 0.699999988079071])
    """

    __slots__ = ("coords", "extra", "feats", "instance", "semantic")

    coords: npt.NDArray[np.int32]
    feats: npt.NDArray[np.float32]
    semantic: npt.NDArray[np.int64] | None
    instance: npt.NDArray[np.int64] | None
    extra: dict[str, npt.NDArray[Any]]

    def __init__(
        self,
        coords: npt.ArrayLike,
        feats: npt.ArrayLike,
        semantic: npt.ArrayLike | None = None,
        instance: npt.ArrayLike | None = None,
        *,
        extra: Mapping[str, npt.ArrayLike] = _EMPTY,
    ) -> None:
        self.coords = _coordinates(coords)
        n = len(self.coords)
        self.feats = _features(feats, n)
        self.semantic = None if semantic is None else _labels("semantic", semantic, n)
        self.instance = None if instance is None else _labels("instance", instance, n)
        self.extra = {name: _rows(f"extra[{name!r}]", values, n) for name, values in extra.items()}

    @property
    def ndim(self) -> int:
        """Number of spatial axes."""
        return int(self.coords.shape[1])

    @property
    def energy(self) -> npt.NDArray[np.float32]:
        """Column 0 of the features (n,)."""
        return self.feats[:, 0]

    def __len__(self) -> int:
        return len(self.coords)

    def __repr__(self) -> str:
        known = [name for name in ("semantic", "instance") if getattr(self, name) is not None]
        truth = ", ".join(known) or "none"
        return f"Event({len(self)} voxels, ndim={self.ndim}, feats={self.feats.shape[1]}, truth: {truth})"

    def select(self, rows: npt.NDArray[Any] | slice) -> "Event":
        """Return the event made of some rows: a boolean mask, an index array or a slice."""
        return Event(
            self.coords[rows],
            self.feats[rows],
            None if self.semantic is None else self.semantic[rows],
            None if self.instance is None else self.instance[rows],
            extra={name: values[rows] for name, values in self.extra.items()},
        )


def _coordinates(values: npt.ArrayLike) -> npt.NDArray[np.int32]:
    coords = np.asarray(values)
    if coords.ndim != 2 or coords.shape[1] == 0:
        raise ValueError(
            f"coords must have shape (n, ndim), got {coords.shape}; an empty event is np.zeros((0, 3))"
        )
    if coords.size and not np.issubdtype(coords.dtype, np.number):
        raise ValueError(f"coords must be integers, got dtype {coords.dtype}")
    if np.issubdtype(coords.dtype, np.floating) and not np.all(coords == np.floor(coords)):
        raise ValueError(
            "coords must be voxel indices (whole numbers); divide positions by the voxel size and floor them"
        )
    info = np.iinfo(np.int32)
    if coords.size and (coords.min() < info.min or coords.max() > info.max):
        raise ValueError(f"coords must fit int32, got values from {coords.min()} to {coords.max()}")
    return np.ascontiguousarray(coords, np.int32)


def _features(values: npt.ArrayLike, n: int) -> npt.NDArray[np.float32]:
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes inf, which is refused below
        feats = np.asarray(values, np.float32)
    if feats.ndim == 1:
        feats = feats[:, None]
    feats = _rows("feats", feats, n)
    if feats.ndim != 2 or feats.shape[1] == 0:
        raise ValueError(f"feats must have shape (n,) or (n, c), got {feats.shape}")
    bad = np.flatnonzero(~np.isfinite(feats).all(axis=1))
    if len(bad):
        raise ValueError(
            f"feats must be finite: {len(bad)} rows are not, the first is row {bad[0]}: {feats[bad[0]]}"
        )
    return np.ascontiguousarray(feats)


def _labels(name: str, values: npt.ArrayLike, n: int) -> npt.NDArray[np.int64]:
    labels = _rows(name, values, n)
    if labels.ndim != 1:
        raise ValueError(f"{name} must have shape ({n},), got {labels.shape}")
    if labels.size and not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(f"{name} must be integers, got dtype {labels.dtype}")
    return np.ascontiguousarray(labels, np.int64)


def _rows(name: str, values: npt.ArrayLike, n: int) -> npt.NDArray[Any]:
    array = np.asarray(values)
    if array.ndim == 0 or len(array) != n:
        raise ValueError(f"{name} must have one row per voxel ({n}), got shape {array.shape}")
    return array
