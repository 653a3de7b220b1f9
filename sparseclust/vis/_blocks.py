"""Events as the page of the report holds them: a line in its index, and a block of packed arrays."""

import base64
import gzip
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sparseclust.vis._points import Panel, Points, panels, read_points, single_panel

_TYPES = {"int8": "Int8Array", "int16": "Int16Array", "int32": "Int32Array"}
_NO_SCORES: Mapping[int, float] = {}


class ReportEvent(NamedTuple):
    """An event of the report.

    Parameters
    ----------
    title : str
        Name in the list of events.
    event : object
        As in :func:`plot_event`.
    labels : mapping of str to (n,) integers
        Partitions to show beside the truth, as in :func:`plot_comparison`.
    id : str, optional
        What a link to the event ends in, ``#event=ID``; by default its place in the report, from 0.
    scores : mapping of int to float
        Score of each semantic class, 1 the best. The list can be sorted by them, and the worst events of each
        class are shown in pictures. Undefined ones (``nan``) count as missing.
    """

    title: str
    event: Any
    labels: Mapping[str, npt.ArrayLike]
    id: str | None = None
    scores: Mapping[int, float] = _NO_SCORES


def index_entry(number: int, event: ReportEvent) -> dict[str, Any]:
    """Tell what the list of the page shows of an event beside its title."""
    semantic = getattr(event.event, "semantic", None)
    classes, counts = np.unique([] if semantic is None else np.asarray(semantic), return_counts=True)
    return {
        "id": str(number) if event.id is None else event.id,
        "n": len(event.event.coords),
        "classes": dict(zip(classes.astype(int).tolist(), counts.tolist())),
        "scores": {int(c): round(float(s), 6) for c, s in event.scores.items() if np.isfinite(s)},
    }


def pack_event(event: ReportEvent) -> str:
    """Voxels and panels of an event: base64 of gzip of a header in JSON and of little-endian arrays.

    Notes
    -----
    Four bytes with the length of the header, the header, and the arrays it names: one per axis, energy and
    class where known, and for each panel the place of each voxel's label among the labels. All start at
    multiples of eight bytes.
    """
    points = read_points(event.event)
    drawn = _panels(points, event.labels)
    arrays = [_smallest(axis) for axis in points.coords.T]
    arrays += [] if points.energy is None else [points.energy.astype("<f4")]
    arrays += [] if points.semantic is None else [_smallest(points.semantic)]
    names = []
    for panel in drawn:
        labels, first, which = np.unique(panel.labels, return_index=True, return_inverse=True)
        arrays.append(_smallest(which.reshape(-1)))
        # As text, because JavaScript has no exact int64.
        texts = labels.astype(str).tolist()
        names.append({"name": panel.name, "labels": texts, "places": panel.places[first].tolist()})
    header = {
        "n": len(points.coords),
        "ndim": points.ndim,
        "cube": points.cube().tolist(),
        "energy": points.energy is not None,
        "semantic": points.semantic is not None,
        "panels": names,
        "arrays": [_TYPES.get(a.dtype.name, f"Float{8 * a.dtype.itemsize}Array") for a in arrays],
    }
    return _packed(json.dumps(header, separators=(",", ":")).encode(), arrays)


def _panels(points: Points, labels: Mapping[str, npt.ArrayLike]) -> list[Panel]:
    if points.instance is None and not labels:
        return [single_panel(points, None)]
    return panels(points, labels)


def _packed(header: bytes, arrays: list[npt.NDArray[Any]]) -> str:
    header = header.ljust(len(header) + -(len(header) + 4) % 8)
    parts = [len(header).to_bytes(4, "little"), header]
    for array in arrays:
        raw = array.tobytes()
        parts.append(raw.ljust(len(raw) + -len(raw) % 8, b"\0"))
    return base64.b64encode(gzip.compress(b"".join(parts), 6, mtime=0)).decode("ascii")


def _smallest(values: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
    """Little-endian array of the smallest type that JavaScript has for all values."""
    low, high = values.min(initial=0), values.max(initial=0)
    fitting = (t for t in _TYPES if np.iinfo(t).min <= low and high <= np.iinfo(t).max)
    return values.astype(np.dtype(next(fitting, "float64")).newbyteorder("<"))
