"""Tiles: what the network says of overlapping pieces is what it says of the whole."""

import numpy as np
import pytest
import torch
from torch import nn

from sparseclust.clustering import AffinityGraphClusterer, GaussianKernelClusterer
from sparseclust.data import Event, VoxelInputs, collate_events
from sparseclust.models import create_model
from sparseclust.pipeline import Predictor, TiledNetwork, network_outputs
from sparseclust.sparse import SparseTensor
from sparseclust.testing import random_event, random_sparse_tensor

SIZE = 256
KERNELS = GaussianKernelClusterer(0.3, leftover="nearest")


def network(**options):
    with torch.random.fork_rng():
        torch.manual_seed(3)
        settings = {"base_channels": 4, "depth": 2, "reps": 1, "initial_margin": 0.1, "spatial_size": SIZE}
        return create_model("edge_spice", **settings | options).eval()


class Watched(nn.Module):
    """Remembers how many voxels it saw at once."""

    def __init__(self, model):
        super().__init__()
        self.model = model
        self.seen = []

    def forward(self, x, **pairs):
        self.seen.append(len(x))
        return self.model(x, **pairs)


def ordered(outputs):
    """Edges, first by their ends."""
    edges = outputs["edges"].numpy()
    order = np.lexsort(edges)
    return edges[:, order], outputs["affinity"].detach().numpy()[order]


