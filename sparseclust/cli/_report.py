"""The report: score tables, and truth | prediction | DBSCAN side by side."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from sparseclust.cli._tables import (
    HEADERS,
    PARTICLE_HEADERS,
    PARTICLES,
    WEIGHTING,
    comparison_rows,
    particle_rows,
)
from sparseclust.pipeline import Prediction
from sparseclust.training import Scorer, dbscan_labels
from sparseclust.vis import ReportTable, write_report


def write_comparison(
    path: Path,
    *,
    title: str,
    scores: Mapping[str, Mapping[str, Scorer]],
    events: Iterable[tuple[str, Sequence[Prediction]]],
    notes: Sequence[str] = (),
) -> None:
    """Write the report of an evaluation.

    Parameters
    ----------
    path : Path
        File to write.
    title : str
        Heading.
    scores : mapping of sample name to mapping of method name to Scorer
        The inner ones as :func:`sparseclust.training.evaluate` returns; may be empty.
    events : iterable of (source, predictions)
        Events to show, with the name of where they come from.
    notes : sequence of str
        Paragraphs above the tables.
    """
    shown = [
        (
            f"{source}, event {number}",
            prediction.event,
            {"sparseclust": prediction.labels, "DBSCAN": dbscan_labels(prediction.event)},
        )
        for source, predictions in events
        for number, prediction in enumerate(predictions)
    ]
    summary = [
        table
        for name, methods in scores.items()
        for table in (
            ReportTable(HEADERS, comparison_rows(methods), title=name),
            ReportTable(PARTICLE_HEADERS, particle_rows(methods), title=f"{name}: alone and touching"),
        )
    ]
    explained = [*notes, WEIGHTING, PARTICLES] if scores else notes
    write_report(path, title=title, summary=summary, events=shown, notes=explained)
