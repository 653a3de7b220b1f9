"""Predictions and classes of files: each finished once, the same bytes however often it was interrupted."""

import copy
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

import h5py
import torch

from sparseclust._lock import exclusive
from sparseclust._version import __version__
from sparseclust.data import Event, EventStore, open_events, write_events
from sparseclust.pipeline._classifier import SemanticClassifier
from sparseclust.pipeline._clusterers import clusterer_to_dict
from sparseclust.pipeline._files import WITH_EMBEDDINGS, write_predictions
from sparseclust.pipeline._predictor import Predictor

ORIGIN = "made_from"
InstanceLabel = Literal["fragment", "group", "interaction"]
_Item = TypeVar("_Item")
_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_NO_ATTRS: Mapping[str, Any] = {}


class PredictedFile(NamedTuple):
    """What became of one file.

    Attributes
    ----------
    path : Path
        The predictions, or the events with their classes.
    n_events : int
    new : bool
        False if they were there already.
    seconds : dict of str to float
        Time of each stage: ``"read"``, ``"collate"``, ``"network"``, ``"cluster"``, ``"write"``.
    """

    path: Path
    n_events: int
    new: bool
    seconds: dict[str, float]


def predict_file(
    predictor: Predictor,
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    label: InstanceLabel = "fragment",
    embeddings: bool = False,
    workers: int = 0,
    overwrite: bool = False,
    attrs: Mapping[str, Any] = _NO_ATTRS,
    advance: Callable[[int], object] | None = None,
) -> PredictedFile:
    """Label the events of a file into another one, unless that was done before.

    Parameters
    ----------
    predictor : Predictor
    source : path
        Events, see :func:`sparseclust.data.open_events`.
    target : path
        File to write, see :func:`write_predictions`; its folder is made where it is missing.
    label : str
        See :class:`sparseclust.data.PilarnetFile`.
    embeddings : bool
        Store the embeddings, margins and seediness too where the clusterer reads others.
    workers : int
        See :meth:`Predictor.predict`.
    overwrite : bool
        Replace whatever is at ``target``, unless it is what would be written.
    attrs : mapping, optional
        Further attributes of the file.
    advance : callable, optional
        Called with 1 for every event.

    Returns
    -------
    PredictedFile

    Raises
    ------
    ValueError
        If the events cannot be read, or the network does not give what is to be stored.
    FileExistsError
        If ``target`` is something else, or predictions of other events, by another model, with other options
        or of another release; or if another process is writing it.
    OSError
        If a file cannot be read or written.

    Notes
    -----
    The output names what it was made from: a SHA-256 of the input file, one of the network's parameters and
    all settings, the options, and the release. A file that says the same and whose checksums are right is
    kept; one that is cut off is written again. Interrupted at any moment and called again, on the same kind
    of machine, the file gets the same bytes.

    Examples
    --------
    >>> from sparseclust.pipeline import Predictor, predict_file
    >>> predictor = Predictor.from_pretrained("spice-small")
    >>> predict_file(predictor, "run-17.h5", "out/run-17.pred.h5").n_events  # doctest: +SKIP
    2500
    """
    options = {"label": label, "embeddings": embeddings}
    with _unless_finished(predictor, source, target, options, overwrite=overwrite) as work:
        if work.finished:
            return PredictedFile(work.path, len(work.events), False, {})
        if embeddings:
            predictor = copy.copy(predictor)
            predictor.outputs = (*predictor.outputs, *WITH_EMBEDDINGS)
        before, begin = dict(predictor.seconds), time.perf_counter()
        labelled = _counted(predictor.predict(work.events, workers=workers), advance)
        n = write_predictions(
            work.path, labelled, attrs={**attrs, ORIGIN: work.origin}, embeddings=embeddings
        )
        seconds = {stage: spent - before[stage] for stage, spent in predictor.seconds.items()}
        seconds["write"] = time.perf_counter() - begin - sum(seconds.values())
        return PredictedFile(work.path, n, True, seconds)


