"""Faults that a prediction meets end in an error that names the file; every fault of the docs has a test."""

import os
import re
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from sparseclust.cli import main
from sparseclust.clustering import AffinityGraphClusterer
from sparseclust.data import VoxelInputs, write_events
from sparseclust.models import create_model
from sparseclust.pipeline import Predictor
from sparseclust.testing import random_event

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "faults.md").read_text(encoding="utf-8")


@pytest.fixture
def folder(tmp_path, rng):
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = create_model("edge_spice", spatial_size=64, base_channels=4, depth=2, reps=1)
    Predictor(model, AffinityGraphClusterer(), inputs=VoxelInputs(64)).save(tmp_path / "model.pt")
    write_events(tmp_path / "good.h5", [random_event(rng) for _ in range(4)])
    return tmp_path


def predict(folder, *files, model="model.pt"):
    inputs = [str(folder / name) for name in files]
    return main(["predict", *inputs, "--model", str(folder / model), "--output", str(folder / "out")])


def error(capsys, status):
    assert status == 2
    return capsys.readouterr().err


class Code:
    """What a pickle calls when it is read."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize("place", ["state", "info"])
def test_a_model_with_code_in_it_is_refused(folder, capsys, place):
    content = torch.load(folder / "model.pt", weights_only=True)
    content[place] = Code(folder / "ran")
    torch.save(content, folder / "code.pt")
    told = error(capsys, predict(folder, "good.h5", model="code.pt"))
    assert "code.pt: cannot be read as a model" in told
    assert not (folder / "ran").exists()
    assert not (folder / "out").exists()


def test_a_model_with_the_wrong_parameters_is_refused(folder, capsys):
    content = torch.load(folder / "model.pt", weights_only=True)
    wide = {**content, "model": {**content["model"], "base_channels": 8}}
    other = {**content, "model": {**content["model"], "arms": 8}}
    nameless = {name: value for name, value in content.items() if name != "state"}
    for number, wrong in enumerate((wide, other, nameless)):
        torch.save(wrong, folder / f"{number}.pt")
        told = error(capsys, predict(folder, "good.h5", model=f"{number}.pt"))
        assert f"{number}.pt: its parameters are not those of the network" in told
    torch.save({"state_dict": content["state"], "optimizer_states": []}, folder / "last.ckpt")
    assert "not a model of sparseclust" in error(capsys, predict(folder, "good.h5", model="last.ckpt"))


def test_a_model_that_makes_nan_is_an_error(folder, capsys):
    content = torch.load(folder / "model.pt", weights_only=True)
    next(values for name, values in content["state"].items() if "mlp" in name).fill_(torch.nan)
    torch.save(content, folder / "nan.pt")
    assert "must not be NaN" in error(capsys, predict(folder, "good.h5", model="nan.pt"))
    assert list((folder / "out").iterdir()) == []


@pytest.mark.parametrize("value", [np.nan, np.inf, -1.0])
def test_nan_in_the_features_names_file_event_and_row(folder, capsys, value):
    with h5py.File(folder / "nan.h5", "w") as file:
        point = file.create_dataset("point", (2,), h5py.vlen_dtype(np.float32))
        cluster = file.create_dataset("cluster", (2,), h5py.vlen_dtype(np.int64))
        for event, energy in enumerate((1.0, value)):
            rows = np.zeros((3, 8), np.float32)
            rows[:, 0] = [1, 2, 3]
            rows[1, 3] = energy
            point[event] = rows.reshape(-1)
            cluster[event] = [3, 0, 0, 0, 1]
    told = error(capsys, predict(folder, "nan.h5", "good.h5"))
    assert "nan.h5: event 1: expected energies (column 3, 'value') that are finite and not negative" in told
    assert f"got {value} in row 1 of 'point'" in told
    assert [path.name for path in (folder / "out").iterdir()] == ["good.pred.h5"]


FULL = """
import resource, signal, sys
from sparseclust.cli import main
from sparseclust.pipeline import Predictor

# A limit on the size of a file stands for a full disk: both make write(2) fail.
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), -1))
sys.exit(main(sys.argv[2:]))
"""


def test_a_full_disk_is_an_error_that_names_the_file(folder):
    command = ["predict", str(folder / "good.h5"), "--model", str(folder / "model.pt")]
    done = subprocess.run(
        [sys.executable, "-c", FULL, "3000", *command, "--output", str(folder / "out")],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert f"File too large: '{folder / 'out' / 'good.pred.h5'}'" in done.stderr
    assert list((folder / "out").iterdir()) == []


def test_every_fault_on_the_page_names_tests_that_exist():
    rows = [line for line in PAGE.splitlines() if line.startswith("| ")]
    rows = [line for line in rows if not line.startswith(("| what happens", "|--"))]
    assert len(rows) > 20
    for line in rows:
        named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", line)
        assert named, line
        for path, test in named:
            assert re.search(rf"^def {test}\(", (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE), line
