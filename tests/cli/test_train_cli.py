"""``sparseclust train`` as a user meets it."""

import csv
import subprocess
import sys

import pytest
import torch

from sparseclust.cli import main

SIZE = "96"
TINY = ["--size", SIZE, "--network.base_channels", "4", "--network.depth", "2", "--network.reps", "1"]


@pytest.fixture(scope="module")
def events(tmp_path_factory):
    path = tmp_path_factory.mktemp("train") / "events.h5"
    assert main(["simulate", str(path), "--events", "6", "--size", SIZE]) == 0
    return path


def _train(events, output, *options):
    command = ["train", str(events), "--validation", str(events), "--output", str(output), *TINY]
    return main([*command, "--batch_size", "2", "--workers", "0", "--accelerator", "cpu", *options])


def test_averages_keeps_the_best_and_goes_on_from_it(events, tmp_path, capsys):
    options = ["--max_steps", "4", "--validate_every", "2", "--ema_decay", "0.9", "--patience", "5"]
    assert _train(events, tmp_path / "first", *options) == 0
    first = torch.load(tmp_path / "first" / "model.pt", weights_only=True)
    assert first["info"]["kept"] == "best"
    assert first["info"]["ema_decay"] == 0.9
    capsys.readouterr()
    start = ["--start", str(tmp_path / "first" / "model.pt")]
    assert _train(events, tmp_path / "second", "--max_steps", "1", "--learning_rate", "1e-9", *start) == 0
    second = torch.load(tmp_path / "second" / "model.pt", weights_only=True)
    name = "encoder.stem.weight"
    torch.testing.assert_close(second["state"][name], first["state"][name], rtol=0, atol=1e-7)
    assert "start anew" not in capsys.readouterr().out


def test_a_network_that_does_not_fit_is_refused(events, tmp_path, capsys):
    assert _train(events, tmp_path, "--max_steps", "1", "--start", "spice-small") == 2
    assert "spice-small" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_options_of_the_losses(events, tmp_path, capsys):
    weights = ["--loss.class_weights", "[1, 1, 4, 2, 0.5]"]
    assert _train(events, tmp_path / "refused", "--max_steps", "1", *weights) == 2
    assert "class_weights are for the network semantic_unet" in capsys.readouterr().err
    classifier = ["--network.name", "semantic_unet", *weights]
    assert _train(events, tmp_path / "classes", "--max_steps", "1", *classifier) == 0
    maximin = ["--loss.maximin_weight", "1", "--validate_every", "10"]
    assert _train(events, tmp_path / "edges", "--max_steps", "10", *maximin) == 0
    (log,) = (tmp_path / "edges").glob("logs/*/metrics.csv")
    with log.open() as lines:
        logged = [row["train/maximin_loss"] for row in csv.DictReader(lines)]
    assert any(float(value) > 0 for value in logged if value)


@pytest.mark.slow
def test_torchrun_starts_two_processes(events, tmp_path):
    """One of them speaks and writes; the step, and the epoch, are those of one process."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = ["-m", "sparseclust", "train", str(events), "--validation", str(events), *TINY]
    options = ["--batch_size", "2", "--workers", "0", "--accelerator", "cpu", "--max_steps", "4"]
    done = subprocess.run(
        [*torchrun, *command, *options, "--output", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("model:") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["last.ckpt", "logs", "model.pt"]
    assert len(list((tmp_path / "logs").iterdir())) == 1
    assert torch.load(tmp_path / "last.ckpt", weights_only=True)["global_step"] == 4
