"""What is said about one event, and the way from the rows of a batch back to those of its events."""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sparseclust._voxels import dense_ids, stable_order
from sparseclust.data import Event, coalesce_event
from sparseclust.pipeline._assemble import Labelled


@dataclass(frozen=True, slots=True)
class Prediction:
    """What the chain says about one event.

    Attributes
    ----------
    event : Event
        The event as it was given.
    labels : (n,) int64
        Predicted particle of each voxel, aligned with the event's rows; from 0 in each event. ``-1``: in no
        particle, because no cluster claims the voxel or its class is not clustered.
    outputs : mapping of str to (n, ...) float32
        The network's outputs per voxel, aligned likewise; ``nan`` for voxels that the network did not see.
        Those that the clusterer reads, and those that the predictor was asked for.
    edges : (2, m) int64, optional
        Pairs of rows that an affinity graph joins or not: touching voxels, of one class unless the predictor
        joined across them, and bridges.
    affinity : (m,) float32, optional
        How likely each of them is of one particle.
    voxel : (n,) int64, optional
        Row that stands for each row: itself, or another one where the event lists the coordinate more than
        once; -1 for voxels that the network did not see. Edges join such rows. None: each for itself.
    semantic : (n,) int64, optional
        Semantic class of each voxel that a classifier gave, and that it was clustered with; where the
        predictor joined across classes, that of most voxels of its particle. Those of the event stay as they
        were.
    """

    event: Event
    labels: npt.NDArray[np.int64]
    outputs: Mapping[str, npt.NDArray[np.float32]]
    edges: npt.NDArray[np.int64] | None = None
    affinity: npt.NDArray[np.float32] | None = None
    voxel: npt.NDArray[np.int64] | None = None
    semantic: npt.NDArray[np.int64] | None = None


class Outputs(dict[str, npt.NDArray[np.float32]]):
    """Outputs by name, which say how to get one that is not there."""

    def __missing__(self, name: str) -> npt.NDArray[np.float32]:
        raise KeyError(f"{name}: the prediction holds {sorted(self)}, see Predictor(outputs=[{name!r}])")


class Seen:
    """The part of an event that the network sees, and the way back to the event's rows.

    With ``classified``, the same event with predicted classes, these decide.
    """

    def __init__(self, event: Event, classes: Sequence[int], *, classified: Event | None = None) -> None:
        self.original = event
        self.semantic = None if classified is None else classified.semantic
        event = event if classified is None else classified
        keep = np.ones(len(event), bool) if event.semantic is None else np.isin(event.semantic, classes)
        self.rows = np.flatnonzero(keep)
        kept = event.select(keep)
        self.event, self.inverse = coalesce_event(kept)
        self.leading = self.rows
        if self.event is not kept:
            # A row that lends its class to the voxel may stand for it: the first such row.
            same = np.ones(len(kept), bool)
            if kept.semantic is not None and self.event.semantic is not None:
                same = kept.semantic == self.event.semantic[self.inverse]
            self.leading = np.empty(len(self.event), np.int64)
            self.leading[self.inverse[same][::-1]] = self.rows[same][::-1]

    def voxel(self) -> npt.NDArray[np.int64]:
        """Row that stands for each row, -1 where the network saw none."""
        out = np.full(len(self.original), -1, np.int64)
        out[self.rows] = self.leading[self.inverse]
        return out

    def expand(self, values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Spread values of the seen voxels over the event's rows, nan elsewhere."""
        out = np.full((len(self.original), *values.shape[1:]), np.nan, np.float32)
        out[self.rows] = values[self.inverse]
        return out

    def expand_labels(self, labels: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Likewise for labels: -1 elsewhere, numbered from 0 within the event."""
        renumbered, values = dense_ids(labels)
        renumbered -= int(np.count_nonzero(values < 0))
        out = np.full(len(self.original), -1, np.int64)
        out[self.rows] = renumbered[self.inverse]
        return out


def per_event(
    seen: Sequence[Seen],
    labelled: Labelled,
    outputs: Mapping[str, npt.NDArray[np.float32]],
    *,
    one_class: bool = False,
) -> list[Prediction]:
    """Cut what belongs to a batch into its events; with ``one_class`` a particle has that of its majority."""
    sizes = [len(s.event) for s in seen]
    splits = np.cumsum([0, *sizes])
    predictions = []
    for s, a, b, (edges, affinity) in zip(seen, splits, splits[1:], _graphs(labelled, splits)):
        arrays = Outputs((name, s.expand(values[a:b])) for name, values in outputs.items())
        rows = None if edges is None else s.leading[edges - a]
        labels = s.expand_labels(labelled.labels[a:b])
        semantic = s.semantic
        if one_class and semantic is not None:
            semantic = majority(semantic, labels)
        predictions.append(
            Prediction(
                s.original,
                labels,
                arrays,
                rows,
                affinity,
                voxel=s.voxel(),
                semantic=semantic,
            )
        )
    return predictions


def majority(semantic: npt.NDArray[np.int64], labels: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Class of most voxels of each particle, of equally many the smallest; others keep theirs."""
    inside = labels >= 0
    shape = labels.max(initial=-1) + 1, semantic.max(initial=0) + 1
    cells = labels[inside] * shape[1] + semantic[inside]
    votes = np.bincount(cells, minlength=math.prod(shape)).reshape(shape)
    out = semantic.copy()
    out[inside] = votes.argmax(axis=1)[labels[inside]]
    return out


def _graphs(labelled: Labelled, splits: npt.NDArray[np.int64]) -> Iterator[tuple[Any, Any]]:
    """Edges and affinities of each event, in their order; None where there is no graph."""
    if labelled.edges is None or labelled.affinity is None:
        yield from itertools.repeat((None, None), len(splits) - 1)
        return
    number = np.repeat(np.arange(len(splits) - 1), np.diff(splits))[labelled.edges[0]]
    order = stable_order(number)
    for part in np.split(order, np.searchsorted(number[order], np.arange(1, len(splits) - 1))):
        yield labelled.edges.take(part, axis=1), labelled.affinity[part]  # twice as fast as edges[:, part]
