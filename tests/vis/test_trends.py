"""Scores against multiplicity."""

import numpy as np
import pytest

from sparseclust.vis import plot_scores, plot_trends, write_report

FIELDS = [
    ("event", int),
    ("semantic", int),
    ("n_true", int),
    ("n_points", int),
    ("sbd", float),
    ("ari", float),
]


@pytest.fixture
def table(rng):
    rows = np.zeros(200, FIELDS)
    rows["semantic"] = rng.integers(0, 2, 200)
    rows["n_true"] = rng.integers(1, 30, 200)
    rows["n_points"] = 100 * rows["n_true"]
    rows["sbd"] = 1 / rows["n_true"]
    return rows


def test_means_of_equally_many_events(table, rng):
    figure = plot_trends({"ours": table, "none": table[:0]})
    assert [a.text for a in figure.layout.annotations] == ["shower", "track"]
    for number, line in enumerate(figure.data[:2]):
        rows = table[table["semantic"] == number]
        assert len(line.x) == len(line.y) == len(line.error_y.array) <= 7
        assert (np.diff(line.x) > 0).all()
        assert (np.diff(line.y) < 0).all()  # 1 / n falls
        assert rows["n_true"].min() <= line.x[0] < line.x[-1] <= rows["n_true"].max()
    assert figure.data[2].x.tolist() == []
    shuffled = plot_trends({"ours": rng.permutation(table)})
    np.testing.assert_allclose(shuffled.data[0].y, figure.data[0].y)


def test_one_bin_per_value_where_there_are_few(table):
    table["n_true"] = table["semantic"] + 1
    table["sbd"][table["semantic"] == 0] = [np.nan] + [0.5] * ((table["semantic"] == 0).sum() - 1)
    line = plot_trends(table).data[0]
    assert (line.x.tolist(), line.y.tolist(), line.error_y.array.tolist()) == ([1.0], [0.5], [0.0])


def test_static_figures(table, tmp_path):
    figure = plot_trends({"ours": table, "other": table}, against="n_points", backend="matplotlib", title="t")
    assert [axes.get_title() for axes in figure.axes] == ["shower", "track"]
    figure.savefig(tmp_path / "x.png")


def test_wrong_arguments(table):
    with pytest.raises(ValueError, match="against must be one of"):
        plot_trends(table, against="energy")
    with pytest.raises(ValueError, match="backend must be one of"):
        plot_trends(table, backend="gnuplot")
    with pytest.raises(ValueError, match="lacks the fields"):
        plot_trends(table[["semantic", "sbd"]])


def test_figures_in_a_report(table, tmp_path):
    figures = [plot_trends({"</script>": table}), plot_scores(table, scores=["sbd"])]
    text = write_report(tmp_path / "r.html", title="r", figures=figures).read_text()
    assert text.count('class="figure">') == 2
    assert '</script>"' not in text
