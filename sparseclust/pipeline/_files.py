"""Predictions on disk: an event store with one label per voxel."""

import os
from collections.abc import Iterable
from typing import Any

from sparseclust.data import Event, write_events
from sparseclust.pipeline._prediction import Prediction

_SAVED_OUTPUTS = ("margins", "seediness")


def write_predictions(
    path: str | os.PathLike[str],
    predictions: Iterable[Prediction],
    *,
    attrs: dict[str, Any] | None = None,
    embeddings: bool = False,
) -> int:
    """Write predictions to one HDF5 file, atomically: the file appears when it is complete.

    Parameters
    ----------
    path : path
        File to write. :class:`sparseclust.data.EventStore` reads it back: the events as they were
        given, rows in the input's order, with the column ``extra["label"]`` and, where the network has
        them, ``extra["margins"]`` and ``extra["seediness"]``; ``extra["class"]`` is the semantic class that a
        classifier gave.
    predictions : iterable of Prediction
        Consumed one by one; never all in memory.
    attrs : mapping, optional
        Attributes of the file, e.g. where model and events came from.
    embeddings : bool
        Store the embeddings too, as ``extra["embeddings"]``.

    Returns
    -------
    int
        Number of events written.
    """
    saved = (*_SAVED_OUTPUTS, "embeddings") if embeddings else _SAVED_OUTPUTS
    labelled = (
        Event(
            p.event.coords,
            p.event.feats,
            p.event.semantic,
            p.event.instance,
            extra={
                **p.event.extra,
                "label": p.labels,
                **({} if p.semantic is None else {"class": p.semantic}),
                **{k: p.outputs[k] for k in saved if k in p.outputs},
            },
        )
        for p in predictions
    )
    return write_events(path, labelled, attrs={"content": "predictions", **(attrs or {})})
