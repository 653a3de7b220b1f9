"""A trained network and a clusterer, applied to events."""

import itertools
import os
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self, get_args

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sparseclust.data import Batch, Event, SemanticClass, VoxelInputs, collate_events
from sparseclust.pipeline._assemble import (
    PER_EDGE,
    Clusterer,
    Labelled,
    check_across_classes,
    check_refine,
    evaluating,
    label_batch,
    needed_outputs,
    network_outputs,
)
from sparseclust.pipeline._classifier import SemanticClassifier
from sparseclust.pipeline._clusterers import clusterer_from_dict, clusterer_to_dict, judge_to_state
from sparseclust.pipeline._model_file import build_model, describe_model, read_model, write_model
from sparseclust.pipeline._prediction import Prediction, Seen, per_event
from sparseclust.pipeline._views import averaged, other_views
from sparseclust.pipeline._workers import LabelPool

STAGES = ("read", "collate", "network", "cluster")
PARTICLE_CLASSES = (SemanticClass.SHOWER, SemanticClass.TRACK, SemanticClass.MICHEL, SemanticClass.DELTA)
AcrossClasses = Literal["never", "classified", "always"]
_PRECISIONS = {None: None, "bf16": torch.bfloat16, "fp16": torch.float16}


class _Outputs(NamedTuple):
    """What the network says of a batch: tensors where they are, and on the host what is kept."""

    seen: list[Seen]
    batch: Batch
    outputs: dict[str, Tensor]
    arrays: dict[str, npt.NDArray[np.float32]]


