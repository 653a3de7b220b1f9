"""Events for Lightning."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader

from sparseclust.data import Batch, Event, VoxelDataset, VoxelInputs, collate_events
from sparseclust.pipeline import PARTICLE_CLASSES
from sparseclust.training._lightning import lightning


class EventDataModule(lightning.LightningDataModule):
    """Batches of training and validation events.

    Parameters
    ----------
    train, val : sequence of Event
        E.g. :func:`sparseclust.data.open_events` of a file.
    inputs : VoxelInputs
        Makes the network's input features.
    batch_size : int
        Events per batch.
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
        If there are no training events.
    """

    def __init__(
        self,
        train: Sequence[Event],
        val: Sequence[Event],
        *,
        inputs: VoxelInputs,
        batch_size: int = 8,
        num_workers: int = 0,
        transform: Callable[[Event, np.random.Generator], Event] | None = None,
        classes: Sequence[int] = PARTICLE_CLASSES,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if len(train) == 0:
            raise ValueError("there are no training events")
        self.train_set = VoxelDataset(train, transform=transform, classes=classes, seed=seed)
        self.val_set = VoxelDataset(val, classes=classes)
        self.inputs = inputs
        self.classes = tuple(classes)
        self.collate = partial(collate_events, inputs=inputs)
        self.batch_size = batch_size
        self.num_workers = num_workers
        self.seed = seed

    def train_dataloader(self) -> DataLoader[Event]:
        """Return shuffled batches; the order depends on the seed and the epoch only."""
        epoch = self.trainer.current_epoch if self.trainer is not None else 0
        self.train_set.set_epoch(epoch)
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + epoch)
        return self._loader(
            self.train_set,
            shuffle=True,
            generator=generator,
            drop_last=len(self.train_set) >= self.batch_size,
        )

    def val_dataloader(self) -> DataLoader[Event]:
        """Return validation events, in order."""
        return self._loader(self.val_set)

    def _loader(self, dataset: VoxelDataset, **options: Any) -> DataLoader[Event]:
        return DataLoader(
            dataset,
            batch_size=self.batch_size,
            num_workers=self.num_workers,
            collate_fn=self.collate,
            pin_memory=torch.cuda.is_available(),
            **options,
        )

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        """Move a batch; Lightning's default looks only inside standard containers."""
        return batch.to(device)
