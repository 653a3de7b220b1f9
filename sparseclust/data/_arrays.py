"""Events from arrays in memory, of whatever library."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from sparseclust._optional import require
from sparseclust.data._event import Event

_EMPTY: Mapping[str, Any] = {}
_EXTRA = "extra: "


def events_from_arrays(
    coords: Any,
    feats: Any,
    *,
    event: Any = None,
    counts: Any = None,
    semantic: Any = None,
    instance: Any = None,
    extra: Mapping[str, Any] = _EMPTY,
) -> list[Event]:
    """Make events of arrays that hold the voxels of several.

    Parameters
    ----------
    coords : (N, ndim) array
        Voxel indices of all events: a numpy array, a torch tensor on any device, anything numpy understands.
        Or an awkward array of one list per event; then every other array is one too and neither ``event`` nor
        ``counts`` is given.
    feats : (N,) or (N, c) array
        Features, column 0 the energy in MeV.
    event : (N,) integers, optional
        Id of the event of each voxel, in any order. The events come out in the order of their ids.
    counts : (n_events,) integers, optional
        Or the number of voxels of each event, which follow one another in the arrays; may be 0. Without
        ``event`` and ``counts`` all voxels are one event.
    semantic, instance : (N,) integers, optional
        Truth.
    extra : mapping of str to (N, ...) array
        Further columns.

    Returns
    -------
    list of Event
        Voxels in the order in which they were given.

    Raises
    ------
    ValueError
        If lengths disagree, both ``event`` and ``counts`` are given, or the arrays are no events.

    Notes
    -----
    A batch with the event in column 0 of its coordinates, as :class:`SparseTensor` has it, is
    ``events_from_arrays(coords[:, 1:], feats, event=coords[:, 0])``.

    Examples
    --------
    >>> from sparseclust.data import events_from_arrays
    >>> coords = [[0, 0, 0], [0, 0, 1], [5, 5, 5]]
    >>> events = events_from_arrays(coords, [0.5, 0.7, 0.1], counts=[2, 0, 1], instance=[0, 0, 4])
    >>> [len(event) for event in events], events[2].instance.tolist()
    ([2, 0, 1], [4])
    """
    columns = {"coords": coords, "feats": feats, "semantic": semantic, "instance": instance}
    columns = {name: values for name, values in columns.items() if values is not None}
    columns |= {_EXTRA + name: values for name, values in extra.items()}
    if event is not None and counts is not None:
        raise ValueError("expected event or counts, got both; they say the same")
    if _is_jagged(coords):
        if event is not None or counts is not None:
            raise ValueError("an awkward array of one list per event needs neither event nor counts")
        columns, counts = _flattened(columns)
    arrays = {name: _array(values) for name, values in columns.items()}
    n = len(np.atleast_1d(arrays["coords"]))
    wrong = {name: values.shape for name, values in arrays.items() if values.shape[:1] != (n,)}
    if wrong:
        raise ValueError(f"expected one row per voxel ({n}) in every array, got {wrong}")
    return [_event(arrays, rows) for rows in _rows(n, event, counts)]


def events_from_table(
    table: Any,
    *,
    coords: Sequence[str] = ("x", "y", "z"),
    feats: Sequence[str] = ("energy",),
    event: str | None = None,
    semantic: str | None = None,
    instance: str | None = None,
    extra: Sequence[str] = (),
) -> list[Event]:
    """Make events of a table with one row per voxel.

    Parameters
    ----------
    table : pandas.DataFrame, structured array, or mapping of str to array
        Whatever gives a column when asked for its name.
    coords, feats : sequence of str
        Columns with the voxel indices and the features.
    event : str, optional
        Column with the id of the event; the events come out in the order of their ids. Without it all rows
        are one event.
    semantic, instance : str, optional
        Columns with the truth.
    extra : sequence of str
        Further columns to carry along.

    Returns
    -------
    list of Event
        Voxels in the order of the rows.

    Raises
    ------
    ValueError
        If a column is missing, or the columns are no events.

    Examples
    --------
    >>> from sparseclust.data import events_from_table
    >>> table = {"x": [0, 5, 0], "y": [0, 5, 1], "energy": [0.5, 0.1, 0.7], "run": [12, 13, 12]}
    >>> events_from_table(table, coords=("x", "y"), event="run")
    [Event(2 voxels, ndim=2, feats=1, truth: none), Event(1 voxels, ndim=2, feats=1, truth: none)]
    """

    def column(name: str | None) -> npt.NDArray[Any] | None:
        return None if name is None else _column(table, name)

    return events_from_arrays(
        np.column_stack([_column(table, name) for name in coords]),
        np.column_stack([_column(table, name) for name in feats]),
        event=column(event),
        semantic=column(semantic),
        instance=column(instance),
        extra={name: _column(table, name) for name in extra},
    )


def _column(table: Any, name: str) -> npt.NDArray[Any]:
    try:
        return _array(table[name])
    except (KeyError, ValueError) as error:  # a structured array says ValueError
        raise ValueError(f"the table has no column {name!r}") from error


def _array(values: Any) -> npt.NDArray[Any]:
    if hasattr(values, "detach"):  # a tensor, perhaps on a device or part of a graph
        values = values.detach().cpu()
    return np.asarray(values)


def _is_jagged(values: Any) -> bool:
    return type(values).__module__.partition(".")[0] == "awkward" and values.ndim == 3


def _flattened(columns: Mapping[str, Any]) -> tuple[dict[str, Any], npt.NDArray[np.int64]]:
    ak = require("awkward", extra="arrays")
    counts = {name: ak.to_numpy(ak.num(values, axis=1)) for name, values in columns.items()}
    for name, found in counts.items():
        if not np.array_equal(found, counts["coords"]):
            raise ValueError(f"expected {name} to have as many rows in each event as coords has")
    flat = {
        name: ak.to_numpy(ak.flatten(values, axis=1), allow_missing=False) for name, values in columns.items()
    }
    return flat, counts["coords"]


def _rows(n: int, event: Any, counts: Any) -> Sequence[npt.NDArray[np.int64]]:
    """Rows of each event."""
    order = np.arange(n)
    if event is not None:
        ids = _array(event)
        if ids.shape != (n,) or (n and not np.issubdtype(ids.dtype, np.number)):
            raise ValueError(
                f"expected event to be the id of each voxel, ({n},), got {ids.dtype} {ids.shape}"
            )
        order = np.argsort(ids, kind="stable")
        counts = np.unique(ids, return_counts=True)[1]
    elif counts is None:
        counts = [n]
    sizes = _array(counts)
    if sizes.ndim != 1 or np.any(sizes < 0) or sizes.sum() != n:
        raise ValueError(f"expected counts that are not negative and add up to {n} voxels, got {sizes}")
    ends = np.cumsum(sizes.astype(np.int64))
    return np.split(order, ends[:-1]) if len(ends) else []


def _event(arrays: Mapping[str, npt.NDArray[Any]], rows: npt.NDArray[np.int64]) -> Event:
    columns = {name: values[rows] for name, values in arrays.items()}
    return Event(
        columns.pop("coords"),
        columns.pop("feats"),
        columns.pop("semantic", None),
        columns.pop("instance", None),
        extra={name.removeprefix(_EXTRA): values for name, values in columns.items()},
    )
