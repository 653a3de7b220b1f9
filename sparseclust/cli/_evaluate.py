"""``sparseclust evaluate``."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from sparseclust.cli._predict import find_classifier, find_device
from sparseclust.cli._progress import progress
from sparseclust.cli._report import event_scores, write_comparison
from sparseclust.cli._tables import (
    HEADERS,
    PARTICLE_HEADERS,
    PARTICLES,
    WEIGHTING,
    comparison_rows,
    format_table,
    particle_rows,
)
from sparseclust.data import Event, open_events
from sparseclust.pipeline import Prediction, Predictor
from sparseclust.training import evaluate as evaluate_predictions


def evaluate(
    files: list[str],
    *,
    model: Path | None = None,
    semantic: Path | None = None,
    report: Path | None = None,
    shown: int = 12,
    show: Literal["worst", "first"] = "worst",
    batch_size: int = 8,
    device: str = "auto",
    label: Literal["fragment", "group", "interaction"] = "fragment",
    refine: bool | None = None,
    views: int = 1,
    semantic_views: int = 1,
    across_classes: Literal["never", "classified", "always"] | None = None,
) -> None:
    """Score predictions against the truth, per class, beside DBSCAN and the published network.

    Parameters
    ----------
    files
        Prediction files (of `sparseclust predict`), or labelled events together with --model.
    model
        File that `sparseclust train` wrote (model.pt), or the name of a model that comes with the library.
        Not needed for prediction files.
    semantic
        Likewise a classifier, whose classes are used in the place of the true ones.
    report
        Write an interactive report here (.html).
    shown
        How many events the report shows; beside the worst ones, the four worst of each class.
    show
        Which ones: the worst by their mean SBD over classes, or the first.
    batch_size
        Events per forward pass.
    device
        cpu, cuda, cuda:1, ...; auto takes a GPU where there is one.
    label
        Which column of a PILArNet file is the true instance: fragment, group or interaction.
    refine
        Repair the clusters of Gaussian kernels by the connectivity of their voxels: true or false; by default
        as the model was saved.
    views
        Average the scores of edges over as many symmetries of the volume (up to 48): a little better, and the
        network runs as often.
    semantic_views
        Likewise for the classifier: fewer wrong classes.
    across_classes
        Whether particles may have voxels of several classes: never, where a classifier gave them, or always;
        by default as the model was saved.
    """
    predictor = (
        None
        if model is None
        else Predictor.from_pretrained(
            model,
            batch_size=batch_size,
            device=find_device(device),
            refine=refine,
            views=views,
            across_classes=across_classes,
        )
    )
    for name, given in (
        ("refine", refine is not None),
        ("views", views != 1),
        ("across_classes", across_classes is not None),
    ):
        if given and predictor is None:
            raise ValueError(
                f"--{name} changes how a model labels, and needs --model; predictions have their labels"
            )
    if predictor is None and semantic is not None:
        raise ValueError("--semantic needs --model: predictions have their labels")
    classifier = find_classifier(semantic, semantic_views, device)
    if predictor is not None:
        predictor.classifier = classifier
    if report is not None:
        report.parent.mkdir(parents=True, exist_ok=True)  # now, not after minutes of work
    for name in files:
        size = 768 if predictor is None else predictor.inputs.spatial_size
        events = open_events(name, label=label, spatial_size=size)
        gallery = _Gallery(shown if report else 0, worst=show == "worst")
        predictions = gallery.watch(_labelled(name, events, predictor))
        scores = evaluate_predictions(progress(predictions, total=len(events), what=Path(name).name))
        print(f"{name}: {len(events):,} {'event' if len(events) == 1 else 'events'}. {WEIGHTING}\n")
        print(format_table(HEADERS, comparison_rows(scores)))
        print(f"\n{PARTICLES}\n")
        print(format_table(PARTICLE_HEADERS, particle_rows(scores)))
        if report is not None:
            target = report if len(files) == 1 else report.with_name(f"{report.stem}-{Path(name).stem}.html")
            source = Path(name).name
            write_comparison(
                target,
                title=f"sparseclust on {source}",
                scores={source: scores},
                events=gallery.entries(source),
            )
            print(f"report: {target}")


def _labelled(name: str, events: Sequence[Event], predictor: Predictor | None) -> Iterator[Prediction]:
    """Labels from the network, or from the file when it is one of predictions."""
    if predictor is not None:
        return predictor.predict(events)
    if len(events) and "label" not in events[0].extra:
        raise ValueError(
            f"{name}: holds no predictions; give --model to make some, or a file of `sparseclust predict`"
        )
    return (Prediction(e, e.extra["label"], {}, semantic=e.extra.get("class")) for e in events)


class _Gallery:
    """Some of the predictions that pass by: the first ones, or those with the lowest scores."""

    _PER_CLASS = 4

    def __init__(self, n: int, *, worst: bool) -> None:
        self._n = n
        self._worst = worst
        self._kept: dict[int, tuple[dict[int, float], Prediction]] = {}

    def watch(self, predictions: Iterable[Prediction]) -> Iterator[Prediction]:
        """Pass predictions on and remember some; never more than one too many."""
        for number, prediction in enumerate(predictions):
            if self._n:
                self._kept[number] = event_scores(prediction.event, prediction.labels), prediction
                self._kept = {k: self._kept[k] for k in self._chosen()}
            yield prediction

    def entries(self, source: str) -> list[tuple[str, Prediction]]:
        """Titles and predictions, in order."""
        means = self._means()
        return [(f"{source}, event {k}, SBD {means[k]:.3f}", p) for k, (_, p) in self._kept.items()]

    def _means(self) -> dict[int, float]:
        return {k: float(np.mean([*s.values()])) if s else np.nan for k, (s, _) in self._kept.items()}

    def _chosen(self) -> list[int]:
        """Numbers of those to keep: by the mean over classes, then of each class, without repetition."""
        if not self._worst:
            return sorted(self._kept)[: self._n]
        chosen = _lowest(self._means(), self._n)
        for c in sorted({c for scores, _ in self._kept.values() for c in scores}):
            of_class = {k: scores[c] for k, (scores, _) in self._kept.items() if c in scores}
            chosen += _lowest(of_class, self._PER_CLASS)
        return list(dict.fromkeys(chosen))


def _lowest(values: dict[int, float], n: int) -> list[int]:
    """Keys of the n lowest values; nan last, ties to the smaller key."""
    return sorted(values, key=lambda k: (np.isnan(values[k]), values[k], k))[:n]
