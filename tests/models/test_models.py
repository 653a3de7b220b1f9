"""Composition, presets and registry."""

import numpy as np
import pytest
import torch

from sparseclust.backbones import UResNetDecoder, UResNetEncoder
from sparseclust.heads import SemanticHead
from sparseclust.models import Branch, BranchedNet, create_model, edge_spice, list_models, spice
from sparseclust.sparse import SparseTensor, use_engine


def voxels(rng: np.random.Generator, n: int = 80, ndim: int = 3) -> SparseTensor:
    coords = np.unique(rng.integers(0, [3] + [12] * ndim, (n, 1 + ndim)), axis=0)
    coords = torch.from_numpy(rng.permutation(coords))
    return SparseTensor(torch.randn(len(coords), 1 + ndim), coords, batch_size=4)


@pytest.mark.parametrize(("margin_dim", "ndim"), [(1, 3), (3, 3), (1, 2), (2, 2)])
def test_spice_outputs_are_aligned_with_the_input(rng, margin_dim, ndim):
    x = voxels(rng, ndim=ndim)
    net = spice(1 + ndim, spatial_size=12, base_channels=4, depth=3, reps=1, margin_dim=margin_dim, ndim=ndim)
    outputs = net.eval()(x)
    shapes = {"embeddings": (len(x), ndim), "seediness": (len(x),)}
    shapes["margins"] = (len(x),) if margin_dim == 1 else (len(x), margin_dim)
    assert {name: tuple(y.shape) for name, y in outputs.items()} == shapes
    order = torch.randperm(len(x))
    permuted = net(SparseTensor(x.feats[order], x.coords[order], batch_size=4))
    for name, y in outputs.items():
        torch.testing.assert_close(permuted[name], y[order], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("n", [0, 1])
@pytest.mark.parametrize("preset", [spice, edge_spice])
def test_no_voxel_and_one_voxel(preset, n):
    net = preset(base_channels=4, depth=3)
    outputs = net(SparseTensor(torch.ones(n, 4), torch.tensor([[0, 7, 7, 7]])[:n], batch_size=1))
    assert [len(outputs[name]) for name in ("embeddings", "margins", "seediness")] == [n] * 3
    sum(y.sum() for name, y in outputs.items() if name != "edges").backward()
    assert all(torch.isfinite(p.grad).all() for p in net.parameters())


def test_a_model_is_rebuilt_from_its_configuration(rng):
    net = spice(4, spatial_size=12, base_channels=4, depth=2, initial_margin=0.2)
    assert net.config is not None
    assert net.config["name"] == "spice"
    assert net.config["norm"] == "batch"
    again = create_model(**net.config)
    assert again.config == net.config
    again.load_state_dict(net.state_dict())
    x = voxels(rng)
    for y, z in zip(net.eval()(x).values(), again.eval()(x).values()):
        assert torch.equal(y, z)


def test_a_state_dict_moves_between_engines(rng):
    x = voxels(rng)
    net = spice(spatial_size=12, base_channels=4, depth=2).eval()
    results = []
    for engine in ("torch", "numba"):
        with use_engine(engine):
            results.append(net(SparseTensor(x.feats, x.coords)))
    for name in results[0]:
        torch.testing.assert_close(results[0][name], results[1][name], rtol=1e-4, atol=1e-5)


def test_an_own_composition(rng):
    encoder = UResNetEncoder(4, base_channels=4, depth=2)
    decoder = UResNetDecoder(encoder.channels)
    heads = {name: SemanticHead(decoder.out_channels, k) for name, k in (("semantic", 5), ("charge", 2))}
    net = BranchedNet(encoder, {"one": Branch(decoder, heads)})
    x = voxels(rng)
    assert {name: tuple(y.shape) for name, y in net(x).items()} == {
        "semantic": (len(x), 5),
        "charge": (len(x), 2),
    }
    assert net.config is None
    with pytest.raises(ValueError, match="name of its own"):
        BranchedNet(encoder, {"one": Branch(decoder, heads), "two": Branch(decoder, heads)})


def test_edge_spice_scores_every_edge(rng):
    x = voxels(rng)
    net = edge_spice(spatial_size=12, base_channels=4, depth=2)
    outputs = net.eval()(x)
    assert set(outputs) == {"embeddings", "margins", "seediness", "edges", "affinity"}
    assert torch.equal(outputs["edges"], x.edges())
    assert outputs["affinity"].shape == (outputs["edges"].shape[1],)
    one, two = x.coords[outputs["edges"]].unbind()
    assert torch.equal(one[:, 0], two[:, 0])
    again = create_model(**net.config)
    again.load_state_dict(net.state_dict())


def test_registry():
    assert "spice" in list_models()
    with pytest.raises(ValueError, match="spice"):
        create_model("unet")
