import numpy as np
import pytest

from sparseclust.data import Event, VoxelInputs


def test_published_scale():
    """The log scale of the PILArNet-M networks: 0.01 MeV is -1, 20 MeV is 1."""
    event = Event(np.zeros((4, 3)), [0.01, 20.0, np.sqrt(0.2), 0.0])
    assert np.allclose(VoxelInputs(768)(event)[:, 0], [-1, 1, 0, -1], atol=1e-6)
    assert np.allclose(VoxelInputs(768)(Event([[0, 0, 0]], [40.0]))[0, 0], 1.18239, atol=1e-5)


def test_linear_scale():
    inputs = VoxelInputs(768, energy="linear", min_energy=1.0, max_energy=3.0)
    assert inputs(Event(np.zeros((4, 2)), [0.0, 1.0, 2.0, 5.0]))[:, 0].tolist() == [-1, -1, 0, 3]


@pytest.mark.parametrize("ndim", [2, 3, 4])
def test_positions_are_voxel_centres(ndim, rng):
    inputs = VoxelInputs(16)
    coords = rng.integers(0, 16, (50, ndim))
    features = inputs(Event(coords, rng.random(50)))
    assert features.dtype == np.float32
    assert features.shape == (50, inputs.channels(ndim))
    assert np.array_equal(features[:, 1:], (coords + 0.5) * 2 / 16 - 1)
    mirrored = inputs(Event(15 - coords, rng.random(50)))
    assert np.array_equal(mirrored[:, 1:], -features[:, 1:])
    assert inputs(Event(np.zeros((0, ndim)), [])).shape == (0, 1 + ndim)


def test_classes_are_one_hot_and_others_zero():
    inputs = VoxelInputs(8, n_classes=3)
    features = inputs(Event(np.zeros((4, 3)), np.ones(4), semantic=[2, 0, 4, -1]))
    assert features.shape == (4, inputs.channels(3)) == (4, 7)
    assert features[:, 4:].tolist() == [[0, 0, 1], [1, 0, 0], [0, 0, 0], [0, 0, 0]]
    with pytest.raises(ValueError, match="the event has none"):
        inputs(Event(np.zeros((1, 3)), [1.0]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"spatial_size": 0}, "spatial_size must be at least 1"),
        ({"energy": "sqrt"}, "energy must be"),
        ({"min_energy": 0.0}, "0 < min_energy < max_energy"),
        ({"max_energy": np.nan}, "0 < min_energy < max_energy"),
        ({"n_classes": -1}, "n_classes must not be negative"),
    ],
)
def test_refuses(options, message):
    with pytest.raises(ValueError, match=message):
        VoxelInputs(**{"spatial_size": 8, **options})
