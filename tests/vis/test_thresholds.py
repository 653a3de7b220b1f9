"""Heat-maps of threshold scans."""

import types

import numpy as np
import pytest

from sparseclust.vis import plot_thresholds


@pytest.fixture
def scan():
    return types.SimpleNamespace(
        classes=np.array([0, 1]),
        grids={"seed_threshold": np.array([0.1, 0.5, 0.9]), "kernel_threshold": np.array([0.2, 0.4])},
        scores=np.arange(12.0).reshape(2, 3, 2) / 12,
        metric="sbd",
        best={
            0: {"seed_threshold": 0.9, "kernel_threshold": 0.4},
            1: {"seed_threshold": 0.5, "kernel_threshold": 0.2},
        },
    )


def test_plotly_shows_each_class_and_marks_the_best_pair(scan):
    figure = plot_thresholds(scan)
    assert [a.text for a in figure.layout.annotations] == ["shower", "track"]
    maps, marks = figure.data[::2], figure.data[1::2]
    for drawn, table in zip(maps, scan.scores):
        assert np.array_equal(drawn.z, table)
        assert list(drawn.y) == [0.1, 0.5, 0.9]
    assert [(m.y[0], m.x[0]) for m in marks] == [(0.9, 0.4), (0.5, 0.2)]


def test_matplotlib_shows_each_class_and_marks_the_best_pair(scan):
    figure = plot_thresholds(scan, backend="matplotlib", title="scan")
    first, second = figure.axes[:2]
    assert (first.get_title(), second.get_title()) == ("shower", "track")
    assert np.array_equal(first.collections[0].get_array().reshape(3, 2), scan.scores[0])
    assert second.lines[0].get_xydata().tolist() == [[0.2, 0.5]]


@pytest.mark.parametrize("backend", ["plotly", "matplotlib"])
def test_sizes_that_double_stand_on_a_logarithmic_axis(scan, backend):
    scan.grids = {"min_size": np.array([2, 4, 8]), "threshold": np.array([0.2, 0.4])}
    scan.best = {0: {"min_size": 4, "threshold": 0.2}, 1: {"min_size": 2, "threshold": 0.4}}
    figure = plot_thresholds(scan, backend=backend)
    if backend == "plotly":
        shown = figure.layout.yaxis.title.text, figure.layout.yaxis.type, figure.layout.xaxis.type
    else:
        first = figure.axes[0]
        shown = first.get_ylabel(), first.get_yscale(), first.get_xscale()
    assert shown == ("min size", "log", "linear")


@pytest.mark.parametrize("backend", ["plotly", "matplotlib"])
def test_one_threshold_makes_a_curve(scan, backend):
    scan.grids = {"threshold": np.array([0.2, 0.4, 0.6])}
    scan.scores = np.array([[0.1, 0.9, 0.3], [0.4, 0.3, 0.2]])
    scan.best = {0: {"threshold": 0.4}, 1: {"threshold": 0.2}}
    figure = plot_thresholds(scan, backend=backend)
    if backend == "plotly":
        curves = [list(zip(c.x, c.y)) for c in figure.data]
        shown = figure.layout.yaxis.title.text, figure.layout.xaxis.title.text
    else:
        curves = [list(map(tuple, line.get_xydata())) for axes in figure.axes for line in axes.lines]
        shown = figure.axes[0].get_ylabel(), figure.axes[0].get_xlabel()
    assert shown == ("mean sbd", "threshold")
    assert curves == [
        [(0.2, 0.1), (0.4, 0.9), (0.6, 0.3)],
        [(0.4, 0.9)],
        [(0.2, 0.4), (0.4, 0.3), (0.6, 0.2)],
        [(0.2, 0.4)],
    ]


def test_unknown_backend_for_thresholds(scan):
    with pytest.raises(ValueError, match="backend must be one of"):
        plot_thresholds(scan, backend="ascii")
