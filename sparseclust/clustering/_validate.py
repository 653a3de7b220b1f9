"""Checks at the public boundary of the clusterers: every argument passes here before any work."""

import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from sparseclust._voxels import dense_ids

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

# Layout that compiled functions are specialised for: anything else would compile them anew, for seconds.
_COMPILED: tuple[Literal["C"], Literal["W"]] = ("C", "W")


def compiled_rows(array: npt.NDArray[Any]) -> FloatArray:
    """Return a checked array as compiled functions take it: float64, contiguous, writeable."""
    return np.require(array, np.float64, _COMPILED)


def embedding_rows(values: Any) -> FloatArray:
    """Embeddings as contiguous float64 (n, d), finite, d at least 1."""
    array = _numbers("embeddings", values)
    if array.ndim != 2 or array.shape[1] == 0:
        raise ValueError(
            f"embeddings must have shape (n, d) with d >= 1, got {array.shape}; no voxel is np.zeros((0, d))"
        )
    if len(array) >= 2**31 - 1:
        raise ValueError(f"one call takes at most {2**31 - 2} embeddings, got {len(array)}; split the batch")
    array = compiled_rows(array)
    _refuse_rows("embeddings must be finite", ~np.isfinite(array), array)
    return array


def margin_rows(values: Any, n: int, d: int) -> FloatArray:
    """Margins as contiguous float64, (n, 1) for round kernels or (n, d) for one width per axis."""
    array = _numbers("margins", values)
    if array.ndim == 1:
        array = array[:, None]
    if array.shape not in {(n, 1), (n, d)}:
        raise ValueError(f"margins must have shape ({n},), ({n}, 1) or ({n}, {d}), got {np.shape(values)}")
    array = np.ascontiguousarray(array, np.float64)
    _refuse_rows("margins must be numbers >= 0", ~(array >= 0), array)
    return array


def seediness_rows(values: Any, n: int) -> npt.NDArray[Any]:
    """Seediness as contiguous (n,) of its own floating dtype, at most float64, without NaN."""
    array = _numbers("seediness", values)
    if array.shape not in {(n,), (n, 1)}:
        raise ValueError(f"seediness must have shape ({n},), one value per embedding, got {array.shape}")
    array = np.ascontiguousarray(array.reshape(n))
    if not np.issubdtype(array.dtype, np.floating) or array.itemsize > 8:
        array = array.astype(np.float64)
    _refuse_rows("seediness must not be NaN", np.isnan(array), array)
    return array


def coordinate_rows(values: Any) -> IntArray:
    """Voxel coordinates as contiguous int64 (n, ndim); floats are accepted when they are whole numbers."""
    array = _numbers("coords", values)
    if array.ndim != 2 or array.shape[1] == 0:
        raise ValueError(
            f"coords must have shape (n, ndim), ndim >= 1, got {array.shape}; no voxel is np.zeros((0, 3))"
        )
    if np.issubdtype(array.dtype, np.floating):
        whole = np.isfinite(array) & (np.abs(array) < 2.0**62) & (array == np.floor(array))
        _refuse_rows(
            "coords must be voxel indices (whole numbers; divide positions by the voxel size)", ~whole, array
        )
    return np.require(array, np.int64, _COMPILED)


def integer_rows(name: str, values: Any, n: int) -> npt.NDArray[Any]:
    """Opaque integers (n,)."""
    array = np.asarray(values)
    if array.shape != (n,):
        raise ValueError(f"{name} must have shape ({n},), one value per row, got {array.shape}")
    if n and not np.issubdtype(array.dtype, np.integer):
        raise TypeError(f"{name} must be integers, got dtype {array.dtype}")
    return array


def dense_groups(group: Any, n: int, *, name: str = "group") -> tuple[IntArray, npt.NDArray[Any]]:
    """Group ids (n,) as indices into the sorted distinct ids, and those ids; ``None`` puts all in one."""
    if group is None:
        return np.zeros(n, np.int64), np.zeros(min(n, 1), np.int64)
    return dense_ids(integer_rows(name, group, n))


