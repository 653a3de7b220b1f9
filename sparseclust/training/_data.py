"""Events for Lightning."""

from collections.abc import Callable, Sequence
from functools import cached_property, partial
from typing import Any, cast

import numpy as np
import torch
from torch.utils.data import DataLoader

from sparseclust.data import Batch, Event, VoxelDataset, VoxelInputs, collate_events, voxel_counts
from sparseclust.pipeline import PARTICLE_CLASSES
from sparseclust.training._batches import EpochBatches, packed
from sparseclust.training._lightning import lightning

Transform = Callable[[Event, np.random.Generator], Event]


class EventDataModule(lightning.LightningDataModule):
    """Batches of training and validation events.

    Parameters
    ----------
    train, val : sequence of Event
        E.g. :func:`sparseclust.data.open_events` of a file.
    inputs : VoxelInputs
        Makes the network's input features.
    batch_size : int
        Events per batch, of all processes together.
    batch_voxels : int, optional
        Most voxels of a batch on one process, so that a batch of large events does not exhaust the memory.
        Batches then have fewer events where they must. Training events with more voxels are left out.
    num_workers : int
        Worker processes that read and collate.
    transform : callable, optional
        ``(event, rng) -> event`` applied to training events.
    classes : sequence of int
        Semantic classes that the network sees.
    seed : int
        Of the shuffling and the transforms.

    Raises
    ------
    ValueError
        If there are no training events, or none of at most ``batch_voxels``.

    Notes
    -----
    Training batches go on without an end, epoch after epoch. Batch ``k`` depends on the events, on
    ``batch_size``, ``batch_voxels`` and ``seed``, and not on the number of workers or on where the training
    was resumed. With several processes each batch is divided among them by voxels; see ``docs/scale.md``.

    ``batch_voxels``, and several processes, need the number of voxels of all events as they are stored, see
    :func:`sparseclust.data.voxel_counts`.
    """

    def __init__(
        self,
        train: Sequence[Event],
        val: Sequence[Event],
        *,
        inputs: VoxelInputs,
        batch_size: int = 8,
        batch_voxels: int | None = None,
        num_workers: int = 0,
        transform: Transform | None = None,
        classes: Sequence[int] = PARTICLE_CLASSES,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if len(train) == 0:
            raise ValueError("there are no training events")
        self.train_events = train
        self.val_events = val
        self.inputs = inputs
        self.classes = tuple(classes)
        self.transform = transform
        self.collate = partial(collate_events, inputs=inputs)
        self.batch_size = batch_size
        self.batch_voxels = batch_voxels
        self.num_workers = num_workers
        self.seed = seed
        self.left_out = len(train) - len(self._batches().events)

    @property
    def batches_per_epoch(self) -> int:
        """Batches of the first epoch; with ``batch_voxels`` that of others may differ a little."""
        return len(self._batches().epoch(0))

    def train_dataloader(self) -> DataLoader[Event]:
        """Return the batches from the step on that the trainer has reached."""
        stream = _Stream(self.train_events, self.transform, self.seed)
        events = cast(Sequence[Event], stream)
        dataset = _Prepared(events, "training", len(self.train_events), classes=self.classes)
        return self._loader(dataset, self._batches())

    def val_dataloader(self) -> DataLoader[Event]:
        """Return the validation events of this process, in order."""
        rank, world_size, _ = self._place()
        sizes, most = self._val_sizes, self.batch_voxels
        numbers = range(rank, len(self.val_events), world_size)
        if 0 < len(self.val_events) < world_size:
            raise ValueError(
                f"{world_size} processes need as many validation events, got {len(self.val_events)}"
            )

        def fits(batch: Sequence[int]) -> bool:
            return sizes is None or most is None or int(sizes[list(batch)].sum()) <= most

        batches = packed(numbers, fits, batch_size=max(1, self.batch_size // world_size))
        dataset = _Prepared(self.val_events, "validation", len(self.val_events), classes=self.classes)
        return self._loader(dataset, list(batches))

    def _batches(self) -> EpochBatches:
        rank, world_size, start = self._place()
        wanted = self.batch_voxels is not None or world_size > 1
        return EpochBatches(
            len(self.train_events),
            batch_size=self.batch_size,
            seed=self.seed,
            sizes=self._train_sizes if wanted else None,
            max_voxels=self.batch_voxels,
            rank=rank,
            world_size=world_size,
            start=start,
        )

    def _place(self) -> tuple[int, int, int]:
        """Rank, number of processes, and batches that the trainer has done."""
        trainer = self.trainer
        if trainer is None:
            return 0, 1, 0
        done = trainer.global_step * trainer.accumulate_grad_batches
        return trainer.global_rank, trainer.world_size, done

    @cached_property
    def _train_sizes(self) -> Any:
        return voxel_counts(self.train_events)

    @cached_property
    def _val_sizes(self) -> Any:
        return None if self.batch_voxels is None else voxel_counts(self.val_events)

    def _loader(self, dataset: VoxelDataset, batches: Any) -> DataLoader[Event]:
        return DataLoader(
            dataset,
            batch_sampler=batches,
            num_workers=self.num_workers,
            collate_fn=self.collate,
            pin_memory=torch.cuda.is_available(),
        )

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        """Move a batch; Lightning's default looks only inside standard containers."""
        return batch.to(device)


class EventError(ValueError):
    """An event that cannot be used; comes out of a worker process without the traceback from there."""

    def __init__(self, message: str) -> None:
        super().__init__(message.rpartition(f"{type(self).__name__}: ")[2].strip())


class _Prepared(VoxelDataset):
    """Names the event that cannot be prepared."""

    def __init__(self, events: Sequence[Event], kind: str, n: int, *, classes: Sequence[int]) -> None:
        super().__init__(events, classes=classes)
        self.kind = kind
        self.n = n

    def __getitem__(self, index: int) -> Event:
        try:
            return super().__getitem__(index)
        except ValueError as error:
            raise EventError(f"{self.kind} event {index % self.n}: {error}") from error


class _Stream:
    """Events of all epochs, one after the other; each transformed as its number says."""

    _EPOCHS = 1 << 31

    def __init__(self, events: Sequence[Event], transform: Transform | None, seed: int) -> None:
        self.events = events
        self.transform = transform
        self.seed = seed

    def __len__(self) -> int:
        return len(self.events) * self._EPOCHS

    def __getitem__(self, number: int) -> Event:
        epoch, index = divmod(number, len(self.events))
        event = self.events[index]
        if self.transform is None:
            return event
        return self.transform(event, np.random.default_rng([self.seed, epoch, index]))
