"""Event displays in plotly."""

from functools import partial
from importlib import resources
from typing import Any

import numpy as np
import numpy.typing as npt

from sparseclust._optional import require
from sparseclust.vis._colours import NO_INSTANCE, PALETTE, IntArray
from sparseclust.vis._points import Panel, Points

AXES = "xyz"
# Numbers from -1 on as colours: arrays of text would take plotly seconds to check.
COLOURS = {
    "cmin": -1,
    "cmax": len(PALETTE) - 1,
    "colorscale": [[k / len(PALETTE), colour] for k, colour in enumerate((NO_INSTANCE, *PALETTE))],
}
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
    energy = points.energy
    for column, panel in enumerate(panels, start=1):
        for name, rows in points.by_class():
            trace = scatter(
                **{axis: points.coords[rows, a] for a, axis in enumerate(AXES[: points.ndim])},
                mode="markers",
                marker={"size": marker_size, "color": panel.places[rows], "line": {"width": 0}, **COLOURS},
                name=name,
                legendgroup=name,
                showlegend=column == 1,
                customdata=hover_columns(panel.labels[rows], None if energy is None else energy[rows]),
                hovertemplate=_hover_text(points, name),
            )
            figure.add_trace(trace, row=1, col=column)
    _frame(figure, points)
    figure.update_layout(
        title=title, margin={"l": 0, "r": 0, "b": 0, "t": 60 if title else 30}, template="plotly_white"
    )
    legend = {"title": "class", "itemsizing": "constant", "orientation": "h", "y": 0}
    figure.update_layout(height=560, legend=legend)
    if spatial and len(panels) > 1:
        _link(figure)
    return figure


def _link(figure: Any) -> None:
    """Let the figure bring a script along wherever it becomes a page. A copy or a pickle of it does not."""
    script = resources.files("sparseclust.vis").joinpath("_page", "cameras.js").read_text(encoding="utf-8")
    for way in ("show", "to_html", "write_html"):
        setattr(figure, way, partial(getattr(figure, way), post_script=script))


def _frame(figure: Any, points: Points) -> None:
    ranges = points.cube().tolist()
    if points.ndim == 3:
        axes = {f"{axis}axis": {"range": bounds} for axis, bounds in zip(AXES, ranges)}
        figure.update_scenes(aspectmode="cube", camera=CAMERA, **axes)
    else:
        figure.update_xaxes(range=ranges[0], matches="x", constrain="domain")
        figure.update_yaxes(range=ranges[1], matches="y", scaleanchor="x")


def hover_columns(labels: IntArray, values: npt.NDArray[Any] | None) -> npt.NDArray[Any]:
    """Labels and, where known, values for the text under the pointer; labels as text where a float rounds."""
    column = labels.astype(str).astype(object) if np.abs(labels).max(initial=0) >= 2**53 else labels
    return np.column_stack([column] if values is None else [column, values.astype(np.float64)])


def _hover_text(points: Points, class_name: str) -> str:
    lines = ["label %{customdata[0]}"]
    lines += [] if points.semantic is None else [class_name]
    lines += [] if points.energy is None else ["%{customdata[1]:.3g} MeV"]
    place = ", ".join(f"%{{{axis}}}" for axis in AXES[: points.ndim])
    return "<br>".join([*lines, f"({place})<extra></extra>"])
