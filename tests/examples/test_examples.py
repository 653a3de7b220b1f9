"""The examples run, with less to do than by default, and do what they say."""

import importlib.util
import re
import runpy
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from sparseclust.data import write_events
from sparseclust.data.simulation import EventGenerator
from sparseclust.metrics import adjusted_rand_score
from sparseclust.pipeline import Predictor

FOLDER = Path(__file__).parents[2] / "examples"
FILES = sorted(FOLDER.glob("*.py"))
MINUTES = 0.05  # of training


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_an_example_is_short_and_says_how_to_run_it(path: Path):
    text = path.read_text()
    assert len(text.splitlines()) < 60
    assert text.startswith('"""')
    assert f"\n    python examples/{path.name}" in text
    assert text.endswith(("    main()\n", "    main(*sys.argv[1:])\n"))


@pytest.mark.parametrize("name", ["cluster_arrays", "fine_tune", "score_partitions"])
def test_an_example_that_needs_a_file_says_so(name, monkeypatch):
    monkeypatch.setattr("sys.argv", [f"{name}.py"])
    with pytest.raises(SystemExit, match=f"python examples/{name}.py [a-z]"):
        runpy.run_path(str(FOLDER / f"{name}.py"), run_name="__main__")


def test_every_example_runs_here():
    tested = set(re.findall(r'load\("(\w+)"\)', Path(__file__).read_text()))
    assert tested == {path.stem for path in FILES}


def test_score_partitions(tmp_path, capsys):
    table = tmp_path / "points.csv"
    table.write_text("event,truth,found\n1,a,7\n1,a,7\n1,b,8\n2,a,7\n2,b,7\n")
    example = load("score_partitions")
    example.main(table, "truth", "found")
    assert re.search(r"^ari +0\.230769$", capsys.readouterr().out, re.MULTILINE)
    example.main(table, "truth", "found", "event")
    out = capsys.readouterr().out
    assert re.search(r"^events +2$", out, re.MULTILINE)
    assert re.search(r"^ari +0\.5000 \+- 0\.\d{4}$", out, re.MULTILINE)
    with pytest.raises(SystemExit, match="no column nothing; there are: event, truth, found"):
        example.main(table, "truth", "nothing")


def test_cluster_arrays(tmp_path, rng):
    example = load("cluster_arrays")
    truth, event = rng.integers(0, 2, (2, 200))
    embeddings = truth[:, None] + rng.uniform(-0.02, 0.02, (200, 3))
    given = {"embeddings": embeddings, "event": event}
    sure = {"margins": np.full(200, 0.1), "seediness": rng.uniform(0, 1, 200)}
    for number, arrays in enumerate([given, given | sure]):
        source, target = tmp_path / f"{number}.npz", tmp_path / f"{number}.npy"
        np.savez(source, **arrays)
        example.main(source, target)
        assert adjusted_rand_score(2 * event + truth, np.load(target)) == 1.0


def test_foreign_backbone(capsys):
    load("foreign_backbone").main(steps=2)
    assert re.fullmatch(r"loss \d\.\d{3}; \d+ pixels, \d+ particles\n", capsys.readouterr().out)


def test_own_head(capsys):
    load("own_head").main(steps=12)
    before, after = map(float, re.findall(r"by (\d+\.\d) voxels", capsys.readouterr().out))
    assert after < before


def test_train_on_simulation(tmp_path, capsys):
    load("train_on_simulation").main(tmp_path, minutes=MINUTES, n_events=10)
    assert re.findall(r"^(\w+) +tracks: mean ARI", capsys.readouterr().out, re.MULTILINE) == [
        "sparseclust",
        "DBSCAN",
    ]
    assert (tmp_path / "worst.html").exists()
    assert Predictor.from_pretrained(tmp_path / "model.pt").inputs.spatial_size == 256


def test_fine_tune(tmp_path, capsys):
    path = tmp_path / "events.h5"
    write_events(path, [EventGenerator("crowded", rng=1).event(i) for i in range(10)])
    example = load("fine_tune")
    example.main(path, output=tmp_path, minutes=MINUTES)
    assert re.findall(r"^(before|after) +mean ARI \d", capsys.readouterr().out, re.MULTILINE) == [
        "before",
        "after",
    ]
    tuned, start = map(Predictor.from_pretrained, (tmp_path / "model.pt", "spice-small"))
    assert tuned.clusterer.get_params() == start.clusterer.get_params()
    assert tuned.inputs == start.inputs
    write_events(path, [EventGenerator("crowded", rng=1).event(0)])
    with pytest.raises(SystemExit, match="of 1 events none"):
        example.main(path)


def test_wire_planes(tmp_path, capsys):
    load("wire_planes").main(tmp_path, minutes=MINUTES, n_events=10)
    assert "DBSCAN" in capsys.readouterr().out
    assert (tmp_path / "plane.png").exists()


def test_cell_nuclei(tmp_path, capsys):
    pytest.importorskip("skimage")
    load("cell_nuclei").main(tmp_path, minutes=MINUTES)
    assert "'pq'" in capsys.readouterr().out
    assert (tmp_path / "nuclei.png").exists()


def test_in_another_chain(capsys):
    example = load("in_another_chain")
    example.main(2)
    assert re.search(r"mean ARI 0\.\d{3}, SBD 0\.\d{3}", capsys.readouterr().out)
    voxels = example.chain(1)
    predictor = Predictor.from_pretrained("spice-small")
    order = np.argsort(voxels["energy"])
    shuffled = {name: values[order] for name, values in voxels.items()}
    found = example.find_particles(voxels, predictor)
    assert adjusted_rand_score(found[order], example.find_particles(shuffled, predictor)) == 1.0