def test_outputs_are_those_of_the_whole(rng):
    model = network()
    watched = Watched(model)
    reach = TiledNetwork(model, voxels=1).overlap
    tiled = TiledNetwork(watched, voxels=300, overlap=reach)
    x = random_sparse_tensor(rng, batch_size=12, spatial_size=SIZE)
    x = x.select(torch.from_numpy(rng.permutation(len(x))))
    with torch.inference_mode():
        expected, found = model(x), tiled(x)
    assert max(watched.seen) <= 300
    assert len(watched.seen) > 5
    assert set(found) == set(expected)
    for name in ("embeddings", "margins", "seediness"):
        torch.testing.assert_close(found[name], expected[name], rtol=1e-5, atol=1e-6)
    (edges, affinity), (same, values) = ordered(expected), ordered(found)
    np.testing.assert_array_equal(same, edges)
    np.testing.assert_allclose(values, affinity, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("clusterer", [AffinityGraphClusterer(threshold=0.5, min_size=4), KERNELS])
def test_labels_are_equal_everywhere(rng, clusterer):
    predictor = Predictor(network(), clusterer, inputs=VoxelInputs(SIZE), refine=clusterer is KERNELS)
    event = random_event(rng, n_instances=60, voxels=80, spatial_size=SIZE)
    events = [event, event.select(rng.integers(0, len(event), len(event) // 2)), random_event(rng)]
    whole = [p.labels for p in predictor.predict(events)]
    predictor.model = TiledNetwork(predictor.model, voxels=len(event) // 3)
    for labels, p in zip(whole, predictor.predict(events)):
        np.testing.assert_array_equal(p.labels, labels)
    assert len(np.unique(whole[0])) > 10


def test_bridges_are_judged_once(rng):
    model = create_model("edge_unet", base_channels=4, depth=2, reps=1, in_channels=4).eval()
    events = [random_event(rng, n_instances=60, voxels=30, spatial_size=100) for _ in range(2)]
    batch = collate_events(events, inputs=VoxelInputs(100))
    tiled = TiledNetwork(model, voxels=600)
    assert tiled.overlap == TiledNetwork(network(), voxels=1).overlap + 5
    with torch.inference_mode():
        expected, found = network_outputs(model, batch), network_outputs(tiled, batch)
    assert expected["edges"].shape[1] > batch.tensor.edges().shape[1]
    (edges, affinity), (same, values) = ordered(expected), ordered(found)
    np.testing.assert_array_equal(same, edges)
    np.testing.assert_allclose(values, affinity, rtol=1e-4, atol=1e-5)


def test_away_from_seams_a_small_overlap_is_enough(rng):
    """Two walls far apart are cut between them; an overlap that reads nothing beyond loses nothing."""
    plane = np.stack(np.meshgrid(np.arange(12), np.arange(12), [0], indexing="ij"), -1).reshape(-1, 3)
    coords = torch.from_numpy(np.concatenate([plane, plane + np.array([0, 0, 100])]))
    x = SparseTensor(torch.randn(len(coords), 4), torch.nn.functional.pad(coords, (1, 0)))
    model = network()
    with torch.inference_mode():
        expected, found = model(x), TiledNetwork(model, voxels=200, overlap=1)(x)
        cut = TiledNetwork(model, voxels=100, overlap=1)(x)
    torch.testing.assert_close(found["seediness"], expected["seediness"])
    np.testing.assert_array_equal(ordered(cut)[0], ordered(expected)[0])
    assert not torch.allclose(cut["seediness"], expected["seediness"], atol=1e-4)


@pytest.mark.parametrize("options", [{}, {"depth": 1}, {"depth": 3, "reps": 2}, {"depth": 4}])
def test_the_reach_is_how_far_a_gradient_goes(options):
    model = network(ndim=1, in_channels=2, **options)
    overlap = TiledNetwork(model, voxels=1).overlap
    n = 4 * overlap
    coords = torch.stack([torch.zeros(n, dtype=torch.int64), torch.arange(n)], dim=1)
    farthest = 0
    for at in range(n // 2, n // 2 + 2 ** (model.config["depth"] - 1)):
        feats = torch.randn(n, 2, dtype=torch.float64, requires_grad=True)
        outputs = model.double()(SparseTensor(feats, coords))
        outputs["seediness"][at].backward()
        farthest = max(farthest, int((torch.nonzero(feats.grad.abs().sum(1)) - at).abs().max()))
    assert 0.95 * (overlap - 1) <= farthest <= overlap - 1


def test_small_events_and_none_are_not_cut(rng):
    watched = Watched(network())
    tiled = TiledNetwork(watched, voxels=10_000, overlap=3)
    x = random_sparse_tensor(rng)
    none = x.select(torch.zeros(len(x), dtype=torch.bool))
    for y in (x, none):
        assert tiled(y)["embeddings"].shape == (len(y), 3)
    assert watched.seen == [len(x), 0]


def test_coordinates_at_the_ends_of_int32():
    ends = [[-(2**31), 0, 0], [-(2**31) + 1, 0, 0], [2**31 - 1, 0, 0]]
    event = Event(ends, [1.0, 1.0, 1.0])
    tiled = TiledNetwork(Watched(nn.Identity()), voxels=2, overlap=1)
    tiled.model.model.forward = lambda x: {"embeddings": x.feats}
    x = SparseTensor(
        torch.arange(3.0)[:, None], torch.nn.functional.pad(torch.from_numpy(event.coords), (1, 0))
    )
    assert tiled(x)["embeddings"].flatten().tolist() == [0, 1, 2]


def test_no_tile_fits():
    line = torch.nn.functional.pad(torch.arange(100)[:, None], (1, 2))
    x = SparseTensor(torch.ones(100, 4), line)
    with pytest.raises(ValueError, match="allow more, or a smaller overlap"):
        TiledNetwork(network(), voxels=30, overlap=40)(x)


def test_wrong_arguments():
    with pytest.raises(ValueError, match="voxels must be at least 1"):
        TiledNetwork(network(), voxels=0)
    for model, longest in ((network(), 1), (create_model("edge_unet", bridge_radius=2.5), 3)):
        with pytest.raises(ValueError, match=f"overlap at least {longest}"):
            TiledNetwork(model, voxels=9, overlap=longest - 1)
    with pytest.raises(ValueError, match="Linear sees is not known: give overlap"):
        TiledNetwork(nn.Linear(1, 1), voxels=9)
