"""A trained network goes on as a wider one: the same answers at first, and room to learn."""

import copy

import pytest
import torch

from sparseclust.clustering import AffinityGraphClusterer
from sparseclust.data import VoxelInputs, collate_events
from sparseclust.models import create_model
from sparseclust.pipeline import Predictor, network_outputs
from sparseclust.testing import random_event
from sparseclust.training import SpatialEmbeddingModule, start_from

SIZE = 32


def _batch(rng):
    events = [random_event(rng, n_instances=5, voxels=40, spatial_size=SIZE) for _ in range(3)]
    return collate_events(events, inputs=VoxelInputs(SIZE))


def _pair(tmp_path, batch, *, narrow=4, wide=7, **options):
    """A network that has moved, and a wider one that took over its weights."""
    torch.manual_seed(0)
    settings = {"spatial_size": SIZE, "depth": 3, "reps": 1, "bridge_radius": 4.0} | options
    small = create_model("edge_spice", base_channels=narrow, **settings)
    with torch.no_grad():
        for parameter in small.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    network_outputs(small.train(), batch)  # moves the statistics of the norms
    path = tmp_path / "small.pt"
    Predictor(small, AffinityGraphClusterer(), inputs=VoxelInputs(SIZE)).save(path)
    big = create_model("edge_spice", base_channels=wide, **settings)
    assert start_from(path, big) == []
    return small, big


@pytest.mark.parametrize("norm", ["batch", "none"])
@pytest.mark.parametrize("wide", [5, 7, 8, 16])
@pytest.mark.parametrize("training", [True, False])
def test_gives_the_same_answers(tmp_path, rng, training, wide, norm):
    batch = _batch(rng)
    small, big = _pair(tmp_path, batch, wide=wide, norm=norm)
    expected, found = (network_outputs(model.train(training), batch) for model in (small, big))
    assert expected["edges"].shape[1] > len(batch.tensor)
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-5, atol=1e-5, msg=name)


def test_the_new_features_learn(tmp_path, rng):
    batch = _batch(rng)
    _, big = _pair(tmp_path, batch)
    start = copy.deepcopy(big.state_dict())
    module = SpatialEmbeddingModule(big.train())
    optimizer = torch.optim.SGD(module.parameters(), lr=1e-2)
    for _ in range(2):  # what leads from them first, then they themselves
        optimizer.zero_grad()
        module._terms(batch, module(batch))["loss"].backward()
        optimizer.step()
    stem = big.encoder.stem.weight
    moved = (stem - start["encoder.stem.weight"]).abs().amax(dim=(0, 1)) > 0
    assert moved.tolist() == [True] * 7


def test_a_network_gains_width_and_parts_at_once(tmp_path, rng):
    batch = _batch(rng)
    torch.manual_seed(0)
    settings = {"base_channels": 4, "depth": 2, "reps": 1}
    small = create_model("edge_unet", **settings)
    Predictor(small, AffinityGraphClusterer(), inputs=VoxelInputs(SIZE)).save(tmp_path / "edges.pt")
    more = {"base_channels": 6, "spatial_size": SIZE, "bridge_radius": 6.0}
    big = create_model("edge_spice", **settings | more)
    missing = start_from(tmp_path / "edges.pt", big)
    assert {name.split(".")[1] for name in missing} == {"embedding", "seediness"}
    expected, found = (network_outputs(model.eval(), batch, only=["affinity"]) for model in (small, big))
    torch.testing.assert_close(found["affinity"], expected["affinity"], rtol=1e-5, atol=1e-5)
