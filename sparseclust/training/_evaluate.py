"""Scores of a predictor on labelled events, beside DBSCAN and the published network."""

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from sparseclust.clustering import dbscan_voxels
from sparseclust.data import Event, SemanticClass
from sparseclust.metrics import score_events
from sparseclust.pipeline import PARTICLE_CLASSES, Prediction

# Koh et al., arXiv:2007.03083 and its talk: mean scores per class on PILArNet, with true semantic classes and
# without low-energy deposits.
PUBLISHED: Mapping[SemanticClass, Mapping[str, float]] = MappingProxyType(
    {
        SemanticClass.SHOWER: MappingProxyType(
            {"ari": 0.968, "purity": 0.997, "efficiency": 0.996, "sbd": 0.978}
        ),
        SemanticClass.TRACK: MappingProxyType(
            {"ari": 0.961, "purity": 0.988, "efficiency": 0.983, "sbd": 0.717}
        ),
        SemanticClass.MICHEL: MappingProxyType(
            {"ari": 0.998, "purity": 0.999, "efficiency": 1.000, "sbd": 0.998}
        ),
        SemanticClass.DELTA: MappingProxyType(
            {"ari": 0.978, "purity": 0.992, "efficiency": 0.998, "sbd": 0.982}
        ),
    }
)


def dbscan_labels(
    event: Event, *, eps: float = 1.999, classes: Sequence[int] = PARTICLE_CLASSES
) -> npt.NDArray[np.int64]:
    """Class-wise DBSCAN of an event's voxels: the baseline.

    Parameters
    ----------
    event : Event
    eps : float
        Neighbourhood radius in voxels; 1.999 is the 26-neighbourhood.
    classes : sequence of int
        Semantic classes to cluster. Ignored for events without classes.

    Returns
    -------
    labels : (n,) int64
        ``-1`` for voxels of other classes.
    """
    labels: npt.NDArray[np.int64] = dbscan_voxels(event.coords, eps=eps, group=event.semantic)
    if event.semantic is not None:
        labels[~np.isin(event.semantic, classes)] = -1
    return labels


class Scorer:
    """Scores labels against the truth of their events, a chunk of events at a time.

    Parameters
    ----------
    classes : sequence of int
        Semantic classes to score. Voxels of other classes, or of no true instance, take no part.

    Notes
    -----
    The voxels without a label (-1) count as one more cluster of their event and class, so leaving voxels out
    costs efficiency. Memory: the voxels of 64 events, and one row per (event, class).

    Examples
    --------
    >>> from sparseclust.data import Event
    >>> from sparseclust.training import Scorer
    >>> scorer = Scorer()
    >>> event = Event([[0, 0, 0], [0, 0, 1], [9, 9, 9]], [1, 1, 1], semantic=[1, 1, 1], instance=[0, 0, 1])
    >>> scorer.add(event, [0, 0, 1])
    >>> float(scorer.table()["ari"][0])
    1.0
    """

    _CHUNK = 64

    def __init__(self, classes: Sequence[int] = PARTICLE_CLASSES) -> None:
        self.classes = tuple(classes)
        self.n_events = 0
        self._pending: list[tuple[npt.NDArray[np.int64], ...]] = []
        self._tables: list[npt.NDArray[Any]] = []

    def add(self, event: Event, labels: npt.ArrayLike) -> None:
        """Add one event; events are numbered in this order.

        Raises
        ------
        ValueError
            If the event carries no truth, or ``labels`` has not one value per voxel.
        """
        labels = np.asarray(labels)
        if event.instance is None:
            raise ValueError(f"event {self.n_events} carries no true instances, so it cannot be scored")
        if labels.shape != (len(event),):
            raise ValueError(
                f"event {self.n_events} has {len(event)} voxels, but labels of shape {labels.shape}"
            )
        scored = event.instance >= 0
        if event.semantic is not None:
            scored &= np.isin(event.semantic, self.classes)
        rows = np.flatnonzero(scored)
        semantic = np.zeros(len(rows), np.int64) if event.semantic is None else event.semantic[rows]
        self._pending.append(
            (event.instance[rows], labels[rows], np.full(len(rows), self.n_events), semantic)
        )
        self.n_events += 1
        if len(self._pending) == self._CHUNK:
            self._flush()

    def table(self) -> npt.NDArray[Any]:
        """One row per (event, class), as :func:`sparseclust.metrics.score_events` makes them."""
        self._flush()
        return np.concatenate(self._tables) if self._tables else _score([])

    def _flush(self) -> None:
        if self._pending:
            self._tables.append(_score(self._pending))
            self._pending = []


def _score(events: list[tuple[npt.NDArray[np.int64], ...]]) -> npt.NDArray[Any]:
    none = (np.zeros(0, np.int64),) * 4
    true, labels, event, semantic = (np.concatenate(column) for column in zip(*(events or [none])))
    return score_events(true, labels, event=event, semantic=semantic)


def evaluate(
    predictions: Iterable[Prediction], *, classes: Sequence[int] = PARTICLE_CLASSES
) -> dict[str, npt.NDArray[Any]]:
    """Score predictions, and DBSCAN on the same events.

    Parameters
    ----------
    predictions : iterable of Prediction
        E.g. ``predictor.predict(events)``. Consumed one by one.
    classes : sequence of int
        Semantic classes to score.

    Returns
    -------
    dict of str to structured array
        ``"sparseclust"`` and ``"DBSCAN"``: tables as :meth:`Scorer.table` makes them.

    Raises
    ------
    ValueError
        If an event carries no truth.
    """
    ours, baseline = Scorer(classes), Scorer(classes)
    for prediction in predictions:
        ours.add(prediction.event, prediction.labels)
        baseline.add(prediction.event, dbscan_labels(prediction.event, classes=classes))
    return {"sparseclust": ours.table(), "DBSCAN": baseline.table()}
