"""Our components in SPINE's own driver: labels as by our predictor, and SPINE trains our network."""

import csv
import importlib.util
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from sparseclust.data import Event, open_events, write_spine
from sparseclust.data.simulation import EventGenerator
from sparseclust.pipeline import Predictor
from sparseclust.training import Scorer

CONFIG = Path(__file__).resolve().parents[2] / "examples" / "in_spine" / "chain.yaml"
SIZE = 64
INSTALLED = importlib.util.find_spec("spine") is not None
pytestmark = [
    pytest.mark.skipif(not INSTALLED, reason="SPINE is not installed: pip install 'spine>=1.4.3,<1.5'"),
    # Files of events carry no run numbers; SPINE says so at every event.
    pytest.mark.filterwarnings("ignore:`run_info` is missing"),
]


def driver(cfg):
    """SPINE is imported by the tests that need it, not by every process that collects them."""
    from spine.driver import Driver

    return Driver(cfg)


@pytest.fixture(scope="module")
def events_file(tmp_path_factory):
    generator = EventGenerator("pilarnet", spatial_size=SIZE, rng=4)
    events = [generator.event(i) for i in range(2)]
    nothing = Event(np.zeros((0, 3), int), np.zeros(0), np.zeros(0, int), np.zeros(0, int))
    path = tmp_path_factory.mktemp("spine") / "events.h5"
    write_spine(path, [events[0], nothing, events[1]])
    return path


def config(path, folder, *, stages, model=None, **blocks):
    """What ``chain.yaml`` says, for a file, a folder and other stages."""
    import yaml

    cfg = yaml.safe_load(CONFIG.read_text())
    cfg["base"] |= {"log_dir": str(folder)}
    cfg["io"]["loader"]["dataset"]["file_keys"] = str(path)
    cfg["model"]["modules"]["chain"]["stages"] = stages or cfg["model"]["modules"]["chain"]["stages"]
    cfg["model"]["modules"] |= (model or {}).pop("modules", {})
    cfg["model"] |= model or {}
    return cfg | blocks


def fragments(data):
    """Labels of each event of what the driver returns."""
    for tensor, pieces in zip(data["data"], data["fragment_clusts"]):
        labels = np.full(len(tensor.coords), -1)
        for number, rows in enumerate(pieces):
            labels[rows] = number
        yield labels


def test_fragments_are_the_clusters_of_the_predictor(events_file, tmp_path):
    import in_spine

    in_spine.register_scores()
    chain = driver(config(events_file, tmp_path, stages=None))
    data = chain.process()
    chain.ana.close()
    events = list(open_events(events_file))
    scorer = Scorer()
    predictions = Predictor.from_pretrained("spice-small").predict(events)
    for found, prediction, shapes in zip(fragments(data), predictions, data["fragment_shapes"], strict=True):
        ours = np.unique(prediction.labels, return_inverse=True)[1] - bool((prediction.labels < 0).any())
        assert np.array_equal(found, ours)
        first = [np.flatnonzero(found == number)[0] for number in range(found.max(initial=-1) + 1)]
        assert np.array_equal(np.asarray(shapes), prediction.event.semantic[first])
        scorer.add(prediction.event, prediction.labels)
    with open(tmp_path / "partition_scores_fragment_clusts.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    table = scorer.table()
    assert [int(row["index"]) for row in rows] == table["event"].tolist()
    for name in ("semantic", "ari", "purity", "efficiency", "sbd", "n_true", "n_pred", "n_points"):
        assert [float(row[name]) for row in rows] == pytest.approx(table[name].tolist(), nan_ok=True)


@pytest.mark.parametrize("kind", ["kernels", "graph"])
def test_spine_trains_our_network(events_file, tmp_path, kind):
    network = {"name": "edge_spice", "base_channels": 4, "depth": 2, "reps": 1, "spatial_size": SIZE}
    stages = [
        {
            "name": "network",
            "provider": "in_spine:NETWORK",
            "model": network,
            "inputs": {"spatial_size": SIZE},
            "loss": "network_loss",
        },
        {"name": "clusterer", "provider": "in_spine:CLUSTERER", "kind": kind, "min_size": 2},
    ]
    chain = driver(
        config(
            events_file,
            tmp_path,
            stages=stages,
            model={
                "loss_input": {"clust_label": "clust_label"},
                "modules": {"network_loss": {"affinity": {"cut_weight": 3.0}}},
            },
            train={
                "optimizer": {"provider": "Adam", "lr": 0.01},
                "weight_prefix": str(tmp_path / "snapshot"),
                "save_epoch": 4,
            },
            ana=None,
        )
        | {"base": {"world_size": 0, "seed": 0, "epochs": 4, "unwrap": True, "log_dir": str(tmp_path)}}
    )
    chain.run()
    (log,) = tmp_path.glob("train_log*.csv")
    with open(log, newline="") as file:
        rows = list(csv.DictReader(file))
    losses = [float(row["loss"]) for row in rows]
    assert len(losses) == 4
    assert losses[-1] < losses[0]
    assert {"network_mask", "network_seed", "network_join", "network_cut"} <= rows[0].keys()
    (checkpoint,) = tmp_path.glob("snapshot*.ckpt")
    state = torch.load(checkpoint, weights_only=False)["state_dict"]
    assert set(state) == {f"network.{name}" for name in chain.model.net.network.state_dict()}


def test_a_clusterer_without_its_products_is_refused_before_any_event(events_file, tmp_path):
    stages = [{"name": "clusterer", "provider": "in_spine:CLUSTERER", "kind": "graph"}]
    with pytest.raises(ValueError, match="requires unavailable products: affinity, edges"):
        driver(config(events_file, tmp_path, stages=stages, ana=None))


def test_the_command_line_is_that_of_spine(events_file, tmp_path, monkeypatch):
    arguments = ["-c", str(CONFIG), "-s", str(events_file), "--log-dir", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["in_spine", *arguments])
    runpy.run_module("in_spine", run_name="__main__")
    assert (tmp_path / "partition_scores_fragment_clusts.csv").exists()
