import functools

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from sparseclust.data import (
    Compose,
    Event,
    EventStore,
    MixEvents,
    PilarnetFile,
    RandomCrop,
    RandomJitter,
    RandomRotation,
    RandomSymmetry,
    ScaleEnergy,
    VoxelDataset,
    VoxelDropout,
    VoxelInputs,
    collate_events,
    write_events,
)

COLLATE = functools.partial(collate_events, inputs=VoxelInputs(768))
AUGMENT = Compose([RandomSymmetry(768), ScaleEnergy(0.1)])


def test_classes_and_duplicates():
    event = Event([[0, 0], [1, 1], [0, 0], [2, 2]], [1.0, 2.0, 4.0, 8.0], [1, 4, 0, 2], [5, -1, 6, 7])
    kept = VoxelDataset([event])[0]
    assert kept.coords.tolist() == [[0, 0], [2, 2]]
    assert kept.energy.tolist() == [5.0, 8.0]
    assert kept.instance.tolist() == [5, 7]
    assert len(VoxelDataset([event], classes=None)[0]) == 3
    assert len(VoxelDataset([event], classes=[3])[0]) == 0
    with pytest.raises(ValueError, match="event 0 has no semantic classes"):
        VoxelDataset([Event([[0, 0]], [1.0])])[0]
    assert len(VoxelDataset([Event([[0, 0]], [1.0])], classes=None)[0]) == 1


def test_random_numbers_belong_to_epoch_and_event():
    event = Event([[1, 2, 3]], [1.0], [1])
    dataset = VoxelDataset([event] * 8, transform=AUGMENT)
    first = [dataset[i].energy[0] for i in range(8)]
    assert first == [dataset[i].energy[0] for i in reversed(range(8))][::-1]
    assert dataset[-1].energy[0] == first[7]
    assert len(set(first)) == 8
    dataset.set_epoch(1)
    assert not set(first) & {dataset[i].energy[0] for i in range(8)}
    dataset.set_epoch(0)
    assert first == [dataset[i].energy[0] for i in range(8)]
    assert first != [VoxelDataset([event] * 8, transform=AUGMENT, seed=1)[i].energy[0] for i in range(8)]
    with pytest.raises(IndexError):
        dataset[8]
    with pytest.raises(ValueError, match="epoch"):
        dataset.set_epoch(-1)


def test_mixed_events_have_the_chosen_classes():
    event = Event([[0, 0], [1, 1]], [1.0, 2.0], [1, 4], [0, -1])
    other = Event([[0, 0], [2, 2], [3, 3]], [1.0, 1.0, 1.0], [4, 4, 1], [-1, -1, 0])
    mixed = VoxelDataset([event], transform=MixEvents([other], probability=1.0))[0]
    assert mixed.coords.tolist() == [[0, 0], [3, 3]]
    assert mixed.instance.tolist() == [0, 1]


def two_epochs(dataset, workers, **options):
    loader = DataLoader(
        dataset,
        batch_size=2,
        collate_fn=COLLATE,
        num_workers=workers,
        persistent_workers=workers > 0,
        **options,
    )
    batches = []
    for epoch in range(2):
        dataset.set_epoch(epoch)
        batches += list(loader)
    return batches


@pytest.mark.parametrize(("kind", "method"), [("pilarnet", "fork"), ("store", "fork"), ("store", "spawn")])
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_any_number_of_workers(tmp_path, write_pilarnet, tables, kind, method):
    events = PilarnetFile(write_pilarnet(tables))
    if kind == "store":
        write_events(tmp_path / "store.h5", events)
        events = EventStore(tmp_path / "store.h5")
    steps = [RandomSymmetry(768), MixEvents(events), RandomRotation(768), RandomCrop(600), VoxelDropout(0.1)]
    dataset = VoxelDataset(events, transform=Compose([*steps, RandomJitter(768), ScaleEnergy(0.1)]))
    alone = two_epochs(dataset, 0)
    shared = two_epochs(dataset, 2, multiprocessing_context=method)
    assert len(alone) == len(shared) == 4
    for a, b in zip(alone, shared):
        assert torch.equal(a.tensor.coords, b.tensor.coords)
        assert torch.equal(a.tensor.feats, b.tensor.feats)
        assert torch.equal(a.instance, b.instance)
    assert not torch.equal(alone[0].tensor.feats, alone[2].tensor.feats)


def test_real_events(data_dir):
    dataset = VoxelDataset(PilarnetFile(data_dir / "geant4_dev_crowded.h5"))
    batch = COLLATE([dataset[i] for i in range(4)])
    assert set(batch.semantic.tolist()) <= {0, 1, 2, 3}
    assert np.isfinite(batch.tensor.feats.numpy()).all()
    assert batch.tensor.feats[:, 1:].abs().max() < 1
