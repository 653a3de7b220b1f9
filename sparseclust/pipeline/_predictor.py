"""A trained network and a clusterer, applied to events."""

import itertools
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch

from sparseclust.data import Event, SemanticClass, VoxelInputs, coalesce_event, collate_events
from sparseclust.models import create_model
from sparseclust.pipeline._assemble import (
    Clusterer,
    Labelled,
    check_refine,
    clusterer_from_dict,
    clusterer_to_dict,
    label_batch,
)

FORMAT = "sparseclust-model"
PER_EDGE = ("edges", "affinity")
PARTICLE_CLASSES = (SemanticClass.SHOWER, SemanticClass.TRACK, SemanticClass.MICHEL, SemanticClass.DELTA)
_PRECISIONS = {None: None, "bf16": torch.bfloat16, "fp16": torch.float16}


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
    edges : (2, m) int64, optional
        Pairs of rows that an affinity graph joins or not: touching voxels of one class.
    affinity : (m,) float32, optional
        How likely each of them is of one particle.
    voxel : (n,) int64, optional
        Row that stands for each row: itself, or another one where the event lists the coordinate more than
        once; -1 for voxels that the network did not see. Edges join such rows. None: each for itself.
    """

    event: Event
    labels: npt.NDArray[np.int64]
    outputs: Mapping[str, npt.NDArray[np.float32]]
    edges: npt.NDArray[np.int64] | None = None
    affinity: npt.NDArray[np.float32] | None = None
    voxel: npt.NDArray[np.int64] | None = None


class Predictor:
    """Label the voxels of events.

    Parameters
    ----------
    model : torch.nn.Module
        Maps a :class:`~sparseclust.sparse.SparseTensor` to named outputs, such as
        :func:`sparseclust.models.edge_spice`.
    clusterer : GaussianKernelClusterer or AffinityGraphClusterer
        Turns ``"embeddings"``, ``"margins"`` and ``"seediness"``, or ``"edges"`` and ``"affinity"``, into
        labels.
    inputs : VoxelInputs
        Makes the network's input features; the same as in training.
    classes : sequence of int
        Semantic classes to cluster; voxels of other classes get label -1 and the network does not see them.
        Ignored for events without semantic classes.
    batch_size : int
        Events per forward pass.
    device : torch.device or str, optional
        Where to run; by default wherever the model is.
    precision : {None, "bf16", "fp16"}
        Autocast precision of the network. The clusterer always works in float64.
    refine : bool
        Repair the clusters of Gaussian kernels by the connectivity of their voxels, with
        :func:`sparseclust.clustering.refine`.

    Raises
    ------
    ValueError
        If an option is unknown or out of range, or ``refine`` is asked for beside an affinity graph.

    Notes
    -----
    Voxels of different events or classes are never in one particle. Where an event lists a coordinate more
    than once, the network sees it once (see :func:`sparseclust.data.coalesce_event`) and all its rows get
    the same label.

    Examples
    --------
    >>> from sparseclust.data import VoxelInputs
    >>> from sparseclust.data.simulation import EventGenerator
    >>> from sparseclust.clustering import GaussianKernelClusterer
    >>> from sparseclust.models import spice
    >>> from sparseclust.pipeline import Predictor
    >>> model = spice(spatial_size=64, base_channels=4, depth=2)
    >>> predictor = Predictor(model, GaussianKernelClusterer(), inputs=VoxelInputs(64))
    >>> event = EventGenerator("single:mu-", spatial_size=64, rng=1).event(0)
    >>> [prediction] = predictor.predict([event])
    >>> prediction.labels.shape == (len(event),)
    True
    """

    def __init__(
        self,
        model: torch.nn.Module,
        clusterer: Clusterer,
        *,
        inputs: VoxelInputs,
        classes: Sequence[int] = PARTICLE_CLASSES,
        batch_size: int = 8,
        device: torch.device | str | None = None,
        precision: str | None = None,
        refine: bool = False,
    ) -> None:
        if precision not in _PRECISIONS:
            raise ValueError(f"precision must be one of {list(_PRECISIONS)}, got {precision!r}")
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        check_refine(clusterer, refine)
        self.model = model if device is None else model.to(device)
        self.clusterer = clusterer
        self.inputs = inputs
        self.classes = tuple(int(c) for c in classes)
        self.batch_size = batch_size
        self.precision = precision
        self.refine = refine

    @property
    def device(self) -> torch.device:
        """Where the network's parameters are."""
        return next(self.model.parameters()).device

    def predict(self, events: Iterable[Event]) -> Iterator[Prediction]:
        """Label events one batch at a time: lazily, in order, one prediction per event."""
        source = iter(events)
        while batch := list(itertools.islice(source, self.batch_size)):
            yield from self.predict_batch(batch)

    def predict_batch(self, events: Sequence[Event]) -> list[Prediction]:
        """Label events in one forward pass."""
        seen = [_Seen(event, self.classes) for event in events]
        batch = collate_events([s.event for s in seen], inputs=self.inputs).to(self.device)
        training = self.model.training
        self.model.eval()
        try:
            with torch.inference_mode(), self._autocast():
                outputs = self.model(batch.tensor)
        finally:
            self.model.train(training)
        labelled = label_batch(self.clusterer, outputs, batch, refine=self.refine)
        arrays = {k: v.float().cpu().numpy() for k, v in outputs.items() if k not in PER_EDGE}
        return _per_event(seen, labelled, arrays)

    def _autocast(self) -> AbstractContextManager[Any]:
        dtype = _PRECISIONS[self.precision]
        return nullcontext() if dtype is None else torch.autocast(self.device.type, dtype=dtype)

    def save(self, path: str | os.PathLike[str], **info: Any) -> None:
        """Write network, input scaling, clusterer and classes into one file, atomically.

        Parameters
        ----------
        path : path
            The file :meth:`from_pretrained` reads.
        **info : str, int, float
            Whatever should be remembered about the training.

        Raises
        ------
        ValueError
            If the model was not made by :func:`sparseclust.models.create_model` or a preset, and so cannot be
            rebuilt from a file.
        """
        config = getattr(self.model, "config", None)
        if config is None:
            raise ValueError(
                "only models made by sparseclust.models.create_model or a preset can be saved with their "
                "architecture; save your own model's state_dict() and build the Predictor in code"
            )
        content = {
            "format": FORMAT,
            "model": dict(config),
            "inputs": asdict(self.inputs),
            "clusterer": clusterer_to_dict(self.clusterer),
            "refine": self.refine,
            "classes": list(self.classes),
            "info": info,
            "state": {name: value.detach().cpu() for name, value in self.model.state_dict().items()},
        }
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        try:
            torch.save(content, temporary)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)

    @classmethod
    def from_pretrained(
        cls,
        path: str | os.PathLike[str],
        *,
        batch_size: int = 8,
        device: torch.device | str | None = None,
        precision: str | None = None,
        refine: bool | None = None,
    ) -> Self:
        """Read a file that :meth:`save` wrote (``sparseclust train`` leaves one as ``model.pt``).

        Parameters
        ----------
        path : path
        batch_size, device, precision
            As for the class.
        refine : bool, optional
            As for the class; by default as the file says.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If it is not such a file, or a damaged one.
        """
        content = _read(Path(path))
        settings = dict(content["model"])
        model = create_model(settings.pop("name"), **settings)
        model.load_state_dict(content["state"])
        return cls(
            model.eval(),
            clusterer_from_dict(content["clusterer"]),
            inputs=VoxelInputs(**content["inputs"]),
            classes=content["classes"],
            batch_size=batch_size,
            device=device,
            precision=precision,
            refine=content.get("refine", False) if refine is None else refine,
        )


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; `sparseclust train` writes one as model.pt")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises RuntimeError, UnpicklingError, EOFError, KeyError, ...
        raise ValueError(
            f"{path}: cannot be read as a model, damaged or of another kind ({type(error).__name__})"
        ) from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ValueError(
            f"{path}: not a model of sparseclust; expected the file that Predictor.save writes (model.pt)"
        )
    return content


