"""The report: score tables, and truth | prediction | DBSCAN side by side."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy.typing as npt

from sparseclust.cli._tables import (
    HEADERS,
    PARTICLE_HEADERS,
    PARTICLES,
    WEIGHTING,
    comparison_rows,
    particle_rows,
)
from sparseclust.data import Event
from sparseclust.pipeline import Prediction
from sparseclust.training import Scorer, dbscan_labels
from sparseclust.vis import ReportEvent, ReportTable, plot_scores, plot_trends, write_report


def write_comparison(
    path: Path,
    *,
    title: str,
    scores: Mapping[str, Mapping[str, Scorer]],
    events: Iterable[tuple[str, Prediction]],
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
    events : iterable of (title, prediction)
        Events to show.
    notes : sequence of str
        Paragraphs above the tables.
    """
    shown = [
        ReportEvent(
            heading,
            p.event,
            {"sparseclust": p.labels, "DBSCAN": dbscan_labels(p.event)},
            scores=event_scores(p.event, p.labels),
        )
        for heading, p in events
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
    figures = [
        plot
        for name, methods in scores.items()
        for plot in _plots(name, {method: scorer.table() for method, scorer in methods.items()})
    ]
    write_report(path, title=title, summary=summary, figures=figures, events=shown, notes=explained)


def event_scores(event: Event, labels: npt.NDArray[Any]) -> dict[int, float]:
    """SBD of each class of an event; none without truth."""
    if event.instance is None:
        return {}
    scorer = Scorer()
    scorer.add(event, labels)
    table = scorer.table()
    return dict(zip(table["semantic"].tolist(), table["sbd"].tolist()))


def _plots(name: str, tables: Mapping[str, npt.NDArray[Any]]) -> list[Any]:
    return [
        plot_scores(tables, scores=("ari", "sbd", "f1"), title=f"{name}: distributions"),
        plot_trends(tables, title=f"{name}: mean SBD by multiplicity"),
        plot_trends(tables, against="n_points", title=f"{name}: mean SBD by size"),
    ]
