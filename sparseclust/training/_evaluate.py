"""Scores of a predictor on labelled events, beside DBSCAN and the published network."""

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sparseclust.clustering import dbscan_voxels, neighbour_edges
from sparseclust.data import Event, SemanticClass
from sparseclust.metrics import score_clusters, score_events, score_matches
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
    costs efficiency. Memory: the voxels of 64 events, one row per event, per (event, class) and per particle.

    Examples
    --------
    >>> from sparseclust.data import Event
    >>> from sparseclust.training import Scorer
    >>> scorer = Scorer()
    >>> event = Event([[0, 0, 0], [0, 0, 1], [9, 9, 9]], [1, 1, 1], semantic=[1, 1, 1], instance=[0, 0, 1])
    >>> scorer.add(event, [0, 0, 1])
    >>> float(scorer.table()["ari"][0]), scorer.particles()["touching"].tolist()
    (1.0, [False, False])
    """

    _CHUNK = 64

    def __init__(self, classes: Sequence[int] = PARTICLE_CLASSES) -> None:
        self.classes = tuple(classes)
        self.n_events = 0
        self._pending: list[_Voxels] = []
        self._tables: list[_Tables] = []

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
        number = np.full(len(rows), self.n_events)
        self._pending.append(
            _Voxels(event.instance[rows], labels[rows], number, semantic, event.coords[rows])
        )
        self.n_events += 1
        if len(self._pending) == self._CHUNK:
            self._flush()

    def table(self) -> npt.NDArray[Any]:
        """One row per (event, class).

        Returns
        -------
        (g,) structured array
            As :func:`sparseclust.metrics.score_events` makes it, with ``f1`` and ``pq`` at IoU 0.5 of
            :func:`sparseclust.metrics.score_matches`.
        """
        self._flush()
        return np.concatenate([t.events for t in self._tables] or [_score(_NOTHING).events])

    def whole_events(self) -> npt.NDArray[Any]:
        """One row per event: the particles of all its classes as one partition.

        Returns
        -------
        (g,) structured array
            As :meth:`table`, without the class. Where classes are predicted, particles of different ones may
            have been joined, which no score of one class shows.
        """
        self._flush()
        return np.concatenate([t.whole for t in self._tables] or [_score(_NOTHING).whole])

    def particles(self) -> npt.NDArray[Any]:
        """One row per true particle.

        Returns
        -------
        (k,) structured array
            As :func:`sparseclust.metrics.score_clusters` makes it, with ``touching``: whether a voxel of
            another particle of its event and class is within its 26-neighbourhood; and ``found``: whether a
            cluster has an IoU above 0.5 with it.
        """
        self._flush()
        return np.concatenate([t.particles for t in self._tables] or [_score(_NOTHING).particles])

    def _flush(self) -> None:
        if self._pending:
            self._tables.append(_score(_Voxels(*map(np.concatenate, zip(*self._pending)))))
            self._pending = []


class _Voxels(NamedTuple):
    """Voxels that are scored."""

    true: npt.NDArray[np.int64]
    labels: npt.NDArray[np.int64]
    event: npt.NDArray[np.int64]
    semantic: npt.NDArray[np.int64]
    coords: npt.NDArray[np.int32]


class _Tables(NamedTuple):
    events: npt.NDArray[Any]
    whole: npt.NDArray[Any]
    particles: npt.NDArray[Any]


_NOTHING = _Voxels(*(np.zeros(0, np.int64),) * 4, np.zeros((0, 3), np.int32))


def _score(voxels: _Voxels) -> _Tables:
    true, labels, event, semantic, coords = voxels
    particles = score_clusters(true, labels, event=event, semantic=semantic).true
    # Rows ascend in event, class and label, as those of the scores.
    _, particle = np.unique(np.stack([event, semantic, true]), axis=1, return_inverse=True)
    particle = particle.reshape(-1)
    group = np.unique(np.stack([event, semantic]), axis=1, return_inverse=True)[1]
    i, j = particle[neighbour_edges(coords, group=group.reshape(-1))]
    touching = np.zeros(len(particles), np.bool_)
    touching[i[i != j]] = touching[j[i != j]] = True
    # An IoU above 1/2 is a Dice coefficient above 2/3.
    return _Tables(
        _partition_scores(true, labels, event=event, semantic=semantic),
        _partition_scores(particle, labels, event=event),
        _extended(particles, touching=touching, found=particles["best_dice"] > 2 / 3),
    )


def _partition_scores(true: npt.NDArray[Any], labels: npt.NDArray[Any], **groups: Any) -> npt.NDArray[Any]:
    matches = score_matches(true, labels, **groups)
    return _extended(score_events(true, labels, **groups), f1=matches["f1"], pq=matches["pq"])


def _extended(table: npt.NDArray[Any], **columns: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Add columns to a structured array."""
    names = [(name, table.dtype[name]) for name in table.dtype.names or ()]
    extended = np.empty(len(table), names + [(name, column.dtype) for name, column in columns.items()])
    for name, _ in names:
        extended[name] = table[name]
    for name, column in columns.items():
        extended[name] = column
    return extended


def evaluate(
    predictions: Iterable[Prediction], *, classes: Sequence[int] = PARTICLE_CLASSES
) -> dict[str, Scorer]:
    """Score predictions, and DBSCAN on the same events, with predicted classes where there are some.

    Parameters
    ----------
    predictions : iterable of Prediction
        E.g. ``predictor.predict(events)``. Consumed one by one.
    classes : sequence of int
        Semantic classes to score.

    Returns
    -------
    dict of str to Scorer
        ``"sparseclust"`` and ``"DBSCAN"``, which hold the scores of events and of particles.

    Raises
    ------
    ValueError
        If an event carries no truth.
    """
    ours, baseline = Scorer(classes), Scorer(classes)
    for prediction in predictions:
        ours.add(prediction.event, prediction.labels)
        baseline.add(prediction.event, dbscan_labels(_as_clustered(prediction), classes=classes))
    return {"sparseclust": ours, "DBSCAN": baseline}


def _as_clustered(prediction: Prediction) -> Event:
    """Return the event with the classes that a classifier gave, if one did."""
    event = prediction.event
    return event if prediction.semantic is None else Event(event.coords, event.feats, prediction.semantic)