def edge_rows(edges: Any, n: int) -> IntArray:
    """Edges as contiguous int64 (2, m) with entries in [0, n)."""
    array = np.asarray(edges)
    if array.ndim != 2 or array.shape[0] != 2:
        raise ValueError(f"edges must have shape (2, m), one column per edge, got {array.shape}")
    if array.size and not np.issubdtype(array.dtype, np.integer):
        raise TypeError(f"edges must be integers, got dtype {array.dtype}")
    if array.size and (array.min() < 0 or array.max() >= n):
        outside = ((array < 0) | (array >= n)).any(axis=0)
        at = int(np.flatnonzero(outside)[0])
        raise ValueError(
            f"edges must join rows 0 to {n - 1}: {int(outside.sum())} edges do not, "
            f"the first is edge {at}: {array[:, at].tolist()}"
        )
    return np.require(array, np.int64, _COMPILED)


def affinity_rows(values: Any, m: int) -> FloatArray:
    """Affinities as contiguous float64 (m,), without NaN."""
    array = _numbers("affinity", values)
    if array.shape not in {(m,), (m, 1)}:
        raise ValueError(f"affinity must have shape ({m},), one value per edge, got {array.shape}")
    array = np.ascontiguousarray(array.reshape(m), np.float64)
    _refuse_rows("affinity must not be NaN", np.isnan(array), array)
    return array


def energy_rows(values: Any, n: int) -> FloatArray:
    """Energies as contiguous float64 (n,), finite."""
    array = _numbers("energy", values)
    if array.shape not in {(n,), (n, 1)}:
        raise ValueError(f"energy must have shape ({n},), one value per row, got {array.shape}")
    array = compiled_rows(array.reshape(n))
    _refuse_rows("energy must be finite", ~np.isfinite(array), array)
    return array


def probabilities(name: str, values: FloatArray) -> FloatArray:
    """Check that values lie between 0 and 1."""
    _refuse_rows(f"{name} must lie between 0 and 1", (values < 0) | (values > 1), values)
    return values


def distance(name: str, value: float) -> float:
    """Check a finite distance >= 0 in voxels."""
    if not (math.isfinite(value) and value >= 0):
        raise ValueError(f"{name} must be a finite distance >= 0 in voxels, got {value!r}")
    return float(value)


def count(name: str, value: int, *, least: int = 1) -> int:
    """Check an integer of at least ``least``."""
    if value < least or int(value) != value:
        raise ValueError(f"{name} must be an integer >= {least}, got {value!r}")
    return int(value)


def choice(name: str, value: str, allowed: tuple[str, ...]) -> str:
    """Check one of the allowed words."""
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, allowed))}, got {value!r}")
    return value


def not_nan(name: str, value: float) -> float:
    """Check a number."""
    if math.isnan(value):
        raise ValueError(f"{name} must be a number, got {value!r}")
    return float(value)


def probability(name: str, value: float) -> float:
    """Check a number from 0 to 1."""
    if not 0.0 <= value <= 1.0:
        raise ValueError(f"{name} must lie between 0 and 1, got {value!r}")
    return float(value)


def radii(name: str, values: Sequence[float]) -> tuple[float, ...]:
    """Check at least one finite distance above 0, each larger than the one before."""
    if not values or not all(0 < a < b for a, b in zip((values[0] / 2, *values), (*values, math.inf))):
        raise ValueError(f"{name} must be rising distances above 0 in voxels, got {values!r}")
    return tuple(float(value) for value in values)


def open_unit(name: str, value: float) -> float:
    """Check a number strictly between 0 and 1."""
    if not 0.0 < value < 1.0:
        raise ValueError(f"{name} must lie strictly between 0 and 1, got {value!r}")
    return float(value)


def _numbers(name: str, values: Any) -> npt.NDArray[Any]:
    array = np.asarray(values)
    if array.size and not (np.issubdtype(array.dtype, np.integer) or np.issubdtype(array.dtype, np.floating)):
        raise TypeError(f"{name} must be real numbers, got dtype {array.dtype}")
    return array


def _refuse_rows(message: str, bad: npt.NDArray[np.bool_], array: npt.NDArray[Any]) -> None:
    if bad.any():
        rows = np.flatnonzero(bad.any(axis=1) if bad.ndim == 2 else bad)
        raise ValueError(
            f"{message}: {len(rows)} of {len(array)} rows fail, the first is row {rows[0]}: {array[rows[0]]}"
        )