class _Seen:
    """The part of an event that the network sees, and the way back to the event's rows."""

    def __init__(self, event: Event, classes: Sequence[int]) -> None:
        self.original = event
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
        values, renumbered = np.unique(labels, return_inverse=True)
        renumbered = renumbered - int(np.count_nonzero(values < 0))
        out = np.full(len(self.original), -1, np.int64)
        out[self.rows] = renumbered[self.inverse]
        return out


def _per_event(
    seen: Sequence[_Seen], labelled: Labelled, outputs: Mapping[str, npt.NDArray[np.float32]]
) -> list[Prediction]:
    """Cut what belongs to a batch into its events."""
    sizes = [len(s.event) for s in seen]
    splits = np.cumsum([0, *sizes])
    predictions = []
    for s, a, b, (edges, affinity) in zip(seen, splits, splits[1:], _graphs(labelled, splits)):
        arrays = {name: s.expand(values[a:b]) for name, values in outputs.items()}
        rows = None if edges is None else s.leading[edges - a]
        predictions.append(
            Prediction(s.original, s.expand_labels(labelled.labels[a:b]), arrays, rows, affinity, s.voxel())
        )
    return predictions


def _graphs(labelled: Labelled, splits: npt.NDArray[np.int64]) -> Iterator[tuple[Any, Any]]:
    """Edges and affinities of each event, in their order; None where there is no graph."""
    if labelled.edges is None or labelled.affinity is None:
        yield from itertools.repeat((None, None), len(splits) - 1)
        return
    number = np.repeat(np.arange(len(splits) - 1, dtype=np.uint32), np.diff(splits))[labelled.edges[0]]
    order = np.argsort(number, kind="stable")
    for part in np.split(order, np.searchsorted(number[order], np.arange(1, len(splits) - 1))):
        yield labelled.edges[:, part], labelled.affinity[part]
