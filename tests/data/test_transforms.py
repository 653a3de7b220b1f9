import numpy as np
import pytest

from sparseclust.data import Compose, Event, RandomFlip, RandomSymmetry, ScaleEnergy


def an_event(rng, ndim=3):
    n = 20
    return Event(
        rng.integers(0, 16, (n, ndim)),
        rng.random((n, 2)),
        rng.integers(0, 5, n),
        rng.integers(-1, 9, n),
        extra={"row": np.arange(n)},
    )


def distances(coords):
    return np.linalg.norm(coords[:, None] - coords[None], axis=-1)


@pytest.mark.parametrize("transform", [RandomFlip(16), RandomSymmetry(16), ScaleEnergy(0.1)])
@pytest.mark.parametrize("ndim", [2, 3])
def test_keeps_truth_and_shape(transform, ndim, rng):
    event = an_event(rng, ndim)
    before = (event.coords.copy(), event.feats.copy())
    for _ in range(10):
        after = transform(event, rng)
        assert np.array_equal(after.semantic, event.semantic)
        assert np.array_equal(after.instance, event.instance)
        assert np.array_equal(after.extra["row"], event.extra["row"])
        assert np.allclose(distances(after.coords), distances(event.coords))
        assert after.coords.min() >= 0
        assert after.coords.max() < 16
        assert np.array_equal(after.feats[:, 1], event.feats[:, 1])
    assert np.array_equal(event.coords, before[0])
    assert np.array_equal(event.feats, before[1])
    assert len(transform(Event(np.zeros((0, ndim)), []), rng)) == 0


@pytest.mark.parametrize(
    ("transform", "ndim", "order"), [(RandomFlip, 3, 8), (RandomSymmetry, 2, 8), (RandomSymmetry, 3, 48)]
)
def test_reaches_the_whole_group(transform, ndim, order, rng):
    """One voxel with distinct coordinates has as many images as the group has elements."""
    event = Event([list(range(ndim))], [1.0])
    images = [tuple(transform(16)(event, rng).coords[0]) for _ in range(order * 40)]
    found, counts = np.unique(images, axis=0, return_counts=True)
    assert len(found) == order
    # Each is met 40 times on average; 6 standard deviations.
    assert abs(counts - 40).max() < 6 * np.sqrt(40)


def test_scale_energy(rng):
    event = Event(np.zeros((2, 3)), [1.0, 4.0])
    factors = [ScaleEnergy(0.2)(event, rng).energy for _ in range(2000)]
    logs = np.log(np.array(factors))
    assert np.allclose(logs[:, 1] - logs[:, 0], np.log(4), atol=1e-6)
    assert abs(logs[:, 0].mean()) < 0.02
    assert abs(logs[:, 0].std() - 0.2) < 0.02
    assert np.array_equal(ScaleEnergy(0.0)(event, rng).feats, event.feats)


def test_compose_is_one_after_the_other():
    event = Event([[1, 2, 3]], [2.0])
    parts = [RandomSymmetry(8), ScaleEnergy(0.1)]
    rng = np.random.default_rng(3)
    expected = parts[1](parts[0](event, rng), rng)
    composed = Compose(parts)(event, np.random.default_rng(3))
    assert np.array_equal(composed.coords, expected.coords)
    assert np.array_equal(composed.feats, expected.feats)
    assert Compose([])(event, rng) is event


def test_refuses():
    for transform in (RandomFlip, RandomSymmetry):
        with pytest.raises(ValueError, match="spatial_size"):
            transform(0)
    with pytest.raises(ValueError, match="sigma"):
        ScaleEnergy(-0.1)