def classify_file(
    classifier: SemanticClassifier,
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    label: InstanceLabel = "fragment",
    overwrite: bool = False,
    attrs: Mapping[str, Any] = _NO_ATTRS,
    advance: Callable[[int], object] | None = None,
) -> PredictedFile:
    """Write the events of a file with predicted classes in the place of theirs, unless that was done before.

    True instances and all else stay, so that ``sparseclust train --across_classes`` can learn from the file
    what the classifier gets wrong.

    Parameters
    ----------
    classifier : SemanticClassifier
    source, target, label, overwrite, attrs, advance
        As for :func:`predict_file`, which also says what is raised, and which files are kept.

    Returns
    -------
    PredictedFile
        Its ``seconds`` are those of ``"classify"``, reading and writing included.

    Examples
    --------
    >>> from sparseclust.pipeline import SemanticClassifier, classify_file
    >>> classifier = SemanticClassifier.from_pretrained("semantic-small", min_size=1)
    >>> classify_file(classifier, "run-17.h5", "out/run-17.class.h5").n_events  # doctest: +SKIP
    2500
    """
    with _unless_finished(classifier, source, target, {"label": label}, overwrite=overwrite) as work:
        if work.finished:
            return PredictedFile(work.path, len(work.events), False, {})
        begin = time.perf_counter()
        classified = _counted(classifier.classify(work.events), advance)
        n = write_events(work.path, classified, attrs={**attrs, ORIGIN: work.origin})
        return PredictedFile(work.path, n, True, {"classify": time.perf_counter() - begin})


class _Work(NamedTuple):
    """Events, and the file that they are to become."""

    path: Path
    events: Sequence[Event]
    origin: dict[str, Any]
    finished: bool


@contextmanager
def _unless_finished(
    model: Predictor | SemanticClassifier,
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    options: dict[str, Any],
    *,
    overwrite: bool,
) -> Iterator[_Work]:
    """Open the events, and look what is at the target, which no other process writes meanwhile."""
    path = Path(target)
    path.parent.mkdir(parents=True, exist_ok=True)
    with exclusive(path):
        events = open_events(source, label=options["label"], spatial_size=model.inputs.spatial_size)
        origin = {
            "events": _checksum(Path(source)),
            "model": fingerprint(model),
            "options": options,
            "release": __version__,
        }
        yield _Work(path, events, origin, _is_finished(path, origin, replace=overwrite))


def fingerprint(model: Predictor | SemanticClassifier) -> str:
    """Name all that labels or classes depend on, apart from the events: SHA-256, hexadecimal."""
    if isinstance(model, SemanticClassifier):
        return _digest({**_settings(model), "batch_size": model.batch_size}, [model.model])
    predictor, classifier = model, model.classifier
    settings = {
        "inputs": asdict(predictor.inputs),
        "clusterer": clusterer_to_dict(predictor.clusterer),
        "refine": predictor.refine,
        "classes": predictor.classes,
        "batch_size": predictor.batch_size,
        "precision": predictor.precision,
        "views": predictor.views,
        "across_classes": predictor.across_classes,
        "classifier": None if classifier is None else _settings(classifier),
    }
    return _digest(settings, [predictor.model] + ([] if classifier is None else [classifier.model]))


def _settings(classifier: SemanticClassifier) -> dict[str, Any]:
    return {
        "inputs": asdict(classifier.inputs),
        "min_size": classifier.min_size,
        "views": classifier.views,
    }


def _digest(settings: Mapping[str, Any], models: Sequence[torch.nn.Module]) -> str:
    found = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for model in models:
        config = [module.config for module in model.modules() if hasattr(module, "config")]
        found.update(json.dumps([repr(model), config], sort_keys=True).encode())
        for name, values in model.state_dict().items():
            tensor = values.detach().cpu().contiguous().flatten()
            found.update(f"{name} {tensor.dtype} {tuple(values.shape)}".encode())
            found.update(tensor.view(torch.uint8).numpy())
    return found.hexdigest()


def _checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _is_finished(path: Path, origin: Mapping[str, Any], *, replace: bool) -> bool:
    """Whether a file is what would be written; refuse if it is something else that nobody may replace."""
    if not path.exists():
        return False
    store = _opened(path)
    found = None if store is None else store.attrs.get(ORIGIN)
    if store is not None and found == origin:
        return _is_whole(store)
    other = "is no file of predictions that could be read"
    if isinstance(found, dict):
        names = [name for name, value in origin.items() if found.get(name) != value]
        other = f"holds predictions of other {', '.join(names)}"
    elif store is None and _is_half(path):
        return False
    if replace:
        return False
    raise FileExistsError(f"{path}: {other}; choose another file, or let it be replaced (overwrite)")


def _opened(path: Path) -> EventStore | None:
    try:
        return EventStore(path)
    except ValueError:
        return None


def _is_whole(store: EventStore) -> bool:
    try:
        with store:
            for _ in store:  # reading is what compares checksums
                pass
    except ValueError:
        return False
    return True


def _is_half(path: Path) -> bool:
    """Whether a file is empty, or the part of an HDF5 file."""
    with path.open("rb") as file:
        begin = file.read(len(_SIGNATURE))
    try:
        with h5py.File(path):
            return False
    except OSError:
        return begin in (b"", _SIGNATURE)


def _counted(items: Iterator[_Item], advance: Callable[[int], object] | None) -> Iterator[_Item]:
    for item in items:
        yield item
        if advance is not None:
            advance(1)
