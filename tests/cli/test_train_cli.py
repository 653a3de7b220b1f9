"""``sparseclust train`` as a user meets it."""

import csv
import subprocess
import sys

import pytest
import torch

from sparseclust.cli import main
from sparseclust.clustering import AffinityGraphClusterer
from sparseclust.data import VoxelInputs
from sparseclust.models import create_model
from sparseclust.pipeline import Predictor

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
    told = capsys.readouterr().err
    assert "spice-small has --size 768, not 96" in told
    assert "--network.base_channels 16, not 4" in told
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def odd_model(tmp_path_factory):
    """A network of a few voxels that no options of the command line are the defaults of."""
    path = tmp_path_factory.mktemp("odd") / "model.pt"
    inputs = VoxelInputs(int(SIZE), energy="linear", max_energy=7.0, n_classes=3)
    size = {"spatial_size": int(SIZE), "base_channels": 6, "depth": 2, "reps": 1, "margin_dim": 3}
    model = create_model(
        "edge_spice", in_channels=7, norm="layer", bridge_radius=3.0, initial_margin=0.2, **size
    )
    clusterer = AffinityGraphClusterer(threshold={0: 0.4, 1: 0.6, 2: 0.5, 3: 0.5})
    Predictor(model, clusterer, inputs=inputs, classes=[0, 1, 3]).save(path)
    return path


def _start(events, output, *options):
    command = ["train", str(events), "--validation", str(events), "--output", str(output), "--max_steps", "1"]
    return main([*command, "--batch_size", "2", "--workers", "0", "--accelerator", "cpu", *options])


def test_what_is_not_given_is_that_of_the_start_model(events, odd_model, tmp_path):
    assert _start(events, tmp_path, "--start", str(odd_model), "--learning_rate", "1e-9") == 0
    start, trained = Predictor.from_pretrained(odd_model), Predictor.from_pretrained(tmp_path / "model.pt")
    assert trained.model.config == start.model.config
    assert trained.inputs == start.inputs
    assert trained.classes == start.classes
    assert trained.clusterer.get_params() == start.clusterer.get_params()


def test_a_file_of_options_may_name_the_start_model(events, odd_model, tmp_path):
    (tmp_path / "options.yaml").write_text(f"start: {odd_model}\nnetwork:\n  bridge_radius: 2\n")
    assert _start(events, tmp_path / "out", "--config", str(tmp_path / "options.yaml")) == 0
    config = Predictor.from_pretrained(tmp_path / "out" / "model.pt").model.config
    assert (config["bridge_radius"], config["base_channels"]) == (2.0, 6)


@pytest.mark.parametrize(
    ("option", "told"),
    [
        (["--network.depth", "3"], "--network.depth 2, not 3"),
        (["--network.input_classes", "4"], "--network.input_classes 3, not 4"),
        (["--network.name", "semantic_unet"], "--network.name edge_spice, not semantic_unet"),
        (["--network.name", "spice"], "does not fit the network"),
    ],
)
def test_an_option_that_differs_from_the_start_model_is_refused(
    events, odd_model, tmp_path, capsys, option, told
):
    assert _start(events, tmp_path, "--start", str(odd_model), *option) == 2
    assert told in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_wider_network_starts_from_a_narrow_one(events, tmp_path, capsys):
    assert _train(events, tmp_path, "--max_steps", "1") == 0
    model = str(tmp_path / "model.pt")
    wider = ["--start", model, "--network.base_channels", "6"]
    assert _start(events, tmp_path / "wide", *wider, "--learning_rate", "1e-9") == 0
    assert f"{model} has 4 features per voxel; 2 more start anew" in capsys.readouterr().out
    narrow, wide = (Predictor.from_pretrained(path / "model.pt") for path in (tmp_path, tmp_path / "wide"))
    assert (narrow.model.config["base_channels"], wide.model.config["base_channels"]) == (4, 6)
    assert narrow.clusterer.get_params() == wide.clusterer.get_params()
    assert _start(events, tmp_path / "no", *wider, "--freeze", "true") == 2
    assert "a wider network has new ones in every layer" in capsys.readouterr().err
    assert _start(events, tmp_path / "no", "--start", model, "--network.base_channels", "3") == 2
    assert "--network.base_channels 4, not 3" in capsys.readouterr().err


def test_a_start_model_may_be_a_classifier(events, tmp_path, capsys):
    """Its network is built and filled, and then there is nothing to train."""
    assert _start(events, tmp_path, "--start", "semantic-small", "--freeze", "true") == 2
    assert "semantic-small has all weights" in capsys.readouterr().err


