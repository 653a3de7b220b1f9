"""Events as one batch of tensors."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sparseclust.data._event import Event
from sparseclust.data._inputs import VoxelInputs
from sparseclust.sparse import SparseTensor


@dataclass(frozen=True)
class Batch:
    """Voxels of several events, in the order of the events and of their rows.

    Attributes
    ----------
    tensor : SparseTensor
        Network inputs (N, c) float32 at coordinates (N, 1 + ndim) int32, column 0 the event.
    semantic, instance : (N,) int64 Tensor or None
        Truth, as in the events; None if any event lacks it. Instance ids mean something within an event only.
    energy : (N,) float32 Tensor or None
        As in the events, for clusterers that look at it.
    """

    tensor: SparseTensor
    semantic: Tensor | None
    instance: Tensor | None
    energy: Tensor | None = None

    def __len__(self) -> int:
        """Return the number of events, empty ones included."""
        return self.tensor.batch_size

    @property
    def group(self) -> Tensor:
        """Id (N,) int64 of what a voxel is clustered with: its event, and its semantic class where known."""
        event = self.tensor.coords[:, 0].long()
        if self.semantic is None or not len(event):
            return event
        low, high = torch.aminmax(self.semantic)
        return event * (high - low + 1) + (self.semantic - low)

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> "Batch":
        """Move every tensor to a device."""
        tensor = self.tensor.to(device, non_blocking=non_blocking)
        rest = (
            None if values is None else values.to(device, non_blocking=non_blocking)
            for values in (self.semantic, self.instance, self.energy)
        )
        return Batch(tensor, *rest)

    def pin_memory(self) -> "Batch":
        """Move every tensor to page-locked memory; ``DataLoader(pin_memory=True)`` calls this."""
        old = self.tensor
        tensor = SparseTensor(
            old.feats.pin_memory(), old.coords.pin_memory(), batch_size=old.batch_size, stride=old.stride
        )
        rest = (
            None if values is None else values.pin_memory()
            for values in (self.semantic, self.instance, self.energy)
        )
        return Batch(tensor, *rest)


def collate_events(events: Sequence[Event], *, inputs: VoxelInputs) -> Batch:
    """Make one batch of several events.

    Parameters
    ----------
    events : sequence of Event
        At least one, all of the same ``ndim``; any of them may be empty.
    inputs : VoxelInputs
        Makes the input features. With a DataLoader:
        ``collate_fn=functools.partial(collate_events, inputs=inputs)``.

    Returns
    -------
    Batch
        Rows in the order given; nothing is merged or dropped.

    Raises
    ------
    ValueError
        If there is no event, or their dimensions differ.

    Examples
    --------
    >>> from sparseclust.data import Event, VoxelInputs, collate_events
    >>> events = [Event([[0, 0, 0]], [1.0], semantic=[1]), Event([[5, 5, 5]], [2.0], semantic=[0])]
    >>> batch = collate_events(events, inputs=VoxelInputs(8))
    >>> batch.tensor.coords.tolist(), batch.semantic.tolist(), batch.instance
    ([[0, 0, 0, 0], [1, 5, 5, 5]], [1, 0], None)
    """
    if len({event.ndim for event in events}) != 1:
        raise ValueError(
            f"expected at least one event and all of the same ndim, got {[event.ndim for event in events]}"
        )
    number = np.repeat(np.arange(len(events), dtype=np.int32), [len(event) for event in events])
    coords = np.column_stack([number, np.concatenate([event.coords for event in events])])
    feats = np.concatenate([inputs(event) for event in events])
    tensor = SparseTensor(torch.from_numpy(feats), torch.from_numpy(coords), batch_size=len(events))
    energy = torch.from_numpy(np.concatenate([event.energy for event in events]))
    return Batch(tensor, _joined([e.semantic for e in events]), _joined([e.instance for e in events]), energy)


def _joined(labels: Sequence[npt.NDArray[np.int64] | None]) -> Tensor | None:
    known = [values for values in labels if values is not None]
    return torch.from_numpy(np.concatenate(known)) if len(known) == len(labels) else None
