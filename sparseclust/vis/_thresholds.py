"""Heat-maps and curves of threshold scans."""

from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from sparseclust._optional import require
from sparseclust.vis._points import class_name

Backend = Literal["plotly", "matplotlib"]


def plot_thresholds(scan: Any, *, backend: Backend = "plotly", title: str | None = None) -> Any:
    """Draw the score over two thresholds, one heat-map per class, or over one, a curve; the best is marked.

    Parameters
    ----------
    scan : object
        With ``classes`` (c,), ``grids``, the values (a,) and (b,) of the two parameters by name, ``scores``
        (c, a, b) or (c, b), ``metric`` and ``best``, the best values of each class by name; such as
        :class:`sparseclust.training.ThresholdScan`.
    backend : {"plotly", "matplotlib"}
        Interactive or static.
    title : str, optional
        Title of the figure; by default the name of the score.

    Returns
    -------
    plotly.graph_objects.Figure or matplotlib.figure.Figure

    Raises
    ------
    ImportError
        If the backend is not installed.
    ValueError
        If there is no such backend.

    Examples
    --------
    >>> import types
    >>> grids = {"seed_threshold": [0.1, 0.5], "kernel_threshold": [0.2, 0.4]}
    >>> best = {1: {"seed_threshold": 0.1, "kernel_threshold": 0.4}}
    >>> scores = [[[0.1, 0.9], [0.3, 0.2]]]
    >>> scan = types.SimpleNamespace(classes=[1], metric="sbd", grids=grids, scores=scores, best=best)
    >>> figure = plot_thresholds(scan)
    >>> figure.layout.annotations[0].text, list(figure.data[1].x), list(figure.data[1].y)
    ('track', [0.4], [0.1])
    """
    if backend not in get_args(Backend):
        raise ValueError(f"backend must be one of {get_args(Backend)}, got {backend!r}")
    scores = np.asarray(scan.scores, np.float64)
    names = [class_name(int(c)) if c >= 0 else "all voxels" for c in scan.classes]
    best = [list(scan.best[int(c)].values()) for c in scan.classes]
    draw = _plotly if backend == "plotly" else _matplotlib
    return draw(scan, scores, names, best, title or f"mean {scan.metric}")


def _plotly(
    scan: Any, scores: npt.NDArray[np.float64], names: list[str], best: list[list[float]], title: str
) -> Any:
    go = require("plotly.graph_objects", extra="vis")
    figure = require("plotly.subplots", extra="vis").make_subplots(
        cols=max(len(names), 1), subplot_titles=names, shared_yaxes=True
    )
    *first, (x_name, x_values) = scan.grids.items()
    y_name, y_values = first[0] if first else (f"mean {scan.metric}", [])
    for column, (table, at) in enumerate(zip(scores, best), start=1):
        if first:
            y, x = at
            map_ = go.Heatmap(z=table, x=x_values, y=y_values, coloraxis="coloraxis")
        else:
            x, y = at[0], np.max(table[np.asarray(x_values) == at[0]])
            map_ = go.Scatter(x=x_values, y=table, mode="lines", showlegend=False)
        mark = go.Scatter(x=[x], y=[y], mode="markers", showlegend=False)
        mark.marker = {"symbol": "x", "size": 10, "color": "white", "line": {"color": "black", "width": 1}}
        figure.add_trace(map_, row=1, col=column)
        figure.add_trace(mark, row=1, col=column)
        figure.update_xaxes(title=_title(x_name), type=_scale(x_values), row=1, col=column)
    figure.update_yaxes(type=_scale(y_values))
    figure.update_yaxes(title=_title(y_name), row=1, col=1)
    figure.update_layout(title=title, template="plotly_white", coloraxis={"colorscale": "Viridis"})
    return figure


def _matplotlib(
    scan: Any, scores: npt.NDArray[np.float64], names: list[str], best: list[list[float]], title: str
) -> Any:
    count = max(len(names), 1)
    figure = require("matplotlib.figure", extra="vis").Figure(
        figsize=(3.5 * count, 3.5), layout="constrained"
    )
    panels = np.atleast_1d(figure.subplots(1, count, sharey=True))
    limits = {"vmin": np.nanmin(scores, initial=0.0), "vmax": np.nanmax(scores, initial=1.0)}
    *first, (x_name, x_values) = scan.grids.items()
    y_name, y_values = first[0] if first else (f"mean {scan.metric}", [])
    for axes, table, name, at in zip(panels, scores, names, best):
        if first:
            y, x = at
            drawn = axes.pcolormesh(x_values, y_values, table, shading="nearest", **limits)
        else:
            x, y = at[0], np.max(table[np.asarray(x_values) == at[0]])
            axes.plot(x_values, table)
        axes.plot([x], [y], "X", markerfacecolor="white", markeredgecolor="black", markersize=9)
        axes.set(title=name, xlabel=_title(x_name), xscale=_scale(x_values), yscale=_scale(y_values))
    panels[0].set_ylabel(_title(y_name))
    if len(names) and first:
        figure.colorbar(drawn, ax=list(panels))
    figure.suptitle(title)
    return figure


def _title(name: str) -> str:
    return name.replace("_", " ")


def _scale(values: npt.ArrayLike) -> str:
    """Logarithmic where the values grow by one factor."""
    grid = np.asarray(values, np.float64)
    if len(grid) < 3 or grid[0] <= 0:
        return "linear"
    return "log" if np.allclose(grid[1:] / grid[:-1], grid[1] / grid[0]) else "linear"
