import numpy as np
import pytest

from sparseclust.data import (
    Compose,
    Event,
    MixEvents,
    RandomCrop,
    RandomFlip,
    RandomJitter,
    RandomRotation,
    RandomSymmetry,
    ScaleEnergy,
    VoxelDropout,
    coalesce_event,
    overlay_events,
)


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


def test_crop(rng):
    event = an_event(rng)
    sizes = set()
    for _ in range(200):
        part = RandomCrop(6)(event, rng)
        assert len(part) >= 1
        assert np.ptp(part.coords, axis=0).max() < 6
        assert np.array_equal(part.coords, event.coords[part.extra["row"]])
        assert np.array_equal(part.feats, event.feats[part.extra["row"]])
        sizes.add(len(part))
    assert len(sizes) > 1
    assert len(RandomCrop(31)(event, rng)) <= 20
    assert len(RandomCrop(1)(Event([[3, 4]], [1.0]), rng)) == 1


def test_crop_finds_every_place(rng):
    """A voxel is at each place of the box equally often: seen through its neighbour, 5 away, of 10."""
    event = Event([[0, 0], [5, 0]], [1.0, 1.0])
    kept = np.mean([len(RandomCrop(10)(event, rng)) == 2 for _ in range(2000)])
    assert abs(kept - 0.5) < 6 * 0.5 / np.sqrt(2000)


def test_dropout(rng):
    event = Event(np.arange(20_000).reshape(-1, 2), np.arange(10_000), extra={"row": np.arange(10_000)})
    part = VoxelDropout(0.3)(event, rng)
    assert abs(len(part) - 7000) < 6 * np.sqrt(10_000 * 0.3 * 0.7)
    assert np.array_equal(part.coords, event.coords[part.extra["row"]])
    assert len(VoxelDropout(0.0)(event, rng)) == 10_000


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("transform", [RandomRotation(64), RandomJitter(64, sigma=2.0)])
def test_revoxelised(transform, ndim, rng):
    event = Event(
        rng.integers(24, 40, (300, ndim)),
        np.column_stack([rng.random(300), np.arange(300)]),
        rng.integers(0, 5, 300),
        rng.integers(-1, 9, 300),
        extra={"row": np.arange(300)},
    )
    after = transform(event, rng)
    assert len(np.unique(after.coords, axis=0)) == len(after)
    assert np.isclose(after.energy.sum(), event.energy.sum())  # none left the volume
    rows = after.extra["row"]
    for name in ("semantic", "instance"):
        assert np.array_equal(getattr(after, name), getattr(event, name)[rows])
    assert np.array_equal(after.feats[:, 1], event.feats[rows, 1])
    assert len(transform(Event(np.zeros((0, ndim)), []), rng)) == 0


@pytest.mark.parametrize("ndim", [2, 3])
def test_rotation_keeps_distances_and_faces(ndim, rng):
    line = np.full((41, ndim), 50)
    line[:, 0] = np.arange(30, 71)
    event = Event(line, np.ones(41), extra={"row": np.arange(41)})
    ends = []
    for _ in range(100):
        after = RandomRotation(100)(event, rng)
        ordered = after.coords[np.argsort(after.extra["row"])]
        assert abs(np.diff(ordered, axis=0)).max() == 1  # still touching
        assert np.allclose(distances(after.coords), distances(event.coords[after.extra["row"]]), atol=2)
        ends.append(ordered[-1] - 49.5)
    spread = np.array(ends) / np.linalg.norm(ends, axis=1)[:, None]
    assert (spread.max(axis=0) > 0.8).all()
    assert (spread.min(axis=0) < (-0.8 if ndim == 2 else 0.5)).all()
    small = RandomRotation(100, max_angle=0.01)(event, rng)
    assert abs(small.coords - event.coords[small.extra["row"]]).max() <= 1


def test_no_rotation_and_no_jitter_are_nothing(rng):
    event = Event(rng.integers(0, 16, (50, 3)), np.arange(50))
    merged = coalesce_event(event)[0]
    for transform in (RandomRotation(16, max_angle=0.0), RandomJitter(16, sigma=0.0)):
        after = transform(event, rng)
        assert np.array_equal(after.coords, merged.coords)
        assert np.array_equal(after.feats, merged.feats)


def test_voxels_leave_the_volume(rng):
    corner = Event([[1, 1, 8], [8, 8, 8]], [1.0, 2.0])
    sizes = {len(RandomRotation(16)(corner, rng)) for _ in range(50)}
    assert sizes == {1, 2}
    for _ in range(50):
        coords = RandomJitter(16, sigma=5.0)(corner, rng).coords
        assert ((coords >= 0) & (coords < 16)).all()


def test_overlay():
    a = Event([[0, 0], [1, 1], [2, 2]], [1.0, 2.0, 4.0], [0, 4, 2], [5, -1, 0], extra={"row": [0, 1, 2]})
    b = Event([[2, 2], [1, 1], [0, 0], [9, 9]], [1.0, 1.0, 1.0, 1.0], [1, 3, 3, 1], [0, 0, 1, -1])
    mixed = overlay_events([a, b])
    assert mixed.coords[:, 0].tolist() == [0, 1, 2, 9]
    assert mixed.energy.tolist() == [2, 3, 5, 1]
    assert mixed.semantic.tolist() == [0, 3, 1, 1]
    assert mixed.instance.tolist() == [5, 6, 6, -1]
    assert mixed.extra["event"].tolist() == [0, 1, 1, 1]
    assert overlay_events([a, b], precedence=(2, 4)).semantic.tolist() == [0, 4, 2, 1]
    apart = [Event([[i, 0]], [1.0], [0], [i]) for i in range(4)]
    assert overlay_events(apart).instance.tolist() == [0, 2, 5, 9]
    unknown = Event([[0, 0]], [1.0])
    assert overlay_events([a, unknown]).instance is None
    assert overlay_events([unknown, a]).semantic is None
    for wrong in ([], [a, Event([[0, 0, 0]], [1.0])], [a, Event([[0, 0]], [[1.0, 2.0]])]):
        with pytest.raises(ValueError, match="expected at least one event"):
            overlay_events(wrong)


def test_mixing(rng):
    events = [Event([[i, 0]], [1.0], [0], [0]) for i in range(5)]
    mixed = [MixEvents(events, probability=0.4)(events[0], rng) for _ in range(2000)]
    other = np.array([event.energy.sum() for event in mixed]) == 2
    assert abs(other.mean() - 0.4) < 6 * 0.5 / np.sqrt(2000)
    found = np.bincount([int(event.coords[-1, 0]) for event, two in zip(mixed, other) if two], minlength=5)
    assert abs(found - other.sum() / 5).max() < 6 * np.sqrt(other.sum() / 5)
    assert {tuple(event.extra) for event in mixed} == {("event",)}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RandomCrop(0), "size must be"),
        (lambda: VoxelDropout(1.0), "probability"),
        (lambda: VoxelDropout(np.nan), "probability"),
        (lambda: RandomRotation(0), "spatial_size"),
        (lambda: RandomRotation(8, max_angle=4.0), "max_angle"),
        (lambda: RandomJitter(8, sigma=-1.0), "sigma"),
        (lambda: MixEvents([], probability=0.5), "no events to mix with"),
        (lambda: MixEvents([Event([[0]], [1.0])], probability=1.5), "probability"),
        (lambda: RandomRotation(8)(Event([[0]], [1.0]), np.random.default_rng(0)), "2 or 3 dimensions"),
    ],
)
def test_parameters_are_checked(make, message):
    with pytest.raises(ValueError, match=message):
        make()
