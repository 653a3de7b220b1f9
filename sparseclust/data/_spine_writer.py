"""Writing files that SPINE reads."""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sparseclust._version import __version__
from sparseclust.data._event import Event
from sparseclust.data._store_writer import replacing

_EXACT = 2**24  # what the float32 tables of SPINE hold exactly
_CHUNK_ROWS = 8192
_SPANS = "fragment_clusts/spans"  # what the indices of a list count in: the voxels of the event

# How SPINE 1.4 describes the columns of a product. It reads them as YAML, of which JSON is a part.
_NO_RULES: dict[str, Any] = dict.fromkeys(
    ["avg_cols", "index_cols", "overlay_reference", "prec_col", "precedence", "sum_cols"]
)
_PER_VOXEL = {
    **_NO_RULES,
    "coordinate_groups": {},
    "coordinate_modes": {},
    "feature_fields": {"value": [0]},
    "feats_only": True,
    "remove_duplicates": False,
}
_TABLE = {
    **_PER_VOXEL,
    "coordinate_groups": {"points": [0, 1, 2]},
    "coordinate_modes": {"points": "discrete"},
    "feats_only": False,
}
_DESCRIPTIONS: dict[str, dict[str, Any]] = {
    "data": {"product_type": "tensor", "coordinate_width": 3, "has_meta": False, "schema": _TABLE},
    "seg_label": {"product_type": "tensor", "coordinate_width": 0, "has_meta": False, "schema": _PER_VOXEL},
    "clust_label": {
        **_TABLE,
        "product_type": "cluster_label",
        "feature_fields": {"value": [0], "cluster": [1]},
        "has_meta": False,
        "has_particles": False,
    },
    "fragment_clusts": {"product_type": "index_list"},
    "fragment_shapes": {
        "product_type": "tensor",
        "coordinate_width": 0,
        "has_meta": False,
        "schema": _PER_VOXEL,
    },
}


def write_spine(path: str | os.PathLike[str], events: Iterable[Event], *, clusters: str | None = None) -> int:
    """Write events to a file that SPINE 1.4 reads (its HDF5 format 2).

    Parameters
    ----------
    path : path
        File to write; its folder exists. As with :func:`write_events`, a file of that name is replaced once
        all events are written, and a full disk is an error.
    events : iterable of Event
        In three dimensions. Taken one at a time; all have the same truth and number of features.
    clusters : str, optional
        A column of ``extra`` with predicted clusters, e.g. ``"label"`` of the files of ``sparseclust
        predict``; -1 means none.

    Returns
    -------
    int
        Number of events written.

    Raises
    ------
    ValueError
        If an event is not like the first one, lacks ``clusters``, or has instance ids of 2^24 or more, which
        the tables of SPINE cannot hold.
    OSError
        If the file cannot be written; names the path.

    See Also
    --------
    SpineFile : the way back.

    Notes
    -----
    Products: ``data`` (x, y, z, features), ``seg_label`` where classes are known, ``clust_label`` (x, y, z,
    value, cluster) where instances are, and for ``clusters`` the lists ``fragment_clusts``, in the order of
    the labels, with the most frequent class of each in ``fragment_shapes``. Other ``extra`` columns are left
    out.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> from sparseclust.data import Event, SpineFile, write_spine
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "events.h5"
    >>> write_spine(path, [Event([[1, 2, 3]], [0.5], semantic=[1], instance=[7])])
    1
    >>> SpineFile(path)[0].instance.tolist()
    [7]
    """
    target = Path(path)
    with replacing(target) as (file, each):
        file.create_group("info").attrs.update(
            {
                "format": "spine_hdf5",
                "format_version": 2,
                "complete": True,
                "cfg": "",
                "version": f"sparseclust {__version__}",
            }
        )
        writer = _SpineWriter(file.create_group("products"))
        for i, event in enumerate(each(events)):
            try:
                writer.append(_products(event, clusters))
            except ValueError as error:
                raise ValueError(f"{target}: event {i}: {error}") from error
        writer.finish()
        file["events"] = np.arange(writer.n_events)
        return writer.n_events


