"""Events as a torch data set."""

from collections.abc import Sequence

import numpy as np
import torch
from torch.utils.data import Dataset

from sparseclust.data._duplicates import coalesce_event
from sparseclust.data._event import Event
from sparseclust.data._transforms import Transform


class VoxelDataset(Dataset[Event]):
    """Events prepared for training: random transforms, chosen classes, one row per voxel.

    Parameters
    ----------
    events : sequence of Event
        For example a reader or a list.
    transform : callable (event, rng) -> Event, optional
        See :class:`RandomSymmetry` and its like.
    classes : sequence of int or None
        Semantic classes whose voxels are kept, after the transform. None keeps all, also those of events
        without truth.
    seed : int
        With the epoch and the index of the event it determines the random numbers of the transform.

    Raises
    ------
    ValueError
        At reading, if ``classes`` is given and an event has no semantic classes.

    Notes
    -----
    Rows are sorted by coordinates, so that neighbours in space are near in memory: convolutions run faster.
    Event ``i`` of epoch ``e`` is the same for any number of DataLoader workers and any order of reading.

    Examples
    --------
    >>> from sparseclust.data import Event, VoxelDataset
    >>> dataset = VoxelDataset([Event([[0, 0], [0, 1]], [1.0, 2.0], semantic=[1, 4])])
    >>> dataset[0]
    Event(1 voxels, ndim=2, feats=1, truth: semantic)
    """

    def __init__(
        self,
        events: Sequence[Event],
        *,
        transform: Transform | None = None,
        classes: Sequence[int] | None = (0, 1, 2, 3),
        seed: int = 0,
    ) -> None:
        self.events = events
        self.transform = transform
        self.classes = None if classes is None else np.array(classes, np.int64)
        self.seed = seed
        # In shared memory: workers that live through several epochs see the new number.
        self._epoch = torch.zeros((), dtype=torch.int64)
        self._epoch.share_memory_()  # type: ignore[no-untyped-call]

    def set_epoch(self, epoch: int) -> None:
        """Choose the random numbers of the transforms; call it before each pass over the data."""
        if epoch < 0:
            raise ValueError(f"epoch must not be negative, got {epoch}")
        self._epoch.fill_(epoch)

    def __len__(self) -> int:
        return len(self.events)

    def __getitem__(self, index: int) -> Event:
        index = range(len(self))[index]
        event = self.events[index]
        if self.transform is not None:
            event = self.transform(event, np.random.default_rng([self.seed, int(self._epoch), index]))
        event, _ = coalesce_event(self._of_classes(event, index))
        return event.select(np.lexsort(event.coords.T[::-1]))

    def _of_classes(self, event: Event, index: int) -> Event:
        if self.classes is None:
            return event
        if event.semantic is None:
            raise ValueError(f"event {index} has no semantic classes to choose from; pass classes=None")
        keep = np.isin(event.semantic, self.classes)
        return event if keep.all() else event.select(keep)
