"""Event displays in both backends."""

import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from chromium import chromium

from sparseclust.data import Event
from sparseclust.vis import plot_comparison, plot_event, plot_scores
from sparseclust.vis._colours import NO_INSTANCE, PALETTE

pytest.importorskip("plotly")
pytest.importorskip("matplotlib")

BACKENDS = ("plotly", "matplotlib")


def _event(n: int, ndim: int = 3) -> Event:
    rng = np.random.default_rng(5)
    coords, feats = rng.integers(-50, 50, (n, ndim)), rng.random((n, 1))
    return Event(coords, feats, semantic=rng.integers(0, 3, n), instance=rng.integers(-1, 4, n))


def _n_points(figure: Any) -> int:
    if hasattr(figure, "data"):
        return sum(len(trace.x) for trace in figure.data)
    return sum(len(c.get_offsets()) for axes in figure.axes for c in axes.collections)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("n", [0, 1, 200])
def test_every_voxel_is_drawn_once_per_panel(backend: Any, ndim: int, n: int) -> None:
    event = _event(n, ndim)
    assert _n_points(plot_event(event, backend=backend, title="one")) == n
    labels = {"prediction": np.zeros(n, np.int64), "DBSCAN": np.full(n, -1)}
    figure = plot_comparison(event, labels, backend=backend)
    assert _n_points(figure) == 3 * n
    if backend == "matplotlib":
        assert [axes.get_title() for axes in figure.axes] == ["truth", "prediction", "DBSCAN"]
        figure.canvas.draw()


def test_plotly_traces_hold_coordinates_colours_and_hover_of_their_class() -> None:
    event = Event([[1, 2, 3], [4, 5, 6], [7, 8, 9]], [0.5, 1.0, 2.0], semantic=[1, 0, 1], instance=[8, -1, 2])
    shower, track = plot_event(event).data
    assert (shower.name, track.name) == ("shower", "track")
    assert np.array_equal(np.stack([track.x, track.y, track.z], axis=1), [[1, 2, 3], [7, 8, 9]])
    assert list(track.marker.color) == [1, 0]
    assert list(shower.marker.color) == [-1]
    assert track.customdata.tolist() == [[8, 0.5], [2, 2.0]]
    expected = (
        "label %{customdata[0]}<br>track<br>%{customdata[1]:.3g} MeV<br>(%{x}, %{y}, %{z})<extra></extra>"
    )
    assert track.hovertemplate == expected


def test_plotly_colours_are_those_of_the_palette() -> None:
    (trace,) = plot_event(SimpleNamespace(coords=[[0, 0], [0, 1]], instance=[4, -1])).data
    places = (np.array([-1, *range(16)]) - trace.marker.cmin) / (trace.marker.cmax - trace.marker.cmin)
    assert [(place, colour) for place, colour in trace.marker.colorscale] == [
        (pytest.approx(place), colour) for place, colour in zip(places, [NO_INSTANCE, *PALETTE])
    ]


def test_plotly_keeps_the_digits_of_large_ids() -> None:
    (trace,) = plot_event(SimpleNamespace(coords=[[0, 0]], instance=[(1 << 62) + 1])).data
    assert trace.customdata[0][0] == str((1 << 62) + 1)


def test_labels_replace_the_truth() -> None:
    figure = plot_event(_event(5), labels=np.full(5, -1))
    assert {colour for trace in figure.data for colour in trace.marker.color} == {-1}


def test_an_event_without_truth_or_features() -> None:
    event = SimpleNamespace(coords=np.zeros((2, 3), int))
    (trace,) = plot_event(event).data
    assert trace.name == "voxels"
    assert trace.customdata.tolist() == [[-1], [-1]]
    assert trace.hovertemplate == "label %{customdata[0]}<br>(%{x}, %{y}, %{z})<extra></extra>"
    figure = plot_comparison(event, {"mine": [0, 1]})
    assert len(figure.data) == 1


def test_equal_particles_have_equal_colours() -> None:
    event = Event([[0, 0, i] for i in range(5)], np.ones(5), instance=[0, 0, 1, 1, 2])
    truth, prediction = plot_comparison(event, {"prediction": [7, 7, 3, 3, 3]}).data
    assert list(prediction.marker.color)[:4] == list(truth.marker.color)[:4]