class _SpineWriter:
    """Flat values of each product and where events, and elements of lists, end in them."""

    def __init__(self, group: Any) -> None:
        self._group = group
        self._ends: dict[str, list[int]] = {}
        self._element_ends: dict[str, list[int]] = {}
        self.n_events = 0

    def append(self, products: dict[str, Any]) -> None:
        if self.n_events == 0:
            for name, value in products.items():
                self._create(name, value)
        if products.keys() != self._ends.keys():
            raise ValueError(f"expected {list(self._ends)} as in the first event, got {list(products)}")
        for name, value in products.items():
            if isinstance(value, list):
                start = self._element_ends[name][-1]
                self._element_ends[name] += (start + np.cumsum([len(rows) for rows in value])).tolist()
                self._extend(name, np.concatenate([np.empty(0, np.int64), *value]))
                self._ends[name].append(self._ends[name][-1] + len(value))
            else:
                self._ends[name].append(self._extend(name, value))
        self.n_events += 1

    def finish(self) -> None:
        for name, ends in self._ends.items():
            self._group[name]["event_offsets"] = np.array(ends, np.int64)
        for name, ends in self._element_ends.items():
            self._group[name]["element_offsets"] = np.array(ends, np.int64)

    def _create(self, name: str, value: Any) -> None:
        group = self._group.create_group(name)
        is_list = isinstance(value, list)
        group.attrs.update({"kind": "list" if is_list else "array", "scalar": name == _SPANS})
        if name in _DESCRIPTIONS:
            group.attrs["product_metadata"] = json.dumps(_DESCRIPTIONS[name])
        row, dtype = ((), np.int64) if is_list else (value.shape[1:], value.dtype)
        group.create_dataset(
            "values",
            (0, *row),
            dtype,
            maxshape=(None, *row),
            chunks=(_CHUNK_ROWS, *row),
            compression="gzip",
            fletcher32=True,
        )
        self._ends[name] = [0]
        if is_list:
            self._element_ends[name] = [0]

    def _extend(self, name: str, values: npt.NDArray[Any]) -> int:
        column = self._group[name]["values"]
        if values.shape[1:] != column.shape[1:]:
            raise ValueError(f"expected rows of {column.shape[1:]} in {name!r}, got {values.shape[1:]}")
        start = len(column)
        column.resize(start + len(values), axis=0)
        column[start:] = values
        return start + len(values)


def _products(event: Event, clusters: str | None) -> dict[str, Any]:
    if event.ndim != 3:
        raise ValueError(f"expected three dimensions, as SPINE has, got {event.ndim}")
    data = np.column_stack([event.coords, event.feats]).astype(np.float32)
    products: dict[str, Any] = {"data": data}
    if event.semantic is not None:
        products["seg_label"] = event.semantic
    if event.instance is not None:
        if np.any(np.abs(event.instance) >= _EXACT):
            raise ValueError("expected instance ids below 2^24, which SPINE's float32 tables hold exactly")
        products["clust_label"] = np.column_stack([data[:, :4], event.instance]).astype(np.float32)
    if clusters is not None:
        if clusters not in event.extra:
            raise ValueError(f"expected the column {clusters!r}, got {', '.join(event.extra) or 'none'}")
        products |= _fragments(event, np.asarray(event.extra[clusters], np.int64))
    return products


def _fragments(event: Event, labels: npt.NDArray[np.int64]) -> dict[str, Any]:
    order = np.argsort(labels, kind="stable")
    order = order[labels[order] >= 0]
    lists = np.split(order, np.flatnonzero(np.diff(labels[order])) + 1) if len(order) else []
    products: dict[str, Any] = {"fragment_clusts": lists, _SPANS: np.array([len(labels)])}
    if event.semantic is not None:
        shapes = [np.bincount(np.maximum(event.semantic[rows], 0)).argmax() for rows in lists]
        products["fragment_shapes"] = np.array(shapes, np.int64)
    return products
