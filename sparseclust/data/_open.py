"""Open event files of any readable format."""

import glob
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from sparseclust.data._event import Event
from sparseclust.data._hdf5 import Hdf5Events, faults_named, open_hdf5
from sparseclust.data._parts import Concatenation
from sparseclust.data._pilarnet import InstanceLabel, PilarnetFile, is_pilarnet
from sparseclust.data._spine import SpineFile, is_spine, spine_products
from sparseclust.data._store import FORMAT, EventStore, is_store
from sparseclust.data._virtual import PARTS

_DEFAULTS = {"label": "fragment", "min_energy": 0.0, "classes": None, "precedence": None, "columns": ()}


def open_events(
    path: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    *,
    label: InstanceLabel = "fragment",
    min_energy: float = 0.0,
    spatial_size: int | None = 768,
    classes: Sequence[int] | None = None,
    precedence: Sequence[int] | None = None,
    columns: Sequence[str] = (),
) -> Sequence[Event]:
    """Open one or several event files, whatever their format.

    Parameters
    ----------
    path : path, pattern, or list of them
        A file, or a pattern such as ``"train/*.h5"``, whose files follow one another in sorted order. The
        entries of a list follow one another as given.
    label, min_energy, spatial_size, classes, precedence, columns
        See :class:`PilarnetFile`. Other files are read as they are: only ``spatial_size`` can be given for
        them, and is not looked at.

    Returns
    -------
    sequence of Event
        For one file a :class:`PilarnetFile`, an :class:`EventStore` or a :class:`SpineFile`, the latter with
        the products ``seg_label`` and ``clust_label`` as truth where it has them. For a file of
        :func:`link_events`, its parts.

    Raises
    ------
    FileNotFoundError
        If no file has this name or matches the pattern.
    ValueError
        If a file has a format that cannot be read, or an option does not apply to it.

    Examples
    --------
    >>> from sparseclust.data import open_events
    >>> events = open_events("train/*.h5", min_energy=0.05)  # doctest: +SKIP
    """
    options = {
        "label": label,
        "min_energy": min_energy,
        "spatial_size": spatial_size,
        "classes": None if classes is None else tuple(classes),
        "precedence": None if precedence is None else tuple(precedence),
        "columns": tuple(columns),
    }
    patterns = [path] if isinstance(path, str | os.PathLike) else list(path)
    if not patterns:
        raise FileNotFoundError("expected at least one file to open, got an empty list")
    names = [name for pattern in patterns for name in _matching(os.fspath(pattern))]
    files = [_open_one(name, options) for name in names]
    return files[0] if len(files) == 1 else Concatenation(files)


def _matching(path: str) -> list[Path]:
    # A name with brackets in it is a name first.
    found = [path] if os.path.exists(path) else sorted(glob.glob(path, recursive=True))
    if not found:
        raise FileNotFoundError(f"{path}: no such file, and no file matches it as a pattern")
    return [Path(name) for name in found]


def _open_one(path: Path, options: dict[str, Any]) -> Hdf5Events | Concatenation:
    with open_hdf5(path) as file, faults_named(str(path)):
        store, pilarnet, found = is_store(file), is_pilarnet(file), list(file)
        products = spine_products(file) if is_spine(file) else None
    if pilarnet and not store:
        return PilarnetFile(path, **options)
    if not store and products is None:
        raise ValueError(
            f"{path}: expected a PILArNet-M file (datasets 'point' and 'cluster', one variable-length row "
            f"per event), an event store (attribute format={FORMAT!r}) or a SPINE file (group 'info' "
            f"with its format, data set 'events'); got an HDF5 file with {found}"
        )
    given = [name for name, value in options.items() if name in _DEFAULTS and value != _DEFAULTS[name]]
    if given:
        raise ValueError(
            f"{path}: {', '.join(given)} choose what is read from PILArNet-M files; this is another kind of "
            "file, whose events are read as they are"
        )
    if products is None:
        return _open_store(path, options)
    semantic, instance = (name if name in products else None for name in ("seg_label", "clust_label"))
    return SpineFile(path, semantic=semantic, instance=instance)


def _open_store(path: Path, options: dict[str, Any]) -> EventStore | Concatenation:
    store = EventStore(path)
    if PARTS not in store.attrs:
        return store
    parts = [path.parent / name for name in store.attrs[PARTS]]
    missing = [str(part) for part in parts if not part.is_file()]
    if missing:
        raise FileNotFoundError(
            f"{path}: shows the events of {len(parts)} other files, {len(missing)} of which are missing: "
            f"{', '.join(missing)}"
        )
    return Concatenation([_open_one(part, options) for part in parts])