def test_edges_alone(events, tmp_path, capsys):
    assert _train(events, tmp_path, "--max_steps", "1", "--only", "edges") == 0
    model = tmp_path / "model.pt"
    assert _start(events, tmp_path / "more", "--start", str(model), "--only", "edges") == 0
    first, more = (
        Predictor.from_pretrained(path / "model.pt").model for path in (tmp_path, tmp_path / "more")
    )
    parts = {
        name.split(".")[1] if name.startswith("branches") else "encoder"
        for (name, p), q in zip(first.named_parameters(), more.parameters(), strict=True)
        if not torch.equal(p, q)
    }
    assert parts == {"encoder", "edges"}
    frozen = ["--start", str(model), "--only", "edges", "--freeze", "true"]
    assert _start(events, tmp_path / "frozen", *frozen) == 0
    frozen_state = Predictor.from_pretrained(tmp_path / "frozen" / "model.pt").model.state_dict()
    changed = {n for n, value in first.state_dict().items() if not torch.equal(value, frozen_state[n])}
    assert changed
    others = sorted(name for name in changed if not name.startswith("branches.edges."))
    assert others == []  # nor do the statistics of norms move
    classifier = ["--network.name", "semantic_unet", "--only", "edges"]
    assert _train(events, tmp_path / "refused", "--max_steps", "1", *classifier) == 2
    assert "--only is about edges and embeddings" in capsys.readouterr().err


def test_across_predicted_classes(events, tmp_path, capsys):
    """Classify, learn from that, and label with the same classifier."""
    classifier = ["--model", str(tmp_path / "classifier" / "model.pt")]
    semantic = ["--network.name", "semantic_unet", "--max_steps", "1"]
    assert _train(events, tmp_path / "classifier", *semantic) == 0
    classified = tmp_path / "events.class.h5"
    assert main(["classify", str(events), *classifier, "--min_size", "1", "--output", str(tmp_path)]) == 0
    assert "events.class.h5: 6 events" in capsys.readouterr().out
    assert main(["classify", str(events), *classifier, "--min_size", "1", "--output", str(tmp_path)]) == 0
    assert "finished before" in capsys.readouterr().out
    assert _train(classified, tmp_path / "model", "--max_steps", "2", "--across_classes", "true") == 0
    model = tmp_path / "model" / "model.pt"
    assert Predictor.from_pretrained(model).across_classes == "classified"
    evaluate = ["evaluate", str(events), "--model", str(model), "--semantic", classifier[1]]
    told = []
    for mode in ([], ["--across_classes", "never"], ["--across_classes", "classified"]):
        capsys.readouterr()
        assert main([*evaluate, *mode]) == 0
        told.append(capsys.readouterr().out)
    assert "Whole events" in told[0]
    assert told[0] == told[2] != told[1]
    assert main([*evaluate, "--semantic_views", "2"]) == 0
    assert capsys.readouterr().out != told[0]
    predict = ["predict", str(events), "--model", str(model), "--semantic", classifier[1]]
    assert main([*predict, "--output", str(tmp_path / "pred"), "--across_classes", "always"]) == 0
    capsys.readouterr()
    assert main(["evaluate", str(tmp_path / "pred" / "events.pred.h5")]) == 0
    assert capsys.readouterr().out.splitlines()[1:] == told[0].splitlines()[1:]  # DBSCAN's too
    assert main([*predict, "--output", str(tmp_path / "pred"), "--across_classes", "never"]) == 2
    assert "predictions of other model" in capsys.readouterr().err
    for command in ("predict", "evaluate"):
        assert main([command, str(events), "--model", str(model), "--semantic_views", "2"]) == 2
        assert "--semantic_views changes how a classifier works" in capsys.readouterr().err
    for network in ("semantic_unet", "spice"):
        refused = ["--network.name", network, "--across_classes", "true", "--max_steps", "1"]
        assert _train(events, tmp_path / "refused", *refused) == 2
        assert "across_classes is" in capsys.readouterr().err


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
    first, output = tmp_path / "first", tmp_path / "second"
    assert _train(events, first, "--max_steps", "1") == 0
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    # Without "--" torchrun takes --start for its own --start-method.
    command = ["-m", "--", "sparseclust", "train", str(events), "--validation", str(events), *TINY]
    start = ["--start", str(first / "model.pt")]
    options = ["--batch_size", "2", "--workers", "0", "--accelerator", "cpu", "--max_steps", "4"]
    done = subprocess.run(
        [*torchrun, *command, *options, *start, "--output", str(output)],
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("model:") == 1
    assert sorted(path.name for path in output.iterdir()) == ["last.ckpt", "logs", "model.pt"]
    assert len(list((output / "logs").iterdir())) == 1
    assert torch.load(output / "last.ckpt", weights_only=True)["global_step"] == 4
