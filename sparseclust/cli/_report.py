"""The report: score tables, and truth | prediction | DBSCAN side by side."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy.typing as npt

from sparseclust.cli._tables import HEADERS, WEIGHTING, comparison_rows
from sparseclust.pipeline import Prediction
from sparseclust.training import dbscan_labels
from sparseclust.vis import ReportTable, write_report


def write_comparison(
    path: Path,
    *,
    title: str,
    tables: Mapping[str, Mapping[str, npt.NDArray[Any]]],
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
    tables : mapping of sample name to mapping of method name to score table
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
    summary = [ReportTable(HEADERS, comparison_rows(scores), title=name) for name, scores in tables.items()]
    write_report(
        path, title=title, summary=summary, events=shown, notes=[*notes, WEIGHTING] if tables else notes
    )
