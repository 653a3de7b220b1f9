"""Displays of the embedding space."""

from typing import Any, Literal, get_args

import numpy.typing as npt

from sparseclust._optional import require
from sparseclust.vis._cloud import Cloud, read_cloud
from sparseclust.vis._colours import PALETTE, colours
from sparseclust.vis._plotly import COLOURS, hover_columns
from sparseclust.vis._points import rows_by_class

Backend = Literal["plotly", "matplotlib"]


def plot_embeddings(
    embeddings: npt.ArrayLike,
    margins: npt.ArrayLike | None = None,
    seediness: npt.ArrayLike | None = None,
    *,
    labels: npt.ArrayLike | None = None,
    semantic: npt.ArrayLike | None = None,
    kernel_threshold: float = 0.5,
    backend: Backend = "plotly",
    title: str | None = None,
    marker_size: float = 3.0,
) -> Any:
    """Scatter voxels in the embedding space, with the kernel of each instance.

    Parameters
    ----------
    embeddings : (n, d) float, d >= 2
        As the network gives them. Rows that are not finite, such as those of voxels that it did not see, are
        left out.
    margins : (n,), (n, 1) or (n, d) float, optional
        Widths of the kernels, in units of the embedding. The kernel of each instance of ``labels`` is drawn
        where it falls to ``kernel_threshold``: as an ellipse in two dimensions, as three ellipses in more.
    seediness : (n,) float, optional
        Shown by the size of the points. The kernel of an instance is that of its largest seediness; without
        it, the one at the mean of its embeddings, with the mean of its margins.
    labels : (n,) integers, optional
        True or predicted instances, for the colours; -1 is drawn grey.
    semantic : (n,) integers, optional
        Semantic classes: one series of points each, which the legend of plotly switches on and off.
    kernel_threshold : float
        Value of the kernel at the ellipses, between 0 and 1.
    backend : {"plotly", "matplotlib"}
        Interactive, with label, class and seediness under the pointer; or static.
    title : str, optional
        Title of the figure.
    marker_size : float
        Diameter of a voxel of seediness 1/2, in pixels (plotly) or points (matplotlib).

    Returns
    -------
    plotly.graph_objects.Figure or matplotlib.figure.Figure
        In the plane or in space; more dimensions by their first three principal components, which the title
        then says.

    Raises
    ------
    ImportError
        If the backend is not installed.
    ValueError
        If an option is unknown or out of range, or an array has not one row per voxel.

    Notes
    -----
    The kernel ``exp(-|e - mu|^2 / 2 sigma^2)`` reaches the threshold ``p`` at ``sqrt(-2 ln p)`` widths, 1.18
    for one half. Among principal components its ellipses are those of the projected kernel.

    Examples
    --------
    >>> from sparseclust.vis import plot_embeddings
    >>> figure = plot_embeddings([[0.0, 0.0], [0.1, 0.0], [1.0, 1.0]], [0.2, 0.2, 0.3], labels=[0, 0, 1])
    >>> [trace.name for trace in figure.data]
    ['voxels', 'margins', 'margins']
    >>> figure.data[0].marker.color.tolist()
    [0, 0, 1]
    """
    if backend not in get_args(Backend):
        raise ValueError(f"backend must be one of {get_args(Backend)}, got {backend!r}")
    if not 0 < kernel_threshold < 1:
        raise ValueError(f"kernel_threshold must be between 0 and 1, got {kernel_threshold}")
    cloud = read_cloud(embeddings, margins, seediness, labels, semantic, kernel_threshold, title)
    return (_plotly if backend == "plotly" else _matplotlib)(cloud, marker_size)


def _plotly(cloud: Cloud, marker_size: float) -> Any:
    go = require("plotly.graph_objects", extra="vis")
    spatial = cloud.at.shape[1] == 3
    scatter = go.Scatter3d if spatial else go.Scattergl
    figure = go.Figure()
    sizes = cloud.sizes(marker_size)
    for name, rows in rows_by_class(cloud.semantic, len(cloud.at)):
        seeds = None if cloud.seediness is None else cloud.seediness[rows]
        lines = ["label %{customdata[0]}", name, *["seediness %{customdata[1]:.3f}"] * (seeds is not None)]
        figure.add_trace(
            scatter(
                **dict(zip("xyz", cloud.at[rows].T)),
                mode="markers",
                marker={"size": sizes[rows], "color": cloud.places[rows], "line": {"width": 0}, **COLOURS},
                name=name,
                customdata=hover_columns(cloud.labels[rows], seeds),
                hovertemplate="<br>".join(lines) + "<extra></extra>",
            )
        )
    for number, (place, curve) in enumerate(cloud.rings.items()):
        figure.add_trace(
            scatter(
                **dict(zip("xyz", curve.T)),
                mode="lines",
                line={"color": PALETTE[place], "width": 2},
                name="margins",
                legendgroup="margins",
                showlegend=number == 0,
                hoverinfo="skip",
            )
        )
    figure.update_layout(title=cloud.title or None, template="plotly_white", height=640)
    figure.update_layout(legend={"itemsizing": "constant", "orientation": "h", "y": 0 if spatial else -0.1})
    names = {f"{a}axis": {"title": {"text": name}} for a, name in zip("xyz", cloud.axes)}
    if spatial:
        figure.update_scenes(aspectmode="data", **names)
    else:
        figure.update_layout(**names)
        figure.update_yaxes(scaleanchor="x")
    return figure


def _matplotlib(cloud: Cloud, marker_size: float) -> Any:
    figure = require("matplotlib.figure", extra="vis").Figure(figsize=(6.0, 6.0), layout="constrained")
    spatial = cloud.at.shape[1] == 3
    axes = figure.add_subplot(projection="3d" if spatial else None)
    sizes = cloud.sizes(marker_size)
    for name, rows in rows_by_class(cloud.semantic, len(cloud.at)):
        axes.scatter(
            *cloud.at[rows].T, c=colours(cloud.places[rows]), s=sizes[rows] ** 2, linewidths=0, label=name
        )
    for place, curve in cloud.rings.items():
        axes.plot(*curve.T, color=PALETTE[place], linewidth=1)
    for axis, name in zip("xyz", cloud.axes):
        getattr(axes, f"set_{axis}label")(name)
    axes.set_aspect("equal")
    figure.suptitle(cloud.title)
    return figure
