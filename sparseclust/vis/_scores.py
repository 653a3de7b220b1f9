"""Distributions of scores."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from sparseclust._optional import require
from sparseclust.vis._colours import PALETTE
from sparseclust.vis._points import class_name

Backend = Literal["plotly", "matplotlib"]
Table = npt.NDArray[Any]
TITLES = {"ari": "ARI", "ami": "AMI", "sbd": "SBD", "f1": "F1", "pq": "PQ"}


def plot_scores(
    tables: Table | Mapping[str, Table],
    *,
    scores: Sequence[str] = ("ari", "purity", "efficiency", "sbd"),
    backend: Backend = "plotly",
    title: str | None = None,
) -> Any:
    """Box plots of scores per semantic class, one method beside the other.

    Parameters
    ----------
    tables : structured array, or mapping of str to structured array
        Score tables as :func:`sparseclust.metrics.score_events` returns, with the fields ``semantic`` and
        ``scores``, one row per event and class; several under the names of the methods.
    scores : sequence of str
        Fields to show, one panel each.
    backend : {"plotly", "matplotlib"}
        Interactive or static.
    title : str, optional
        Title of the figure.

    Returns
    -------
    plotly.graph_objects.Figure or matplotlib.figure.Figure
        Boxes span the quartiles; the mark inside is the median, the dashed one (plotly) or the triangle
        (matplotlib) the mean.

    Raises
    ------
    ImportError
        If the backend is not installed.
    ValueError
        If a table lacks a field.

    Notes
    -----
    Undefined scores (``nan``) are left out.

    Examples
    --------
    >>> import numpy as np
    >>> rows = [(7, 0, 1.0), (7, 1, 0.5), (8, 1, 0.7)]
    >>> table = np.array(rows, dtype=[("event", int), ("semantic", int), ("ari", float)])
    >>> figure = plot_scores({"ours": table}, scores=["ari"])
    >>> figure.data[0].name, list(figure.data[0].x)
    ('ours', ['shower', 'track', 'track'])
    """
    named = tables if isinstance(tables, Mapping) else {"scores": tables}
    if backend not in get_args(Backend):
        raise ValueError(f"backend must be one of {get_args(Backend)}, got {backend!r}")
    for name, table in named.items():
        missing = {"semantic", *scores} - set(table.dtype.names or ())
        if missing:
            raise ValueError(f"table {name!r} lacks the fields {sorted(missing)}; it has {table.dtype.names}")
    return (_plotly if backend == "plotly" else _matplotlib)(named, scores, title)


def _defined(table: Table, score: str) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    keep = ~np.isnan(table[score])
    return table["semantic"][keep], table[score][keep]


def method_colour(slot: int) -> str:
    """Every other colour of the palette: the dark ones, which carry thin lines."""
    return PALETTE[2 * slot % len(PALETTE)]


def _plotly(tables: Mapping[str, Table], scores: Sequence[str], title: str | None) -> Any:
    go = require("plotly.graph_objects", extra="vis")
    figure = require("plotly.subplots", extra="vis").make_subplots(
        cols=len(scores), subplot_titles=[TITLES.get(score, score) for score in scores], shared_yaxes=True
    )
    for column, score in enumerate(scores, start=1):
        for slot, (name, table) in enumerate(tables.items()):
            semantic, values = _defined(table, score)
            order = np.argsort(semantic, kind="stable")
            box = go.Box(
                x=[class_name(int(c)) for c in semantic[order]],
                y=values[order],
                name=name,
                legendgroup=name,
                offsetgroup=name,
                showlegend=column == 1,
                marker={"color": method_colour(slot), "size": 3},
                boxmean=True,
            )
            figure.add_trace(box, row=1, col=column)
    figure.update_layout(title=title, boxmode="group", template="plotly_white")
    return figure


def _matplotlib(tables: Mapping[str, Table], scores: Sequence[str], title: str | None) -> Any:
    figure = require("matplotlib.figure", extra="vis").Figure(
        figsize=(3.5 * len(scores), 3.5), layout="constrained"
    )
    classes = sorted({int(c) for table in tables.values() for c in np.unique(table["semantic"])})
    width = 0.8 / max(len(tables), 1)
    panels = np.atleast_1d(figure.subplots(1, len(scores), sharey=True))
    for axes, score in zip(panels, scores):
        for slot, (name, table) in enumerate(tables.items()):
            semantic, values = _defined(table, score)
            colour = method_colour(slot)
            line = {"color": colour}
            for position, c in enumerate(classes):
                axes.boxplot(
                    values[semantic == c],
                    positions=[position + (slot - (len(tables) - 1) / 2) * width],
                    widths=0.85 * width,
                    showmeans=True,
                    manage_ticks=False,
                    boxprops=line,
                    whiskerprops=line,
                    capprops=line,
                    medianprops=line,
                    meanprops={"markerfacecolor": colour, "markeredgecolor": colour, "markersize": 5},
                    flierprops={"markersize": 2, "markeredgecolor": colour},
                )
            axes.plot([], [], color=colour, label=name)
        axes.set_xticks(range(len(classes)), [class_name(c) for c in classes], rotation=30)
        axes.set_title(TITLES.get(score, score))
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=8, frameon=False)
    figure.suptitle(title or "")
    return figure
