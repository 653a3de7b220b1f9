"""The recipes: each runs as it stands, and says what the library says."""

import importlib
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from sparseclust.clustering import connected_components
from sparseclust.data.simulation import EventGenerator
from sparseclust.metrics import adjusted_rand_score, score_events, summarize_scores
from sparseclust.pipeline import Predictor
from sparseclust.training import dbscan_labels

FOLDER = Path(__file__).resolve().parents[2] / "examples" / "recipes"


def recipe(name, *needs):
    """Import a recipe; skips where a package is missing."""
    for package in needs:
        pytest.importorskip(package)
    return importlib.import_module(f"recipes.{name}")


def simulated(n):
    generator = EventGenerator("pilarnet", spatial_size=192, rng=1)
    return [generator.event() for _ in range(n)]


@pytest.fixture(scope="module")
def labels():
    """What the trained network says about the events that the recipes simulate."""
    return [
        prediction.labels for prediction in Predictor.from_pretrained("spice-small").predict(simulated(2))
    ]


def test_recipes_are_short():
    for path in FOLDER.glob("*.py"):
        assert len(path.read_text().splitlines()) <= 60, path.name


@pytest.mark.filterwarnings("ignore:Sparse invariant checks")  # of torchmetrics' contingency matrix
def test_torchmetrics():
    scores = recipe("torchmetrics_scores", "torchmetrics").main(4)
    rows = []
    for number, event in enumerate(simulated(4)):
        known = event.instance >= 0
        columns = event.instance, dbscan_labels(event), np.full(len(event), number), event.semantic
        rows.append([column[known] for column in columns])
    true, found, event, semantic = map(np.concatenate, zip(*rows))
    table = score_events(true, found, event=event, semantic=semantic)
    assert scores["all_sbd"].item() == pytest.approx(summarize_scores(table, by=None)["sbd"]["mean"][0])
    assert scores["torchmetrics ari"].item() == pytest.approx(np.nanmean(table["ari"]), rel=1e-5)


@pytest.mark.filterwarnings("ignore")  # Lightning has advice about loaders
def test_lightning():
    metrics = recipe("lightning_module", "lightning").main(n_events=4, epochs=1)
    assert {"loss", "ari", "sbd"} <= metrics.keys()
    assert torch.isfinite(metrics["loss"])


def test_awkward(labels):
    voxels = recipe("awkward_events", "awkward").main(2)
    assert [len(event) for event in voxels] == [len(labels[0]), 0, len(labels[1])]
    for event, expected in zip((voxels[0], voxels[2]), labels):
        assert event["particle"].to_numpy().tolist() == expected.tolist()


def test_pandas(labels):
    table = recipe("pandas_table", "pandas")
    voxels = table.simulated(2)
    particle = table.find_particles(voxels, Predictor.from_pretrained("spice-small"))
    assert particle.index.equals(voxels.index)
    # The rows are shuffled, and particles are numbered in the order of their rows.
    for (_, found), expected in zip(particle.sort_index().groupby(voxels["event"]), labels):
        assert np.array_equal(found < 0, expected < 0)
        assert adjusted_rand_score(expected, found.to_numpy()) == 1.0
    particles = table.main(2)
    assert particles["voxels"].sum() == sum(np.count_nonzero(found >= 0) for found in labels)


def test_scikit_learn():
    from sklearn.utils.estimator_checks import check_estimator

    module = recipe("scikit_learn", "sklearn")
    assert module.main() > 0.9
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of checks that it skips
        check_estimator(module.DenseKernels())


def test_pyg_conventions():
    graph = recipe("pyg_graph")
    pos = torch.tensor([[0, 0, 0], [0, 0, 1], [0, 0, 1], [0, 0, 2], [5, 5, 5]])
    edge_index = graph.edge_index_of(pos, torch.tensor([0, 0, 1, 1, 1]))
    assert edge_index.tolist() == [[0, 1, 2, 3], [1, 0, 3, 2]]
    labels = graph.cluster(edge_index, torch.tensor([0.9, 0.8, 0.9, 0.2]), 5, min_size=1, threshold=0.6)
    assert labels.tolist() == [0, 0, 1, 2, 3]
    one_way = graph.cluster(edge_index[:, :1], torch.tensor([0.9]), 5, min_size=1, threshold=0.6)
    assert one_way.tolist() == [0, 0, 1, 2, 3]
    (event,) = simulated(1)
    pieces = connected_components(event.coords, group=event.semantic)
    assert graph.main(1).tolist() == pieces.tolist()


def test_pyg_itself():
    graph = recipe("pyg_graph", "torch_geometric")
    from torch_geometric.data import Batch, Data
    from torch_geometric.utils import coalesce, is_undirected

    graphs = []
    for event in simulated(2):
        pos = torch.from_numpy(event.coords)
        edges = graph.edge_index_of(pos, torch.zeros(len(pos), dtype=torch.int64))
        graphs.append(Data(pos=pos, edge_index=edges))
    batch = Batch.from_data_list(graphs)
    assert is_undirected(batch.edge_index)
    edge_index = graph.edge_index_of(batch.pos, batch.batch)
    assert torch.equal(edge_index, batch.edge_index)
    assert torch.equal(edge_index, coalesce(edge_index))
