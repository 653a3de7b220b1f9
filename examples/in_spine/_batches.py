"""From SPINE's batches to ours: theirs hold events one behind another and say how many rows each has."""

from collections.abc import Sequence

import torch
from spine.data import IndexBatch, TensorBatch
from torch import Tensor

from sparseclust.data import Batch, VoxelInputs, collate_events, events_from_arrays


def event_of_row(batch: TensorBatch) -> Tensor:
    """Event of each row of a batch, with or without a batch column."""
    counts = torch.as_tensor(batch.counts, device=batch.torch_tensor().device)
    return torch.repeat_interleave(torch.arange(len(counts), device=counts.device), counts)


def rows_of_classes(
    data: TensorBatch, shapes: TensorBatch, classes: Sequence[int]
) -> tuple[IndexBatch, TensorBatch]:
    """Rows, counted through the batch, of the voxels of some semantic classes, and their classes."""
    shape = shapes.torch_tensor().flatten().long()
    rows = torch.isin(shape, torch.tensor(classes, device=shape.device)).nonzero().flatten()
    counts = torch.bincount(event_of_row(data)[rows], minlength=data.batch_size)
    spans = torch.as_tensor(data.counts, device=counts.device)
    return IndexBatch(rows, spans=spans, counts=counts), TensorBatch(shape[rows], counts)


def network_batch(data: TensorBatch, shapes: TensorBatch, rows: IndexBatch, inputs: VoxelInputs) -> Batch:
    """Our batch of those rows: coordinates in voxels, the first value scaled as the network knows it."""
    values = data.torch_tensor()[rows.index]
    events = events_from_arrays(
        values[:, data.coordinate_columns()],
        values[:, data.feature_columns()[0]],
        counts=rows.counts,
        semantic=shapes.torch_tensor(),
    )
    return collate_events(events, inputs=inputs).to(values.device)
