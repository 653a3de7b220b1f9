"""Score tables as text and as rows for the report."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy.typing as npt

from sparseclust.data import SemanticClass
from sparseclust.metrics import summarize_scores
from sparseclust.training import PUBLISHED

HEADERS = ("class", "method", "ARI", "purity", "efficiency", "SBD", "events", "particles", "voxels")
SCORES = ("ari", "purity", "efficiency", "sbd")
WEIGHTING = (
    "Scores are means over the events that hold the class; within an event, purity and efficiency are "
    "unweighted means over particles."
)


def comparison_rows(tables: Mapping[str, npt.NDArray[Any]]) -> list[tuple[str, ...]]:
    """Rows of text, grouped by class: each method in the order given, then the published network.

    Parameters
    ----------
    tables : mapping of method name to score table
        As :func:`sparseclust.training.evaluate` returns.
    """
    summaries = {name: _by_class(table) for name, table in tables.items()}
    classes = sorted({c for summary in summaries.values() for c in summary})
    rows = []
    for c in classes:
        label = SemanticClass(c).name.capitalize() if c in set(SemanticClass) else "all voxels"
        for name, summary in summaries.items():
            if c in summary:
                rows.append((label, name, *summary[c]))
                label = ""
        if c in PUBLISHED:
            scores = (f"{PUBLISHED[SemanticClass(c)][score]:.3f}" for score in SCORES)
            rows.append((label, "published", *scores, "", "", ""))
    return rows


def format_table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Align columns: text to the left, numbers to the right; a blank line before each named group."""
    widths = [max(len(row[i]) for row in [headers, *rows]) for i in range(len(headers))]
    lines: list[str] = []
    for row in [headers, *rows]:
        if row[0] and lines:
            lines.append("")
        cells = [cell.ljust(w) if i < 2 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths))]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def _by_class(table: npt.NDArray[Any]) -> dict[int, tuple[str, ...]]:
    out = {}
    for row in summarize_scores(table, by="semantic", weight="event"):
        counts = (f"{row[name]:,}" for name in ("n_rows", "n_true", "n_points"))
        out[int(row["semantic"])] = (*(f"{row[score]['mean']:z.3f}" for score in SCORES), *counts)
    return out
