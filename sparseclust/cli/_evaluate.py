"""``sparseclust evaluate``."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from sparseclust.cli._predict import find_device
from sparseclust.cli._progress import progress
from sparseclust.cli._report import write_comparison
from sparseclust.cli._tables import HEADERS, WEIGHTING, comparison_rows, format_table
from sparseclust.data import Event, open_events
from sparseclust.pipeline import Prediction, Predictor
from sparseclust.training import evaluate as evaluate_predictions


def evaluate(
    files: list[str],
    *,
    model: Path | None = None,
    report: Path | None = None,
    shown: int = 12,
    batch_size: int = 8,
    device: str = "auto",
    label: Literal["fragment", "group", "interaction"] = "fragment",
) -> None:
    """Score predictions against the truth, per class, beside DBSCAN and the published network.

    Parameters
    ----------
    files
        Prediction files (of `sparseclust predict`), or labelled events together with --model.
    model
        File that `sparseclust train` wrote (model.pt). Not needed for prediction files.
    report
        Write an interactive report here (.html).
    shown
        How many events the report shows: the first ones.
    batch_size
        Events per forward pass.
    device
        cpu, cuda, cuda:1, ...; auto takes a GPU where there is one.
    label
        Which column of a PILArNet file is the true instance: fragment, group or interaction.
    """
    predictor = (
        None
        if model is None
        else Predictor.from_pretrained(model, batch_size=batch_size, device=find_device(device))
    )
    if report is not None:
        report.parent.mkdir(parents=True, exist_ok=True)  # now, not after minutes of work
    for name in files:
        size = 768 if predictor is None else predictor.inputs.spatial_size
        events = open_events(name, label=label, spatial_size=size)
        kept: list[Prediction] = []
        predictions = _keep(_labelled(name, events, predictor), kept, shown if report else 0)
        tables = evaluate_predictions(progress(predictions, total=len(events), what=Path(name).name))
        print(f"{name}: {len(events)} events. {WEIGHTING}")
        print(format_table(HEADERS, comparison_rows(tables)))
        if report is not None:
            target = report if len(files) == 1 else report.with_name(f"{report.stem}-{Path(name).stem}.html")
            source = Path(name).name
            write_comparison(
                target, title=f"sparseclust on {source}", tables={source: tables}, events=[(source, kept)]
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
    return (Prediction(event, event.extra["label"], {}) for event in events)


def _keep(predictions: Iterator[Prediction], kept: list[Prediction], n: int) -> Iterator[Prediction]:
    for prediction in predictions:
        if len(kept) < n:
            kept.append(prediction)
        yield prediction
