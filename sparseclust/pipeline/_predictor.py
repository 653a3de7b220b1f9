"""A trained network and a clusterer, applied to events."""

import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

import torch

from sparseclust.data import Event, SemanticClass, VoxelInputs, collate_events
from sparseclust.models import create_model
from sparseclust.pipeline._assemble import (
    Clusterer,
    check_refine,
    clusterer_from_dict,
    clusterer_to_dict,
    label_batch,
)
from sparseclust.pipeline._model_file import read_model, write_model
from sparseclust.pipeline._prediction import Prediction, Seen, per_event

PER_EDGE = ("edges", "affinity")
PARTICLE_CLASSES = (SemanticClass.SHOWER, SemanticClass.TRACK, SemanticClass.MICHEL, SemanticClass.DELTA)
_PRECISIONS = {None: None, "bf16": torch.bfloat16, "fp16": torch.float16}


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
        seen = [Seen(event, self.classes) for event in events]
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
        return per_event(seen, labelled, arrays)

    def _autocast(self) -> AbstractContextManager[Any]:
        dtype = _PRECISIONS[self.precision]
        return nullcontext() if dtype is None else torch.autocast(self.device.type, dtype=dtype)

    def save(self, path: str | os.PathLike[str], *, half: bool = False, **info: Any) -> None:
        """Write network, input scaling, clusterer and classes into one file, atomically.

        Parameters
        ----------
        path : path
            The file :meth:`from_pretrained` reads. If it ends in ``.safetensors``, the weights go there, and
            all the rest into a JSON file beside it: a format that other programs read.
        half : bool
            Round matrices to float16: half the size, and labels that may differ in a few voxels.
        **info : anything that JSON holds
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
            "model": dict(config),
            "inputs": asdict(self.inputs),
            "clusterer": clusterer_to_dict(self.clusterer),
            "refine": self.refine,
            "classes": list(self.classes),
            "info": info,
            "state": {name: value.detach().cpu() for name, value in self.model.state_dict().items()},
        }
        write_model(Path(path), content, half=half)

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
        """Read a file that :meth:`save` wrote, or take a model that comes with the library.

        Parameters
        ----------
        path : path or str
            File (``sparseclust train`` leaves one as ``model.pt``), or a name from :func:`list_pretrained`.
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
        content = read_model(path)
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