class Predictor:
    """Label the voxels of events.

    Parameters
    ----------
    model : torch.nn.Module
        Maps a :class:`~sparseclust.sparse.SparseTensor` to named outputs, such as
        :func:`sparseclust.models.edge_spice`.
    clusterer : GaussianKernelClusterer, AffinityGraphClusterer or AgglomerativeClusterer
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
    views : int
        Average the scores of edges over as many symmetries of the volume, at most 48 in three dimensions: a
        little better, and the network runs as often. 1: the events as they are.
    across_classes : {"never", "classified", "always"}
        Whether touching voxels of different classes may be of one particle: where :attr:`classifier` gave
        their classes, or always. Only for an affinity graph, and a network that has learned it
        (``sparseclust train --across_classes true``). Predicted classes are then those of most voxels of a
        particle.
    outputs : sequence of str
        Outputs per voxel that predictions hold beside those that the clusterer reads. Branches of a
        :class:`~sparseclust.models.BranchedNet` that give neither are not run.

    Attributes
    ----------
    classifier : SemanticClassifier or None
        Set it, and its classes take the place of those of the events, which may have none.
    seconds : dict of str to float
        Time spent so far in the stages ``"read"``, ``"collate"``, ``"network"`` and ``"cluster"``; with
        worker processes the last is the time that they were waited for.

    Raises
    ------
    ValueError
        If an option is unknown or out of range, or ``refine`` is asked for beside an affinity graph; on
        prediction, if the network does not give what is asked for.

    Notes
    -----
    Voxels of different events are never in one particle, those of different classes only with
    ``across_classes``. Where an event lists a coordinate more than once, the network sees it once (see
    :func:`sparseclust.data.coalesce_event`) and all its rows get the same label.

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
        views: int = 1,
        across_classes: AcrossClasses = "never",
        outputs: Sequence[str] = (),
    ) -> None:
        if precision not in _PRECISIONS:
            raise ValueError(f"precision must be one of {list(_PRECISIONS)}, got {precision!r}")
        for name, value in (("batch_size", batch_size), ("views", views)):
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        if across_classes not in get_args(AcrossClasses):
            raise ValueError(
                f"across_classes must be one of {list(get_args(AcrossClasses))}, got {across_classes!r}"
            )
        check_refine(clusterer, refine)
        check_across_classes(clusterer, across_classes != "never")
        self.model = model if device is None else model.to(device)
        self.clusterer = clusterer
        self.inputs = inputs
        self.classes = tuple(int(c) for c in classes)
        self.batch_size = batch_size
        self.precision = precision
        self.refine = refine
        self.views = views
        self.across_classes = across_classes
        self.outputs = tuple(outputs)
        self.classifier: SemanticClassifier | None = None
        self.seconds = dict.fromkeys(STAGES, 0.0)

    @property
    def device(self) -> torch.device:
        """Where the network's parameters are."""
        return next(self.model.parameters()).device

    def predict(self, events: Iterable[Event], *, workers: int = 0) -> Iterator[Prediction]:
        """Label events one batch at a time: lazily, in order, one prediction per event.

        Parameters
        ----------
        events : iterable of Event
        workers : int
            Processes that cluster batches while the network is at the next ones; 0: this one does both in
            turn. Labels are the same. They pay where the network runs on a GPU, or leaves cores idle; each
            takes a few seconds to start.

        Raises
        ------
        ValueError
            If ``workers`` is negative.
        """
        if workers < 0:
            raise ValueError(f"workers must be at least 0, got {workers}")
        return self._predict_beside(events, workers) if workers else self._predict_in_turn(events)

    def _predict_in_turn(self, events: Iterable[Event]) -> Iterator[Prediction]:
        for batch in self._batches(events):
            yield from self.predict_batch(batch)

    def _predict_beside(self, events: Iterable[Event], workers: int) -> Iterator[Prediction]:
        waiting: deque[tuple[_Outputs, Future[Labelled]]] = deque()
        with LabelPool(workers, self.clusterer) as pool:
            for batch in self._batches(events):
                found = self._forward(batch)
                task = pool.submit(found.outputs, found.batch, **self._how)
                waiting.append((found, task))
                if len(waiting) > 2 * workers:
                    yield from self._collected(pool, *waiting.popleft())
            while waiting:
                yield from self._collected(pool, *waiting.popleft())

    def predict_batch(self, events: Sequence[Event]) -> list[Prediction]:
        """Label events in one forward pass."""
        found = self._forward(events)
        with self._stage("cluster"):
            labelled = label_batch(self.clusterer, found.outputs, found.batch, **self._how)
            return self._per_event(found, labelled)

    def _collected(self, pool: LabelPool, found: "_Outputs", task: "Future[Labelled]") -> list[Prediction]:
        with self._stage("cluster"):
            return self._per_event(found, pool.result(task))

    def _per_event(self, found: "_Outputs", labelled: Labelled) -> list[Prediction]:
        return per_event(found.seen, labelled, found.arrays, one_class=self._how["across_classes"])

    @property
    def _how(self) -> dict[str, bool]:
        """Options of :func:`label_batch`."""
        across = self.across_classes == "always" or (
            self.across_classes == "classified" and self.classifier is not None
        )
        return {"refine": self.refine, "across_classes": across}

    def _batches(self, events: Iterable[Event]) -> Iterator[list[Event]]:
        source = iter(events)
        while True:
            with self._stage("read"):
                batch = list(itertools.islice(source, self.batch_size))
            if not batch:
                return
            yield batch

    def _forward(self, events: Sequence[Event]) -> "_Outputs":
        with self._stage("collate"):
            if self.classifier is None:
                seen = [Seen(event, self.classes) for event in events]
            else:
                classified = self.classifier.classify_batch(events)
                seen = [Seen(e, self.classes, classified=c) for e, c in zip(events, classified)]
            batch = collate_events([s.event for s in seen], inputs=self.inputs).to(self.device)
        with self._stage("network"), evaluating(self.model), torch.inference_mode(), self._autocast():
            outputs = self._outputs(seen, batch)
            # Here, so that a GPU is waited for in the stage that it works for.
            arrays = {k: v.float().cpu().numpy() for k, v in outputs.items() if k not in PER_EDGE}
        return _Outputs(seen, batch, outputs, arrays)

    def _outputs(self, seen: Sequence[Seen], batch: Batch) -> dict[str, Tensor]:
        outputs = network_outputs(self.model, batch, only={*needed_outputs(self.clusterer), *self.outputs})
        if missing := [name for name in self.outputs if name not in outputs]:
            raise ValueError(f"predictions are to hold {missing}, the network gives {sorted(outputs)}")
        if self.views == 1 or not seen:
            return outputs
        views = (
            network_outputs(
                self.model, collate_events(events, inputs=self.inputs).to(self.device), only=PER_EDGE
            )
            for events in other_views([s.event for s in seen], self.views, size=self.inputs.spatial_size)
        )
        return averaged(outputs, views, len(batch.tensor))

    @contextmanager
    def _stage(self, name: str) -> Iterator[None]:
        begin = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] += time.perf_counter() - begin

    def _autocast(self) -> AbstractContextManager[Any]:
        dtype = _PRECISIONS[self.precision]
        return nullcontext() if dtype is None else torch.autocast(self.device.type, dtype=dtype)

    def save(self, path: str | os.PathLike[str], *, bits: int = 32, **info: Any) -> None:
        """Write network, input scaling, clusterer and classes into one file, atomically.

        Parameters
        ----------
        path : path
            The file :meth:`from_pretrained` reads. If it ends in ``.safetensors``, the weights go there, and
            all the rest into a JSON file beside it: a format that other programs read.
        bits : {32, 16, 8}
            Per weight. 16 rounds matrices to float16, 8 to whole multiples of one step for each feature that
            they give: half and a quarter of the size, and labels that may differ in a few voxels.
        **info : anything that JSON holds
            Whatever should be remembered about the training.

        Raises
        ------
        ValueError
            If ``bits`` is another number, or 8 where a weight is not finite.

        Notes
        -----
        Of a model that was not made by :func:`sparseclust.models.create_model` or a preset, the file has the
        weights alone; :meth:`from_pretrained` puts them into one that you give.
        """
        content = {
            **describe_model(self.model, info),
            "inputs": asdict(self.inputs),
            "clusterer": clusterer_to_dict(self.clusterer),
            "judge": judge_to_state(self.clusterer),
            "refine": self.refine,
            "across_classes": self.across_classes,
            "classes": list(self.classes),
        }
        write_model(Path(path), content, bits=bits)

    @classmethod
    def from_pretrained(
        cls,
        path: str | os.PathLike[str],
        *,
        model: torch.nn.Module | None = None,
        batch_size: int = 8,
        device: torch.device | str | None = None,
        precision: str | None = None,
        refine: bool | None = None,
        views: int = 1,
        across_classes: AcrossClasses | None = None,
        outputs: Sequence[str] = (),
    ) -> Self:
        """Read a file that :meth:`save` wrote, or take a model that comes with the library.

        Parameters
        ----------
        path : path or str
            File (``sparseclust train`` leaves one as ``model.pt``), or a name from :func:`list_pretrained`.
        model : torch.nn.Module, optional
            Put the weights into this network, which the file need not know how to build.
        batch_size, device, precision, views, outputs
            As for the class.
        refine, across_classes : optional
            As for the class; by default as the file says.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If it is not such a file, or a damaged one, or the network is not the one of the weights, or is
            missing.
        """
        content = read_model(path)
        if "clusterer" not in content:
            raise ValueError(
                f"{path}: finds classes, not particles; read it with SemanticClassifier.from_pretrained"
            )
        return cls(
            build_model(path, content, model),
            clusterer_from_dict(content["clusterer"], content["judge"]),
            inputs=VoxelInputs(**content["inputs"]),
            classes=content["classes"],
            batch_size=batch_size,
            device=device,
            precision=precision,
            refine=content.get("refine", False) if refine is None else refine,
            views=views,
            across_classes=across_classes or content.get("across_classes", "never"),
            outputs=outputs,
        )
