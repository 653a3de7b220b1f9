"""A trained classifier of voxels, applied to events."""

import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sparseclust.data import Event, VoxelInputs, coalesce_event, collate_events
from sparseclust.pipeline._assemble import evaluating
from sparseclust.pipeline._model_file import build_model, describe_model, read_model, write_model
from sparseclust.pipeline._smooth import smooth_classes
from sparseclust.pipeline._views import other_views


class SemanticClassifier:
    """Give every voxel of events its semantic class.

    Parameters
    ----------
    model : torch.nn.Module
        Maps a :class:`~sparseclust.sparse.SparseTensor` to ``"semantic"``, logits (n, classes), such as
        :func:`sparseclust.models.semantic_unet`.
    inputs : VoxelInputs
        Makes the network's input features; the same as in training.
    min_size : int
        Connected voxels of one predicted class that are fewer take the class of what they touch; 1: none do.
    batch_size : int
        Events per forward pass.
    views : int
        Average the logits over as many symmetries of the volume, of which there are 8 in two dimensions and
        48 in three: fewer errors, and the network runs as often. More are refused at the first event.
    device : torch.device or str, optional
        Where to run; by default wherever the model is.

    Raises
    ------
    ValueError
        If ``inputs`` hold the semantic class already, or ``batch_size``, ``min_size`` or ``views`` is not
        positive.

    Examples
    --------
    >>> from sparseclust.data import VoxelInputs
    >>> from sparseclust.data.simulation import EventGenerator
    >>> from sparseclust.models import semantic_unet
    >>> from sparseclust.pipeline import SemanticClassifier
    >>> model = semantic_unet(base_channels=4, depth=2)
    >>> classifier = SemanticClassifier(model, inputs=VoxelInputs(64))
    >>> event = EventGenerator("single:mu-", spatial_size=64, rng=1).event(0)
    >>> [classified] = classifier.classify([event])
    >>> classified.semantic.shape == (len(event),)
    True
    """

    def __init__(
        self,
        model: torch.nn.Module,
        *,
        inputs: VoxelInputs,
        min_size: int = 1,
        batch_size: int = 8,
        views: int = 1,
        device: torch.device | str | None = None,
    ) -> None:
        if inputs.n_classes:
            raise ValueError("a classifier cannot have the semantic class among its inputs: n_classes=0")
        for name, value in (("batch_size", batch_size), ("min_size", min_size), ("views", views)):
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        self.model = model if device is None else model.to(device)
        self.inputs = inputs
        self.min_size = min_size
        self.batch_size = batch_size
        self.views = views

    @property
    def device(self) -> torch.device:
        """Where the network's parameters are."""
        return next(self.model.parameters()).device

    def classify(self, events: Iterable[Event]) -> Iterator[Event]:
        """Return the events with predicted classes, in order; all else stays as it is.

        Rows with equal coordinates get the same class.
        """
        source = iter(events)
        while batch := list(itertools.islice(source, self.batch_size)):
            yield from self.classify_batch(batch)

    def classify_batch(self, events: Sequence[Event]) -> list[Event]:
        """Classify events in one forward pass, or in one per view."""
        if not events:
            return []
        merged = [coalesce_event(event) for event in events]
        seen = [event for event, _ in merged]
        with evaluating(self.model), torch.inference_mode():
            logits = self._logits(seen)
            for view in other_views(seen, self.views, size=self.inputs.spatial_size):
                logits = logits + self._logits(view)
            found = (logits / self.views).softmax(dim=1).cpu().numpy()
        splits = np.cumsum([len(event) for event in seen])[:-1]
        return [
            _with_classes(event, smooth_classes(one.coords, likely, min_size=self.min_size)[inverse])
            for event, (one, inverse), likely in zip(events, merged, np.split(found, splits))
        ]

    def _logits(self, events: Sequence[Event]) -> Tensor:
        batch = collate_events(events, inputs=self.inputs).to(self.device)
        logits: Tensor = self.model(batch.tensor)["semantic"]
        return logits.float()

    def save(self, path: str | os.PathLike[str], *, bits: int = 32, **info: Any) -> None:
        """Write network, input scaling and ``min_size`` into one file; see :meth:`Predictor.save`."""
        content = {
            **describe_model(self.model, info),
            "inputs": asdict(self.inputs),
            "min_size": self.min_size,
        }
        write_model(Path(path), content, bits=bits)

    @classmethod
    def from_pretrained(
        cls,
        path: str | os.PathLike[str],
        *,
        model: torch.nn.Module | None = None,
        min_size: int | None = None,
        batch_size: int = 8,
        views: int = 1,
        device: torch.device | str | None = None,
    ) -> Self:
        """Read a file that :meth:`save` wrote, or take a classifier that comes with the library.

        Without ``min_size`` that of the file. Other parameters and errors as
        :meth:`Predictor.from_pretrained`.
        """
        content = read_model(path)
        if "clusterer" in content:
            raise ValueError(f"{path}: finds particles, not classes; read it with Predictor.from_pretrained")
        inputs = VoxelInputs(**content["inputs"])
        return cls(
            build_model(path, content, model),
            inputs=inputs,
            min_size=content.get("min_size", 1) if min_size is None else min_size,
            batch_size=batch_size,
            views=views,
            device=device,
        )


def _with_classes(event: Event, semantic: npt.NDArray[np.int64]) -> Event:
    return Event(event.coords, event.feats, semantic, event.instance, extra=event.extra)
