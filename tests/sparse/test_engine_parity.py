"""The same network and weights on every engine agree: outputs and all gradients."""

import numpy as np
import pytest
import torch
from engines import ENGINES, skip_unless_usable

from sparseclust.backbones import UResNet
from sparseclust.backbones._blocks import NormAct
from sparseclust.data.simulation import EventGenerator
from sparseclust.sparse import SparseTensor, sparse_conv, strided_map, use_engine

EXTENT = 768
# Keys of one event after the other reach 32 bits in the tenth; this far apart they agree in their lower 32.
ALIAS = torch.tensor([9, 369, 597, 256])


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request):
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    return request.param


@pytest.fixture(params=ENGINES)
def engine(request, device):
    skip_unless_usable(request.param, device)
    return request.param


def simulated(mix, n_events):
    events = [EventGenerator(mix, rng=3).event(i).coords for i in range(n_events)]
    return torch.from_numpy(np.concatenate([np.insert(c, 0, e, axis=1) for e, c in enumerate(events)]))


def aliased(make_coords):
    """Twelve events, two of which hold the same voxels as far as 32 bits can tell."""
    coords = make_coords(3, size=8, batch=12)
    first = coords[coords[:, 0] == 0]
    return torch.cat([coords[coords[:, 0] != ALIAS[0]], first + ALIAS.int()])


INPUTS = {
    "random": lambda make_coords: make_coords(3, size=12, batch=3, fill=0.15, low=-5),
    "tracks": lambda make_coords: simulated("single:mu-", 4),
    # The third event is empty: the photon leaves the volume.
    "showers": lambda make_coords: simulated("single:gamma", 5),
    "aliased": aliased,
}


def results(net, feats, coords, engine):
    """Output, gradient of the input and gradients of all parameters, on the CPU in float64."""
    feats = feats.clone().requires_grad_()
    with use_engine(engine):
        out = net(SparseTensor(feats, coords)).feats
        upper = torch.randn(out.shape, generator=torch.Generator().manual_seed(1)).to(out)
        gradients = torch.autograd.grad((out * upper).sum(), [feats, *net.parameters()])
    return [t.detach().cpu().double() for t in (out, *gradients)]


def assert_parity(net, feats, coords, engine, device):
    """Compare float32 on the engine with float64 on the reference."""
    expected = results(net.double(), feats.double(), coords, "torch")
    found = results(net.float().to(device), feats.to(device), coords.to(device), engine)
    for ours, reference in zip(found, expected, strict=True):
        assert ours.shape == reference.shape
        assert torch.linalg.vector_norm(ours - reference) <= 1e-4 * torch.linalg.vector_norm(reference)


def distance_to_bend(act, y):
    """Smallest absolute value before an activation that gave ``y``."""
    return torch.where(y < 0, y / act.negative_slope, y).abs().min().item()


def smooth_network(coords, **kwargs):
    """Make a network and features of which no activation is so near its bend that rounding bends it.

    A single one beyond it, in float32 on the reference too, changes gradients by percents.
    """
    nearest = []
    for seed in range(100):
        torch.manual_seed(seed)
        net, feats = UResNet(2, **kwargs).double(), torch.randn(len(coords), 2)
        nearest.clear()
        for layer in (m for m in net.modules() if isinstance(m, NormAct)):
            layer.register_forward_hook(
                lambda layer, _, y: nearest.append(distance_to_bend(layer[1], y.feats))
            )
        with use_engine("torch"), torch.no_grad():
            net(SparseTensor(feats.double(), coords))
        if min(nearest) > 1e-6:
            return net, feats
    pytest.fail("every network has an activation near its bend")


def test_the_aliased_voxels_are_aliased():
    key = 0
    for shift in ALIAS.tolist():
        key = key * EXTENT + shift
    assert key == 2**32


@pytest.mark.parametrize("kind", INPUTS)
def test_a_network(make_coords, kind, engine, device):
    coords = INPUTS[kind](make_coords)
    net, feats = smooth_network(coords, base_channels=8, depth=4, reps=1)
    assert_parity(net, feats, coords, engine, device)


@pytest.mark.parametrize("n", [0, 1])
def test_no_voxel_and_one(n, engine, device):
    torch.manual_seed(0)
    net = UResNet(2, base_channels=8, depth=3, norm="none")
    assert_parity(net, torch.randn(n, 2), torch.full((n, 4), 5, dtype=torch.int32), engine, device)


# As many rows leave as enter, under an odd number of offsets: torchsparse takes this for a centre.
def test_sites_that_each_have_a_cell_of_their_own(make_coords, engine, device):
    coords = make_coords(3) * torch.tensor([1, 3, 3, 3], dtype=torch.int32)
    coords[:, 1:] += torch.arange(len(coords), dtype=torch.int32)[:, None] % 3
    feats, weight = torch.randn(len(coords), 4), torch.randn(27, 4, 6)
    cells, kernel_map = strided_map(coords, 3)
    assert len(cells) == len(coords)
    expected = sparse_conv(feats.double(), weight.double(), kernel_map)
    with use_engine(engine):
        kernel_map = strided_map(coords.to(device), 3)[1]
        found = sparse_conv(feats.to(device), weight.to(device), kernel_map).cpu()
    torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-4)
