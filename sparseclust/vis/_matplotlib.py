"""Event displays in matplotlib."""

from typing import Any

from sparseclust._optional import require
from sparseclust.vis._colours import colours
from sparseclust.vis._points import Panel, Points

AXES = "xyz"


def draw(points: Points, panels: list[Panel], title: str | None, marker_size: float) -> Any:
    """One axes per panel, one collection per panel and class; no global figure state."""
    figure = require("matplotlib.figure", extra="vis").Figure(
        figsize=(5.0 * len(panels), 5.0), layout="constrained"
    )
    bounds = points.cube()
    for column, panel in enumerate(panels, start=1):
        axes = figure.add_subplot(1, len(panels), column, projection="3d" if points.ndim == 3 else None)
        for name, rows in points.by_class():
            xyz = points.coords[rows].T
            axes.scatter(*xyz, c=colours(panel.places[rows]), s=marker_size**2, linewidths=0, label=name)
        for axis, limits in zip(AXES, bounds):
            getattr(axes, f"set_{axis}lim")(*limits)
            getattr(axes, f"set_{axis}label")(axis)
        if points.ndim == 3:
            axes.set_box_aspect((1, 1, 1), zoom=0.85)  # the bounds are a cube; leave room for the labels
        else:
            axes.set_aspect("equal")
        axes.locator_params(nbins=5)
        axes.set_title(panel.name, y=0.96 if points.ndim == 3 else None)
    figure.suptitle(title or "")
    return figure
