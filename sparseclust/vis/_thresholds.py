"""Heat-maps of threshold scans."""

from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from sparseclust._optional import require
from sparseclust.vis._points import class_name

Backend = Literal["plotly", "matplotlib"]


def plot_thresholds(scan: Any, *, backend: Backend = "plotly", title: str | None = None) -> Any:
    """Draw the score over seed and kernel threshold, one heat-map per class, the best pair marked.

    Parameters
    ----------
    scan : object
        With ``classes`` (c,), ``seed_grid`` (s,), ``kernel_grid`` (k,), ``scores`` (c, s, k), ``metric`` and
        ``best``, the best pair of thresholds of each class; such as
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
    >>> grid = {"seed_grid": [0.1, 0.5], "kernel_grid": [0.2, 0.4], "scores": [[[0.1, 0.9], [0.3, 0.2]]]}
    >>> scan = types.SimpleNamespace(classes=[1], metric="sbd", best={1: (0.1, 0.4)}, **grid)
    >>> figure = plot_thresholds(scan)
    >>> figure.layout.annotations[0].text, list(figure.data[1].x), list(figure.data[1].y)
    ('track', [0.4], [0.1])
    """
    if backend not in get_args(Backend):
        raise ValueError(f"backend must be one of {get_args(Backend)}, got {backend!r}")
    scores = np.asarray(scan.scores, np.float64)
    names = [class_name(int(c)) if c >= 0 else "all voxels" for c in scan.classes]
    best = [scan.best[int(c)] for c in scan.classes]
    draw = _plotly if backend == "plotly" else _matplotlib
    return draw(scan, scores, names, best, title or f"mean {scan.metric}")


def _plotly(
    scan: Any, scores: npt.NDArray[np.float64], names: list[str], best: list[tuple[float, float]], title: str
) -> Any:
    go = require("plotly.graph_objects", extra="vis")
    figure = require("plotly.subplots", extra="vis").make_subplots(
        cols=max(len(names), 1), subplot_titles=names, shared_yaxes=True
    )
    for column, (table, (s0, p0)) in enumerate(zip(scores, best), start=1):
        map_ = go.Heatmap(z=table, x=scan.kernel_grid, y=scan.seed_grid, coloraxis="coloraxis")
        mark = go.Scatter(x=[p0], y=[s0], mode="markers", showlegend=False)
        mark.marker = {"symbol": "x", "size": 10, "color": "white", "line": {"color": "black", "width": 1}}
        figure.add_trace(map_, row=1, col=column)
        figure.add_trace(mark, row=1, col=column)
        figure.update_xaxes(title="kernel threshold", row=1, col=column)
    figure.update_yaxes(title="seed threshold", row=1, col=1)
    figure.update_layout(title=title, template="plotly_white", coloraxis={"colorscale": "Viridis"})
    return figure


def _matplotlib(
    scan: Any, scores: npt.NDArray[np.float64], names: list[str], best: list[tuple[float, float]], title: str
) -> Any:
    count = max(len(names), 1)
    figure = require("matplotlib.figure", extra="vis").Figure(
        figsize=(3.5 * count, 3.5), layout="constrained"
    )
    panels = np.atleast_1d(figure.subplots(1, count, sharey=True))
    limits = {"vmin": np.nanmin(scores, initial=0.0), "vmax": np.nanmax(scores, initial=1.0)}
    for axes, table, name, (s0, p0) in zip(panels, scores, names, best):
        drawn = axes.pcolormesh(scan.kernel_grid, scan.seed_grid, table, shading="nearest", **limits)
        axes.plot([p0], [s0], "X", markerfacecolor="white", markeredgecolor="black", markersize=9)
        axes.set_title(name)
        axes.set_xlabel("kernel threshold")
    panels[0].set_ylabel("seed threshold")
    if len(names):
        figure.colorbar(drawn, ax=list(panels))
    figure.suptitle(title)
    return figure
