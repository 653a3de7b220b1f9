"""Scores against the size of the problem."""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt

from sparseclust._optional import require
from sparseclust.vis._points import class_name
from sparseclust.vis._scores import TITLES, method_colour

Backend = Literal["plotly", "matplotlib"]
Against = Literal["n_true", "n_points"]
Table = npt.NDArray[Any]
_BINS = 6
_AXES = {"n_true": "true instances", "n_points": "voxels"}


class _Trend(NamedTuple):
    """Means in bins with about equally many rows."""

    at: npt.NDArray[np.float64]
    mean: npt.NDArray[np.float64]
    error: npt.NDArray[np.float64]


def plot_trends(
    tables: Table | Mapping[str, Table],
    *,
    score: str = "sbd",
    against: Against = "n_true",
    backend: Backend = "plotly",
    title: str | None = None,
) -> Any:
    """Mean of a score against the number of instances or voxels, one panel per semantic class.

    Parameters
    ----------
    tables : structured array, or mapping of str to structured array
        Score tables as :func:`sparseclust.metrics.score_events` returns, one row per event and class; several
        under the names of the methods.
    score : str
        Field to show.
    against : {"n_true", "n_points"}
        True instances, or voxels, of the event and class.
    backend : {"plotly", "matplotlib"}
        Interactive or static.
    title : str, optional
        Title of the figure; by default the name of the score.

    Returns
    -------
    plotly.graph_objects.Figure or matplotlib.figure.Figure
        Points are the means of about equally many events each, with their standard errors.

    Raises
    ------
    ImportError
        If the backend is not installed.
    ValueError
        If an option is unknown, or a table lacks a field.

    Examples
    --------
    >>> import numpy as np
    >>> rows = [(1, 2, 1.0), (1, 2, 0.8), (1, 9, 0.5)]
    >>> table = np.array(rows, dtype=[("semantic", int), ("n_true", int), ("sbd", float)])
    >>> figure = plot_trends({"ours": table})
    >>> figure.data[0].x.tolist(), figure.data[0].y.tolist()
    ([2.0, 9.0], [0.9, 0.5])
    """
    named = tables if isinstance(tables, Mapping) else {"scores": tables}
    for name, value, choices in (("backend", backend, Backend), ("against", against, Against)):
        if value not in get_args(choices):
            raise ValueError(f"{name} must be one of {get_args(choices)}, got {value!r}")
    for name, table in named.items():
        missing = {"semantic", against, score} - set(table.dtype.names or ())
        if missing:
            raise ValueError(f"table {name!r} lacks the fields {sorted(missing)}; it has {table.dtype.names}")
    classes = sorted({int(c) for table in named.values() for c in np.unique(table["semantic"])})
    trends = {
        name: [_trend(table[table["semantic"] == c], score, against) for c in classes]
        for name, table in named.items()
    }
    heading = title or f"mean {TITLES.get(score, score)}"
    draw = _plotly if backend == "plotly" else _matplotlib
    return draw(trends, [class_name(c) for c in classes], _AXES[against], heading)


def _trend(rows: Table, score: str, against: str) -> _Trend:
    rows = rows[~np.isnan(rows[score])]
    rows = rows[np.argsort(rows[against], kind="stable")]
    values = rows[against]
    # A bin ends only where the value changes, so that the order of equal rows does not matter.
    edges = values[[len(rows) * k // _BINS for k in range(1, _BINS)]] if len(rows) else values
    parts = np.split(rows, np.unique(np.searchsorted(values, np.unique(edges), side="right")))
    parts = [part for part in parts if len(part)]
    return _Trend(
        np.array([part[against].mean() for part in parts], np.float64),
        np.array([part[score].mean() for part in parts], np.float64),
        np.array([part[score].std() / np.sqrt(len(part)) for part in parts], np.float64),
    )


def _plotly(trends: Mapping[str, list[_Trend]], names: list[str], axis: str, title: str) -> Any:
    go = require("plotly.graph_objects", extra="vis")
    figure = require("plotly.subplots", extra="vis").make_subplots(
        cols=max(len(names), 1), subplot_titles=names, shared_yaxes=True
    )
    for slot, (method, of_classes) in enumerate(trends.items()):
        for column, trend in enumerate(of_classes, start=1):
            line = go.Scatter(
                x=trend.at,
                y=trend.mean,
                error_y={"array": trend.error, "width": 2},
                mode="lines+markers",
                name=method,
                legendgroup=method,
                showlegend=column == 1,
                line={"color": method_colour(slot)},
            )
            figure.add_trace(line, row=1, col=column)
    figure.update_xaxes(title=axis)
    figure.update_layout(title=title, template="plotly_white")
    return figure


def _matplotlib(trends: Mapping[str, list[_Trend]], names: list[str], axis: str, title: str) -> Any:
    figure = require("matplotlib.figure", extra="vis").Figure(
        figsize=(3.5 * max(len(names), 1), 3.5), layout="constrained"
    )
    panels = np.atleast_1d(figure.subplots(1, max(len(names), 1), sharey=True))
    for slot, (method, of_classes) in enumerate(trends.items()):
        for axes, trend in zip(panels, of_classes):
            axes.errorbar(
                trend.at, trend.mean, trend.error, marker="o", color=method_colour(slot), label=method
            )
    for axes, name in zip(panels, names):
        axes.set(title=name, xlabel=axis)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=8, frameon=False)
    figure.suptitle(title)
    return figure
