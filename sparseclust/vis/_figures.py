"""Displays of one event."""

from collections.abc import Mapping
from typing import Any, Literal, get_args

import numpy.typing as npt

from sparseclust.vis import _matplotlib, _plotly
from sparseclust.vis._points import Panel, Points, panels, read_points, single_panel

Backend = Literal["plotly", "matplotlib"]


def plot_event(
    event: Any,
    labels: npt.ArrayLike | None = None,
    *,
    backend: Backend = "plotly",
    title: str | None = None,
    marker_size: float = 2.5,
) -> Any:
    """Scatter the voxels of an event, in 2D or 3D, coloured by instance.

    Parameters
    ----------
    event : object
        With ``coords`` (n, 2 or 3), and where known ``energy`` (n,) or ``feats`` (n, c), ``semantic`` (n,)
        and ``instance`` (n,); such as :class:`sparseclust.data.Event`.
    labels : (n,) integers, optional
        Instances to show, instead of those of the event; -1 is drawn grey.
    backend : {"plotly", "matplotlib"}
        Interactive, with energy, label and class under the pointer; or static.
    title : str, optional
        Title of the figure.
    marker_size : float
        Diameter of a voxel, in pixels (plotly) or points (matplotlib).

    Returns
    -------
    plotly.graph_objects.Figure or matplotlib.figure.Figure
        With one series of points per semantic class, which the legend of plotly switches on and off. Colours
        of plotly are places in a palette of sixteen, -1 grey.

    Raises
    ------
    ImportError
        If the backend is not installed.
    ValueError
        If an array has not one row per voxel, or the event is neither 2D nor 3D.

    Notes
    -----
    The colours go round; instances near each other in space get colours that every eye, also one without
    red or green cones, tells apart.

    Examples
    --------
    >>> import types
    >>> event = types.SimpleNamespace(coords=[[0, 0, 0], [0, 0, 1]], instance=[3, 8])
    >>> figure = plot_event(event)
    >>> figure.data[0].marker.color.tolist()
    [0, 1]
    """
    points = read_points(event)
    return _draw(points, [single_panel(points, labels)], backend, title, marker_size)


def plot_comparison(
    event: Any,
    labels: Mapping[str, npt.ArrayLike],
    *,
    backend: Backend = "plotly",
    title: str | None = None,
    marker_size: float = 2.5,
) -> Any:
    """Show the truth of an event and one or more other partitions side by side, from the same point of view.

    Parameters
    ----------
    event : object
        As in :func:`plot_event`. Its ``instance``, where known, is the first panel, ``"truth"``.
    labels : mapping of str to (n,) integers
        Further panels, e.g. ``{"prediction": ..., "DBSCAN": ...}``; -1 is drawn grey.
    backend, title, marker_size
        As in :func:`plot_event`.

    Returns
    -------
    plotly.graph_objects.Figure or matplotlib.figure.Figure

    Raises
    ------
    ImportError
        If the backend is not installed.
    ValueError
        If an array has not one row per voxel, or there is no panel to draw.

    Notes
    -----
    Colours are those of the first panel: clusters are paired with its clusters one to one by largest overlap,
    and a cluster without partner gets a colour of its own. All panels of a plotly figure turn, or zoom,
    together: in 2D everywhere, in 3D in what ``show``, ``write_html`` and ``to_html`` make of it.

    Examples
    --------
    >>> import types
    >>> event = types.SimpleNamespace(coords=[[0, 0], [0, 1], [9, 9]], instance=[0, 0, 1])
    >>> figure = plot_comparison(event, {"prediction": [5, 5, 2]})
    >>> [annotation.text for annotation in figure.layout.annotations]
    ['truth', 'prediction']
    >>> figure.data[1].marker.color.tolist()
    [0, 0, 1]
    """
    points = read_points(event)
    return _draw(points, panels(points, labels), backend, title, marker_size)


def _draw(points: Points, drawn: list[Panel], backend: str, title: str | None, marker_size: float) -> Any:
    if backend not in get_args(Backend):
        raise ValueError(f"backend must be one of {get_args(Backend)}, got {backend!r}")
    module = _plotly if backend == "plotly" else _matplotlib
    return module.draw(points, drawn, title, marker_size)