def test_axes_have_one_scale_and_hold_every_voxel() -> None:
    event = Event([[0, 0, 0], [100, 0, 10]], np.ones(2))
    scene = plot_event(event).layout.scene
    ranges = np.array([scene[f"{axis}axis"].range for axis in "xyz"])
    assert np.ptp(ranges, axis=1) == pytest.approx(np.ptp(ranges[0]))
    assert (ranges[:, 0] < event.coords.min(axis=0)).all()
    assert (ranges[:, 1] > event.coords.max(axis=0)).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda e: plot_event(e, backend="gnuplot"), "backend must be one of"),
        (lambda e: plot_event(e, labels=[0]), r"labels must have shape \(3,\)"),
        (lambda e: plot_event(e, labels=[0.5, 1.0, 2.0]), "labels must be integers"),
        (lambda e: plot_event(Event(np.zeros((3, 4)), np.zeros(3))), r"\(n, 2\) or \(n, 3\)"),
        (lambda e: plot_comparison(e, {"mine": [0]}), r"labels\['mine'\] must have shape"),
        (lambda e: plot_comparison(Event(e.coords, e.feats), {}), "nothing to compare"),
    ],
)
def test_bad_input_is_named(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call(_event(3))


def test_only_what_has_several_scenes_brings_a_script() -> None:
    event = _event(5)
    assert "plotly_relayouting" in plot_comparison(event, {"mine": np.zeros(5, int)}).to_html(
        include_plotlyjs=False
    )
    assert "plotly_relayouting" not in plot_event(event).to_html(include_plotlyjs=False)


def test_the_scenes_of_a_figure_turn_together() -> None:
    """The script beside a stand-in for plotly, whose real scenes take a processor half a minute to draw."""
    figure = plot_comparison(_event(5), {"mine": np.zeros(5, int), "DBSCAN": np.zeros(5, int)})
    html = figure.to_html(include_plotlyjs=False, full_html=False, div_id="plot")
    script = html[html.index("const plot =") :].partition('plotly_relayout", follow);')
    with chromium() as page:
        page.run("""
            document.body.innerHTML = "<div id=plot></div>";
            globalThis.calls = [];
            globalThis.heard = {};
            Object.assign(document.getElementById("plot"), {
              _fullLayout: { scene: {}, scene2: {}, scene3: {}, xaxis: {} },
              on: (name, listener) => { heard[name] = listener; },
            });
            globalThis.Plotly = { relayout: async (plot, update) => {
              calls.push(update);
              heard.plotly_relayout(update);  // followers report what they were told
              await new Promise((done) => setTimeout(done, 10));
            } };""")
        page.run("".join(script[:2]))
        page.run("void [1, 2, 3].forEach((eye) => heard.plotly_relayouting({ 'scene2.camera': eye }))")
        page.run("new Promise((done) => setTimeout(done, 100))")
        followers = [{"scene.camera": eye, "scene3.camera": eye} for eye in (1, 3)]
        assert page.run("calls") == followers  # the second view was out of date when its turn came
        page.run("heard.plotly_relayout({ 'scene.camera': 4 }), heard.plotly_relayout({ 'xaxis.range': 5 })")
        assert page.run("calls.slice(2)") == [{"scene2.camera": 4, "scene3.camera": 4}]


def _table(rows: list[tuple[int, int, float]]) -> np.ndarray:
    return np.array(rows, dtype=[("event", "i8"), ("semantic", "i8"), ("ari", "f8")])


def test_plot_scores_draws_each_defined_score_under_its_class() -> None:
    ours = _table([(0, 1, 0.5), (0, 0, 0.9), (1, 1, 0.7), (1, 0, np.nan)])
    dbscan = _table([(0, 1, 0.1)])
    figure = plot_scores({"ours": ours, "DBSCAN": dbscan}, scores=["ari"])
    assert [trace.name for trace in figure.data] == ["ours", "DBSCAN"]
    drawn = list(zip(figure.data[0].x, figure.data[0].y, strict=True))
    assert drawn == [("shower", 0.9), ("track", 0.5), ("track", 0.7)]
    static = plot_scores({"ours": ours, "DBSCAN": dbscan}, scores=["ari"], backend="matplotlib")
    static.canvas.draw()
    levels = {round(float(y), 6) for line in static.axes[0].lines for y in line.get_ydata()}
    assert {0.6, 0.9, 0.1} <= levels  # the median of 0.5 and 0.7 among them
    assert [label.get_text() for label in static.axes[0].get_xticklabels()] == ["shower", "track"]


@pytest.mark.parametrize("backend", BACKENDS)
def test_plot_scores_of_an_empty_table(backend: Any) -> None:
    plot_scores(_table([]), scores=["ari"], backend=backend)


def test_plot_scores_names_missing_fields_and_backends() -> None:
    with pytest.raises(ValueError, match=r"table 'scores' lacks the fields \['sbd'\]"):
        plot_scores(_table([]), scores=["sbd"])
    with pytest.raises(ValueError, match="backend must be one of"):
        plot_scores(_table([]), scores=["ari"], backend="gnuplot")  # type: ignore[arg-type]


def test_without_the_plotting_libraries_the_extra_is_named() -> None:
    program = """
import importlib.util, sys, types
found = importlib.util.find_spec
hidden = {"plotly", "matplotlib"}
importlib.util.find_spec = lambda name, *rest: None if name in hidden else found(name, *rest)
import sparseclust.vis as vis
assert not hidden & sys.modules.keys()
event = types.SimpleNamespace(coords=[[0, 0, 0]])
calls = [lambda: vis.plot_event(event), lambda: vis.plot_event(event, backend="matplotlib"),
         lambda: vis.write_report("never.html", title="", figures=[None])]
for call in calls:
    try:
        call()
    except ImportError as error:
        assert "sparseclust[vis]" in str(error), error
    else:
        raise AssertionError("no ImportError")
"""
    subprocess.run([sys.executable, "-c", program], check=True)
