"""Event displays in plotly."""

from typing import Any

import numpy as np

from sparseclust._optional import require
from sparseclust.vis._colours import IntArray, colours
from sparseclust.vis._points import Panel, Points, class_name

AXES = "xyz"
CAMERA = {"eye": {"x": 1.15, "y": 1.15, "z": 0.75}}


def draw(points: Points, panels: list[Panel], title: str | None, marker_size: float) -> Any:
    """One subplot per panel, one trace per panel and class."""
    spatial = points.ndim == 3
    go = require("plotly.graph_objects", extra="vis")
    figure = require("plotly.subplots", extra="vis").make_subplots(
        cols=len(panels),
        specs=[[{"type": "scene" if spatial else "xy"}] * len(panels)],
        subplot_titles=[panel.name for panel in panels],
        horizontal_spacing=0.02,
    )
    scatter = go.Scatter3d if spatial else go.Scattergl
    for column, panel in enumerate(panels, start=1):
        for name, rows in points.by_class():
            trace = scatter(
                **{axis: points.coords[rows, a] for a, axis in enumerate(AXES[: points.ndim])},
                mode="markers",
                marker={"size": marker_size, "color": colours(panel.places[rows]), "line": {"width": 0}},
                name=name,
                legendgroup=name,
                showlegend=column == 1,
                text=_hover(points, panel, rows),
                hoverinfo="text",
            )
            figure.add_trace(trace, row=1, col=column)
    _frame(figure, points)
    figure.update_layout(
        title=title, margin={"l": 0, "r": 0, "b": 0, "t": 60 if title else 30}, template="plotly_white"
    )
    legend = {"title": "class", "itemsizing": "constant", "orientation": "h", "y": 0}
    figure.update_layout(height=560, legend=legend)
    return figure


def _frame(figure: Any, points: Points) -> None:
    ranges = points.cube().tolist()
    if points.ndim == 3:
        axes = {f"{axis}axis": {"range": bounds} for axis, bounds in zip(AXES, ranges)}
        figure.update_scenes(aspectmode="cube", camera=CAMERA, **axes)
    else:
        figure.update_xaxes(range=ranges[0], matches="x", constrain="domain")
        figure.update_yaxes(range=ranges[1], matches="y", scaleanchor="x")


def _hover(points: Points, panel: Panel, rows: IntArray) -> list[str]:
    columns = [[f"label {label}" for label in panel.labels[rows]]]
    if points.semantic is not None:
        columns.append([class_name(int(c)) for c in points.semantic[rows]])
    if points.energy is not None:
        columns.append([f"{energy:.3g} MeV" for energy in points.energy[rows]])
    columns.append([str(tuple(xyz)) for xyz in np.asarray(points.coords[rows]).tolist()])
    return ["<br>".join(lines) for lines in zip(*columns)]
