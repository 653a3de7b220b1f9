import numpy as np
import pytest
import torch

from sparseclust.data import Event, VoxelInputs, collate_events

INPUTS = VoxelInputs(16)


def random_events(rng, sizes, ndim=3):
    return [
        Event(rng.integers(0, 16, (n, ndim)), rng.random(n), rng.integers(0, 5, n), rng.integers(-1, 9, n))
        for n in sizes
    ]


@pytest.mark.parametrize("ndim", [2, 3, 4])
def test_rows_of_each_event(rng, ndim):
    events = random_events(rng, [0, 5, 0, 3, 0], ndim)
    batch = collate_events(events, inputs=INPUTS)
    tensor = batch.tensor
    assert len(batch) == tensor.batch_size == 5
    assert (tensor.coords.dtype, tensor.feats.dtype) == (torch.int32, torch.float32)
    assert (batch.semantic.dtype, batch.instance.dtype) == (torch.int64, torch.int64)
    for i, event in enumerate(events):
        rows = tensor.coords[:, 0] == i
        assert np.array_equal(tensor.coords[rows, 1:], event.coords)
        assert np.array_equal(tensor.feats[rows], INPUTS(event))
        assert np.array_equal(batch.semantic[rows], event.semantic)
        assert np.array_equal(batch.instance[rows], event.instance)
    assert tensor.coords[:, 0].tolist() == [1] * 5 + [3] * 3


def test_truth_that_some_events_lack(rng):
    known, *_ = random_events(rng, [4])
    unknown = Event(known.coords, known.feats, semantic=known.semantic)
    batch = collate_events([known, unknown], inputs=INPUTS)
    assert batch.semantic.tolist() == [*known.semantic, *known.semantic]
    assert batch.instance is None


def test_only_empty_events():
    batch = collate_events([Event(np.zeros((0, 3)), [], [], [])] * 2, inputs=INPUTS)
    assert len(batch) == 2
    assert batch.tensor.feats.shape == (0, 4)
    assert batch.instance.shape == (0,)


def test_refuses():
    for events in ([], [Event([[0, 0]], [1.0]), Event([[0, 0, 0]], [1.0])]):
        with pytest.raises(ValueError, match="at least one event and all of the same ndim"):
            collate_events(events, inputs=INPUTS)


def test_does_not_share_memory_with_the_events(rng):
    events = random_events(rng, [4])
    before = events[0].semantic.copy()
    batch = collate_events(events, inputs=INPUTS)
    batch.semantic.fill_(9)
    batch.tensor.coords.fill_(0)
    assert np.array_equal(events[0].semantic, before)


def test_to(rng):
    batch = collate_events(random_events(rng, [4, 0]), inputs=INPUTS)
    moved = batch.to("meta")
    assert (moved.tensor.device.type, moved.instance.device.type) == ("meta", "meta")
    assert len(moved) == 2
    unlabelled = collate_events([Event([[0, 0]], [1.0])], inputs=INPUTS).to("cpu")
    assert unlabelled.semantic is None


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_pin_memory_and_cuda(rng):
    batch = collate_events(random_events(rng, [4, 0]), inputs=INPUTS)
    pinned = batch.pin_memory()
    assert pinned.tensor.feats.is_pinned()
    assert pinned.tensor.coords.is_pinned()
    assert pinned.semantic.is_pinned()
    moved = pinned.to("cuda", non_blocking=True)
    assert torch.equal(moved.tensor.coords.cpu(), batch.tensor.coords)
    assert torch.equal(moved.instance.cpu(), batch.instance)
    assert len(moved) == 2
