"""Predictions on disk: an event store with one label per voxel."""

import os
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from sparseclust.data import Event, write_events
from sparseclust.pipeline._prediction import Prediction

_SAVED = ("margins", "seediness")
WITH_EMBEDDINGS = (*_SAVED, "embeddings")


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
        given, rows in the input's order, with the column ``extra["label"]`` and, where the predictions hold
        them, ``extra["margins"]`` and ``extra["seediness"]``; ``extra["class"]`` is the semantic class that a
        classifier gave.
    predictions : iterable of Prediction
        Consumed one by one; never all in memory.
    attrs : mapping, optional
        Attributes of the file, e.g. where model and events came from.
    embeddings : bool
        Store the embeddings too, as ``extra["embeddings"]``; see ``outputs`` of :class:`Predictor`.

    Returns
    -------
    int
        Number of events written.

    Raises
    ------
    ValueError
        If embeddings are to be stored, and a prediction holds none.
    """
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
                **_outputs(p, embeddings=embeddings),
            },
        )
        for p in predictions
    )
    return write_events(path, labelled, attrs={"content": "predictions", **(attrs or {})})


def _outputs(prediction: Prediction, *, embeddings: bool) -> dict[str, npt.NDArray[np.float32]]:
    if embeddings and "embeddings" not in prediction.outputs:
        raise ValueError(
            "a prediction holds no embeddings to be stored; ask for them: Predictor(outputs=['embeddings'])"
        )
    saved = WITH_EMBEDDINGS if embeddings else _SAVED
    return {name: prediction.outputs[name] for name in saved if name in prediction.outputs}
