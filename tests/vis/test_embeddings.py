"""The embedding space: positions, rings and what the title says."""

import math
from typing import Any

import numpy as np
import pytest

from sparseclust.vis import plot_embeddings
from sparseclust.vis._colours import PALETTE

pytest.importorskip("plotly")
pytest.importorskip("matplotlib")

BACKENDS = ("plotly", "matplotlib")


def _at(trace: Any) -> np.ndarray:
    return np.column_stack([trace[a] for a in "xyz" if a in trace])


def _points(figure: Any) -> np.ndarray:
    """Scattered points of a plotly figure."""
    return np.concatenate([_at(trace) for trace in figure.data if trace.mode == "markers"])


def _curves(figure: Any) -> list[np.ndarray]:
    """Closed curves of a plotly figure."""
    curves = []
    for at in (_at(trace) for trace in figure.data if trace.mode == "lines"):
        gaps = np.flatnonzero(np.isnan(at[:, 0]))
        curves += [part[~np.isnan(part[:, 0])] for part in np.split(at, gaps)]
    return [curve for curve in curves if len(curve)]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("d", [2, 3, 5])
@pytest.mark.parametrize("n", [0, 1, 40])
def test_every_number_of_points_and_dimensions(
    backend: Any, d: int, n: int, rng: np.random.Generator
) -> None:
    figure = plot_embeddings(
        rng.normal(size=(n, d)), rng.random(n), rng.random(n),
        labels=rng.integers(-1, 4, n), semantic=rng.integers(0, 3, n), backend=backend, title="one",
    )  # fmt: skip
    if backend == "plotly":
        assert len(_points(figure)) == n if n else not figure.data
        title = figure.layout.title.text
    else:
        figure.canvas.draw()
        assert sum(len(c.get_offsets()) for c in figure.axes[0].collections) == n
        title = figure.get_suptitle()
    assert title.startswith("one")
    assert ("5 dimensions: first 3 principal components" in title) == (d == 5)


def test_rings_are_where_the_kernel_of_the_seed_falls_to_the_threshold() -> None:
    x = np.array([[0.0, 0.0], [1.0, 0.0], [5.0, 5.0]])
    margins = np.array([[0.5, 0.5], [0.3, 0.6], [1.0, 2.0]])
    figure = plot_embeddings(x, margins, [0.1, 0.9, 0.5], labels=[0, 0, -1], kernel_threshold=0.2)
    (ring,) = _curves(figure)  # -1 has none
    kernel = np.exp(-(((ring - x[1]) / margins[1]) ** 2).sum(axis=1) / 2)
    np.testing.assert_allclose(kernel, 0.2)
    (line,) = [trace for trace in figure.data if trace.mode == "lines"]
    assert line.line.color == PALETTE[figure.data[0].marker.color[1]]


def test_without_seediness_the_ring_is_the_mean_one() -> None:
    figure = plot_embeddings([[0.0, 0.0], [2.0, 0.0]], [0.2, 0.4], labels=[7, 7])
    (ring,) = _curves(figure)
    np.testing.assert_allclose(np.linalg.norm(ring - [1.0, 0.0], axis=1), 0.3 * math.sqrt(2 * math.log(2)))


def test_in_space_three_ellipses() -> None:
    figure = plot_embeddings([[1.0, 2.0, 3.0]], [[0.1, 0.2, 0.3]], labels=[0])
    curves = _curves(figure)
    assert len(curves) == 3
    for curve in curves:
        scaled = (curve - [1, 2, 3]) / [0.1, 0.2, 0.3]
        np.testing.assert_allclose((scaled**2).sum(axis=1), 2 * math.log(2))


def test_principal_components_keep_what_varies(rng: np.random.Generator) -> None:
    """Points in a turned 3D subspace of 6 dimensions keep their distances, and round kernels their radius."""
    turn = np.linalg.qr(rng.normal(size=(6, 6)))[0]
    inner = np.column_stack([rng.normal(size=(30, 3)), np.zeros((30, 3))])
    x = inner @ turn
    figure = plot_embeddings(x, np.full(30, 0.5), labels=np.zeros(30, int))
    at = _points(figure)
    np.testing.assert_allclose(
        np.linalg.norm(at[:, None] - at, axis=2), np.linalg.norm(x[:, None] - x, axis=2), atol=1e-9
    )
    assert figure.layout.title.text == "6 dimensions: first 3 principal components, 100% of the variance"
    for curve in _curves(figure):
        radius = np.linalg.norm(curve - at.mean(axis=0), axis=1)
        np.testing.assert_allclose(radius, 0.5 * math.sqrt(2 * math.log(2)))


def test_seediness_is_the_size_and_unseen_voxels_are_left_out() -> None:
    x = [[0.0, 0.0], [np.nan, np.nan], [1.0, 1.0], [2.0, 2.0]]
    figure = plot_embeddings(x, seediness=[0.0, np.nan, 0.5, 1.0], labels=[3, 4, 5, 6], marker_size=10)
    (trace,) = figure.data
    assert trace.marker.size.tolist() == pytest.approx([4.0, 10.0, 16.0])
    assert trace.customdata[:, 0].tolist() == [3, 5, 6]
    assert trace.hovertemplate.startswith("label %{customdata[0]}<br>voxels<br>seediness %{customdata[1]")


def test_classes_are_series_of_their_own() -> None:
    figure = plot_embeddings([[0.0, 0.0], [1.0, 1.0]], semantic=[1, 0])
    assert [(trace.name, trace.x.tolist()) for trace in figure.data] == [("shower", [1.0]), ("track", [0.0])]
    assert figure.data[0].marker.color.tolist() == [-1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"embeddings": np.zeros((2, 1))}, r"\(n, d\) with d >= 2"),
        ({"margins": np.zeros((2, 3))}, r"margins must have shape \(2,\), \(2, 1\) or \(2, 2\)"),
        ({"seediness": [0.5]}, r"seediness must have shape \(2,\)"),
        ({"labels": [0.5, 1.0]}, "labels must be integers"),
        ({"semantic": [0]}, r"semantic must have shape \(2,\)"),
        ({"kernel_threshold": 1.0}, "kernel_threshold must be between 0 and 1"),
        ({"backend": "gnuplot"}, "backend must be one of"),
    ],
)
def test_bad_input_is_named(options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        plot_embeddings(**{"embeddings": np.zeros((2, 2)), **options})
