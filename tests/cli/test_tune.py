"""``sparseclust tune``."""

import pytest

from sparseclust.cli import main
from sparseclust.clustering import AffinityGraphClusterer, GaussianKernelClusterer
from sparseclust.data import VoxelInputs
from sparseclust.models import edge_spice, spice
from sparseclust.pipeline import Predictor

SIZE = 96
TINY = {"spatial_size": SIZE, "base_channels": 4, "depth": 2, "reps": 1}


@pytest.fixture
def files(tmp_path):
    """A few events and an untrained network."""
    events, model = tmp_path / "events.h5", tmp_path / "model.pt"
    assert main(["simulate", str(events), "--events", "3", "--size", str(SIZE)]) == 0
    clusterer = GaussianKernelClusterer({0: 0.5, 1: 0.5, 2: 0.5, 3: 0.5}, min_size=2)
    Predictor(spice(**TINY), clusterer, inputs=VoxelInputs(SIZE)).save(model)
    return events, model


def test_tuned_thresholds_are_printed_and_saved(files, capsys):
    events, model = files
    page = model.with_name("scan.html")
    command = ["tune", str(events), "--model", str(model), "--steps", "3", "--plot", str(page)]
    assert main([*command, "--metric", "ari", "--device", "cpu"]) == 0
    printed = capsys.readouterr().out
    tuned = Predictor.from_pretrained(model.with_name("model.tuned.pt"))
    assert tuned.clusterer.min_size == 2
    for c, s0 in tuned.clusterer.seed_threshold.items():
        assert s0 in (0.0, pytest.approx(1 / 3), pytest.approx(2 / 3), 0.5)
        assert tuned.clusterer.kernel_threshold[c] in (pytest.approx(1 / 6), 0.5, pytest.approx(5 / 6))
    assert "Track" in printed
    assert "seed threshold" in printed
    assert "kernel threshold" in page.read_text()
    assert main(["predict", str(events), "--model", str(model.with_name("model.tuned.pt")),
                 "--output", str(model.with_name("out.h5"))]) == 0  # fmt: skip


def test_a_model_with_edges_gets_a_pair_per_class(files, capsys):
    events, model = files
    page, tuned = model.with_name("scan.html"), model.with_name("better.pt")
    Predictor(edge_spice(**TINY), AffinityGraphClusterer(), inputs=VoxelInputs(SIZE)).save(model)
    command = ["tune", str(events), "--model", str(model), "--steps", "4", "--output", str(tuned)]
    assert main([*command, "--plot", str(page), "--device", "cpu"]) == 0
    printed = capsys.readouterr().out
    clusterer = Predictor.from_pretrained(tuned).clusterer
    assert set(clusterer.threshold) == {0, 1, 2, 3}
    assert set(clusterer.threshold.values()) <= {0.125, 0.375, 0.625, 0.875, 0.8}
    assert set(clusterer.min_size.values()) <= {1, 2, 4, 8, 16, 32}
    assert "min size" in printed
    assert "together" in printed
    assert "min size" in page.read_text()


def test_linkage_is_kept_and_only_for_edges(files, capsys):
    events, model = files
    tuned = model.with_name("additive.pt")
    command = ["tune", str(events), "--steps", "2", "--device", "cpu", "--linkage", "additive"]
    assert main([*command, "--model", str(model)]) == 2
    assert "this one has a GaussianKernelClusterer" in capsys.readouterr().err
    graph = model.with_name("graph.pt")
    Predictor(edge_spice(**TINY), AffinityGraphClusterer(), inputs=VoxelInputs(SIZE)).save(graph)
    assert main([*command, "--model", str(graph), "--output", str(tuned)]) == 0
    assert Predictor.from_pretrained(tuned).clusterer.linkage == "additive"


def test_steps_must_be_positive(files, capsys):
    events, model = files
    assert main(["tune", str(events), "--model", str(model), "--steps", "0"]) == 2
    assert "steps must be at least 1" in capsys.readouterr().err


def test_repairs_are_saved_with_kernels_and_can_be_switched_off(files, tmp_path, capsys):
    events, _ = files
    train = ["train", str(events), "--validation", str(events), "--output", str(tmp_path), "--max_steps", "1"]
    network = ["--network.name", "spice", "--network.base_channels", "4", "--network.depth", "2"]
    quick = ["--size", str(SIZE), "--workers", "0", "--accelerator", "cpu", "--batch_size", "2"]
    assert main([*train, *network, *quick]) == 0
    model = tmp_path / "model.pt"
    assert Predictor.from_pretrained(model).refine
    assert main(["tune", str(events), "--model", str(model), "--steps", "2"]) == 0
    assert Predictor.from_pretrained(tmp_path / "model.tuned.pt").refine
    tables = []
    for choice in ([], ["--refine", "true"], ["--refine", "false"]):
        capsys.readouterr()
        assert main(["evaluate", str(events), "--model", str(model), *choice]) == 0
        tables.append(capsys.readouterr().out)
    assert tables[0] == tables[1] != tables[2]


def test_repairs_are_refused_where_there_is_nothing_to_repair(files, capsys):
    events, model = files
    for option, value in (("--refine", "true"), ("--views", "2")):
        assert main(["evaluate", str(events), option, value]) == 2
        assert f"{option} changes how a model labels, and needs --model" in capsys.readouterr().err
    Predictor(edge_spice(**TINY), AffinityGraphClusterer(), inputs=VoxelInputs(SIZE)).save(model)
    output = ["--output", str(model.with_name("out.h5"))]
    assert main(["predict", str(events), "--model", str(model), *output, "--refine", "true"]) == 2
    assert "those of AffinityGraphClusterer are connected pieces already" in capsys.readouterr().err
    assert not model.with_name("out.h5").exists()
