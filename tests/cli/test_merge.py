"""``sparseclust merge``: one file that shows all predictions, and says which are missing."""

import numpy as np
import pytest
import torch

from sparseclust.cli import main
from sparseclust.clustering import AffinityGraphClusterer
from sparseclust.data import EventStore, VoxelInputs, concatenate_events, open_events, write_events
from sparseclust.models import create_model
from sparseclust.pipeline import Predictor
from sparseclust.testing import random_event

SIZE = 64


def predict(folder, *arguments, files="*.h5"):
    fixed = ["--model", str(folder / "model.pt"), "--output", str(folder / "out")]
    assert main(["predict", str(folder / files), *fixed, *arguments]) == 0


def merge(folder, *arguments, files="out/*.h5"):
    return main(["merge", str(folder / files), "--output", str(folder / "out" / "all.h5"), *arguments])


@pytest.fixture
def folder(tmp_path, rng):
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = create_model("edge_spice", spatial_size=SIZE, base_channels=4, depth=2, reps=1)
    Predictor(model, AffinityGraphClusterer(), inputs=VoxelInputs(SIZE)).save(tmp_path / "model.pt")
    for name in "abcd":
        write_events(tmp_path / f"{name}.h5", [random_event(rng, spatial_size=SIZE) for _ in range(2)])
    return tmp_path


def test_merged_predictions_are_all_of_them(folder, capsys):
    for part in ("2/2", "1/2"):
        predict(folder, "--shard", part)
    for _ in range(2):  # the second time, the pattern matches what the first one wrote
        assert merge(folder) == 0
        assert "all.h5: 8 events of 4 files" in capsys.readouterr().out
    merged = open_events(folder / "out" / "all.h5")
    single = concatenate_events(open_events(folder / "out" / f"{name}.pred.h5") for name in "abcd")
    for a, b in zip(merged, single, strict=True):
        np.testing.assert_array_equal(a.coords, b.coords)
        np.testing.assert_array_equal(a.extra["label"], b.extra["label"])
    attrs = EventStore(folder / "out" / "all.h5").attrs
    assert attrs["content"] == "predictions"
    assert "input" not in attrs
    assert main(["evaluate", str(folder / "out" / "all.h5")]) == 0


def test_missing_parts_are_reported(folder, capsys):
    predict(folder, "--shard", "1/3")
    assert merge(folder) == 2
    err = capsys.readouterr().err
    assert "error: input 2 of 4 has no predictions (after a.pred.h5, before d.pred.h5)" in err
    assert "error: input 3 of 4 has no predictions" in err
    assert not (folder / "out" / "all.h5").exists()
    assert merge(folder, "--partial", "true") == 0
    assert "left out: input 2 of 4" in capsys.readouterr().err
    assert len(open_events(folder / "out" / "all.h5")) == 4


def test_faults_are_reported(folder, capsys):
    predict(folder)
    half, other = folder / "out" / "b.pred.h5", folder / "out" / "c.pred.h5"
    half.write_bytes(half.read_bytes()[:-50])
    other.write_bytes((folder / "c.h5").read_bytes())
    assert merge(folder) == 2
    err = capsys.readouterr().err
    assert "b.pred.h5: expected a complete, undamaged HDF5 file" in err
    assert "c.pred.h5: expected a file of `sparseclust predict`" in err
    assert err.count("has no predictions") == 2
    assert merge(folder, "--partial", "true") == 0
    assert len(open_events(folder / "out" / "all.h5")) == 4


def test_what_does_not_belong_together(folder, capsys):
    predict(folder)
    predict(folder, "--embeddings", "true", "--overwrite", "true", "--shard", "2/4")
    assert merge(folder, "--partial", "true") == 2
    assert "b.pred.h5 and" in (err := capsys.readouterr().err)
    assert "other options" in err
    for name in "bcd":
        (folder / "out" / f"{name}.pred.h5").unlink()
    (folder / "out" / "z.h5").write_bytes((folder / "out" / "a.pred.h5").read_bytes())
    assert merge(folder, "--partial", "true") == 2
    assert "both are of input 1" in capsys.readouterr().err
    (folder / "out" / "z.h5").unlink()
    predict(folder, files="[bc].h5")
    assert merge(folder, "--partial", "true") == 2
    assert "one is of 4 inputs, the other of 2" in capsys.readouterr().err


def test_nothing_to_merge(folder, capsys):
    assert merge(folder, "--partial", "true") == 2
    assert "no such file" in capsys.readouterr().err
