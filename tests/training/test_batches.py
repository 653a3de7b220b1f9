"""Batches: the order, the shares of processes, the bound on voxels."""

import itertools

import numpy as np
import pytest

from sparseclust.data import Event, VoxelInputs
from sparseclust.testing import random_event
from sparseclust.training import EventDataModule
from sparseclust.training._batches import EpochBatches, _shares

SIZE = 32


def _first(batches, n):
    return list(itertools.islice(batches, n))


def test_an_epoch_draws_every_event_once_and_anew():
    batches = EpochBatches(12, batch_size=3)
    epochs = [np.concatenate(batches.epoch(e)) for e in range(3)]
    for e, numbers in enumerate(epochs):
        assert sorted(numbers) == list(range(12 * e, 12 * (e + 1)))
    assert len({tuple(numbers % 12) for numbers in epochs}) == 3
    assert _first(batches, 12) == [batch for e in range(3) for batch in batches.epoch(e)]
    assert EpochBatches(12, batch_size=3, seed=1).epoch(0) != batches.epoch(0)


def test_the_rest_of_an_epoch_is_left_out_unless_it_is_all():
    assert [len(batch) for batch in EpochBatches(11, batch_size=4).epoch(0)] == [4, 4]
    assert [len(batch) for batch in EpochBatches(3, batch_size=4).epoch(0)] == [3]


@pytest.mark.parametrize("most", [None, 40])
def test_goes_on_where_it_stopped(rng, most):
    options = {"batch_size": 3, "sizes": rng.integers(1, 30, 10), "max_voxels": most}
    whole = _first(EpochBatches(10, **options), 20)
    for start in (1, 4, 11):
        assert _first(EpochBatches(10, start=start, **options), 20 - start) == whole[start:]


@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_processes_share_a_batch(rng, world_size):
    sizes = rng.integers(0, 1000, 40)
    alone = _first(EpochBatches(40, batch_size=8), 10)
    options = {"batch_size": 8, "sizes": sizes, "world_size": world_size}
    shares = [_first(EpochBatches(40, rank=rank, **options), 10) for rank in range(world_size)]
    for batch, *parts in zip(alone, *shares, strict=True):
        assert all(parts)
        assert sorted(itertools.chain(*parts)) == sorted(batch)


def test_shares_are_balanced(rng):
    """No worse than the best by a third: the bound of this rule (R. L. Graham, 1969)."""
    for _ in range(50):
        sizes = rng.integers(1, 100, rng.integers(2, 12)).tolist()
        loads = [sum(sizes[i] for i in share) for share in _shares(sizes, 2)]
        best = min(
            max(sum(c), sum(sizes) - sum(c))
            for k in range(len(sizes) + 1)
            for c in itertools.combinations(sizes, k)
        )
        assert max(loads) <= (4 / 3 - 1 / 6) * best + 1e-9


def test_each_process_gets_an_event_even_an_empty_one():
    assert _shares([0, 5, 0], 2) == [[1], [0, 2]]
    assert all(_shares([0, 0, 0], 3))


@pytest.mark.parametrize("world_size", [1, 2])
def test_no_process_gets_more_voxels_than_it_may(rng, world_size):
    sizes = rng.integers(1, 100, 60)
    options = {"batch_size": 16, "sizes": sizes, "max_voxels": 90, "world_size": world_size}
    shares = [EpochBatches(60, rank=rank, **options) for rank in range(world_size)]
    for parts in zip(*(_first(share, 30) for share in shares)):
        assert all(0 < sizes[np.array(part) % 60].sum() <= 90 for part in parts)
        assert sum(map(len, parts)) <= 16
    drawn = {number % 60 for batch in shares[0].epoch(0) for number in batch}
    assert sizes[list(drawn)].max() <= 90
    assert len(drawn) >= np.sum(sizes <= 90) - 15


def test_fewer_events_than_processes_are_refused():
    with pytest.raises(ValueError, match=r"each of 3 processes.*batch_size=2"):
        EpochBatches(10, batch_size=2, world_size=3)
    with pytest.raises(ValueError, match="0 events of at most 4 voxels"):
        EpochBatches(2, batch_size=2, sizes=np.array([5, 6]), max_voxels=4)


def test_a_module_bounds_its_batches(rng):
    events = [random_event(rng, n_instances=3, voxels=n, spatial_size=SIZE) for n in (5, 5, 5, 40, 5, 5)]
    sizes = [len(event) for event in events]
    data = EventDataModule(
        events,
        events,
        inputs=VoxelInputs(SIZE),
        batch_size=4,
        batch_voxels=2 * sizes[0] + 5,
        classes=range(5),
    )
    assert data.left_out == 1
    for batch in itertools.islice(data.train_dataloader(), 10):
        assert len(batch.tensor.coords) <= 2 * sizes[0] + 5
    validated = [len(batch) for batch in data.val_dataloader()]
    assert sum(validated) == len(events)  # none is left out, the large one is alone
    assert 1 in validated
    assert (
        len(
            {
                len(b)
                for b in itertools.islice(
                    EventDataModule(
                        events, events, inputs=VoxelInputs(SIZE), batch_size=4
                    ).train_dataloader(),
                    5,
                )
            }
        )
        == 1
    )


def test_the_augmentation_depends_on_seed_epoch_and_event_alone(rng):
    events = [random_event(rng, n_instances=2, voxels=9, spatial_size=SIZE) for _ in range(4)]
    seen = []

    def remember(event, generator):
        seen.append((int(generator.integers(1 << 30)), len(event)))
        return event

    def drawn(seed):
        seen.clear()
        data = EventDataModule(
            events, [], inputs=VoxelInputs(SIZE), batch_size=2, transform=remember, seed=seed
        )
        _first(data.train_dataloader(), 4)
        return list(seen)

    first = drawn(0)
    assert len(set(first)) == len(first) == 8
    assert drawn(0) == first
    assert not set(drawn(1)) & set(first)


def test_no_voxel_may_be_infinite(rng):
    """An event that was spoilt after it was made is named when it is drawn."""
    event = random_event(rng, n_instances=2, voxels=9, spatial_size=SIZE)
    spoilt = Event(event.coords, event.feats.copy(), event.semantic, event.instance)
    spoilt.feats[3] = np.nan
    for train, val in (([event, spoilt], [event]), ([event], [event, spoilt])):
        data = EventDataModule(train, val, inputs=VoxelInputs(SIZE), batch_size=2)
        with pytest.raises(ValueError, match=r"event 1.*finite"):
            _first(data.train_dataloader(), 1), _first(data.val_dataloader(), 1)
