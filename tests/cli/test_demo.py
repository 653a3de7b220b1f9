"""The demo, with a few seconds of training instead of minutes."""

import re

import pytest

from sparseclust.cli import main
from sparseclust.cli._demo import _others
from sparseclust.clustering import AffinityGraphClusterer
from sparseclust.data import Event, write_events
from sparseclust.data.simulation import EventGenerator
from sparseclust.pipeline import Predictor

SHORT = ["--test_events", "2", "--shown", "1"]
TRAIN = ["--train", "true", "--minutes", "0.05", "--events", "6"]


def test_demo_makes_everything_it_promises(tmp_path, capsys):
    mine = tmp_path / "mine.h5"
    known = EventGenerator("single:mu-", rng=1).event()
    write_events(mine, [known, known])
    out = tmp_path / "demo"
    assert main(["demo", "--data", str(mine), "--output", str(out), *SHORT, *TRAIN]) == 0
    printed = capsys.readouterr().out
    for name in ("mine.h5", "simulated, pilarnet mix", "simulated, crowded mix"):
        assert f"{name}: 2 events" in printed
    for method in ("sparseclust", "embeddings alone", "untrained", "DBSCAN", "published"):
        assert re.search(rf"{method} +\d\.\d{{3}}", printed)
    assert printed.splitlines()[-3] == f"report: {(out / 'report.html').resolve()}"
    assert "sparseclust predict" in printed.splitlines()[-2]
    page = (out / "report.html").read_text()
    assert "mine.h5, event 0" in page
    assert not re.search(r"<(script|link|img)[^>]+(src|href)=[\"']?http", page)
    assert (out / "event.png").stat().st_size > 10_000
    assert Predictor.from_pretrained(out / "model.pt").inputs.spatial_size == 768


def test_demo_with_the_model_of_the_library(tmp_path, capsys):
    out = tmp_path / "demo"
    assert main(["demo", "--output", str(out), *SHORT]) == 0
    printed = capsys.readouterr().out
    assert "train" not in {path.stem for path in out.iterdir()}
    assert "--model spice-small" in printed
    assert "spice-small" in (out / "report.html").read_text()


def test_what_the_demo_compares_with_is_given_its_best_thresholds_and_no_trained_judge():
    trained = Predictor.from_pretrained("spice-small")
    others = _others(trained, seed=0)
    assert isinstance(others["untrained"].clusterer, AffinityGraphClusterer)
    kernels = others["embeddings alone"].clusterer
    assert kernels.seed_threshold.keys() == kernels.kernel_threshold.keys() == {0, 1, 2, 3}
    assert len(set(kernels.kernel_threshold.values())) > 1  # found, class by class


def test_demo_on_events_without_truth(tmp_path, capsys):
    known = EventGenerator("single:mu-", rng=1).event()
    mine = tmp_path / "mine.h5"
    write_events(mine, [Event(known.coords, known.feats, known.semantic)])
    options = [*SHORT[:-1], "0"]  # no events in the report
    assert main(["demo", "--data", str(mine), "--output", str(tmp_path / "demo"), *options]) == 0
    assert "mine.h5: 1 event" not in capsys.readouterr().out
    assert "mine.h5, event 0" not in (tmp_path / "demo" / "report.html").read_text()
    assert (tmp_path / "demo" / "event.png").exists()


def test_wrong_data_is_known_before_any_work(tmp_path, capsys):
    known = EventGenerator("single:mu-", rng=1).event()
    write_events(tmp_path / "classless.h5", [known, Event(known.coords, known.feats)])
    write_events(tmp_path / "flat.h5", [Event(known.coords[:0, :2], known.feats[:0], known.semantic[:0])])
    for name, complaint in {"no": "no such file", "classless": "event 1", "flat": "3D"}.items():
        arguments = ["demo", "--data", str(tmp_path / f"{name}.h5"), "--output", str(tmp_path / "demo")]
        assert main(arguments) == 2
        err = capsys.readouterr().err
        assert f"{name}.h5" in err
        assert complaint in err
    assert not (tmp_path / "demo").exists()


@pytest.mark.parametrize("option", ["--events=0", "--test_events=0", "--shown=-1"])
def test_wrong_numbers_are_known_before_any_work(tmp_path, option):
    assert main(["demo", "--output", str(tmp_path / "demo"), option]) == 2
    assert not (tmp_path / "demo").exists()
