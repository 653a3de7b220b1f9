"""Score tables as text and as rows for the report."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from sparseclust.data import SemanticClass
from sparseclust.metrics import bootstrap, summarize_scores
from sparseclust.training import PUBLISHED, Scorer

SCORES = {"ari": "ARI", "purity": "purity", "efficiency": "efficiency", "sbd": "SBD", "f1": "F1", "pq": "PQ"}
HEADERS = ("class", "method", *SCORES.values(), "events", "particles", "voxels")
PARTICLE_HEADERS = ("class", "method", "alone", "found", "best Dice", "touching", "found", "best Dice")
WEIGHTING = (
    "Scores are means over the events that hold the class, under All over all of these; of whole events, "
    "where particles of all classes are one partition, over events. Within an event, purity and efficiency "
    "are unweighted means over particles, F1 and PQ count particles at IoU 0.5. "
    "In brackets: the error of the last digits, by drawing events (bootstrap)."
)
PARTICLES = (
    "Particles by themselves: of those alone, and of those touching another particle of their event and "
    "class, how many there are, which fraction has a cluster of IoU above 0.5, and the mean best Dice "
    "coefficient."
)
_TOTAL, _WHOLE = -2, -3  # numbers that no class has
_DRAWS = 200


def comparison_rows(scores: Mapping[str, Scorer]) -> list[tuple[str, ...]]:
    """Rows of text, grouped by class: each method in the order given, then the published network.

    Parameters
    ----------
    scores : mapping of method name to Scorer
        As :func:`sparseclust.training.evaluate` returns.
    """
    summaries = {
        name: _by_class(scorer.table()) | {_WHOLE: _cells(scorer.whole_events())}
        for name, scorer in scores.items()
    }
    rows: list[tuple[str, ...]] = []
    for c, label in _classes(summaries):
        first = len(rows)
        rows += [("", name, *summary[c]) for name, summary in summaries.items() if c in summary]
        if c in PUBLISHED:
            published = PUBLISHED[SemanticClass(c)]
            cells = (f"{published[score]:.3f}" if score in published else "" for score in SCORES)
            rows.append(("", "published", *cells, "", "", ""))
        rows[first] = (label, *rows[first][1:])
    return rows


def particle_rows(scores: Mapping[str, Scorer]) -> list[tuple[str, ...]]:
    """Rows of text, grouped by class: how well each method finds isolated and touching particles."""
    summaries = {name: _particles_by_class(scorer.particles()) for name, scorer in scores.items()}
    rows: list[tuple[str, ...]] = []
    for c, label in _classes(summaries):
        first = len(rows)
        rows += [("", name, *summary[c]) for name, summary in summaries.items() if c in summary]
        rows[first] = (label, *rows[first][1:])
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


def _classes(summaries: Mapping[str, Mapping[int, Any]]) -> list[tuple[int, str]]:
    """Classes that occur with their names; with several, the totals last."""
    there = {c for summary in summaries.values() for c in summary}
    found = sorted(there - {_TOTAL, _WHOLE})
    names = {int(c): c.name.capitalize() for c in SemanticClass}
    together = [(_TOTAL, "All"), (_WHOLE, "Whole events")] if len(found) > 1 else []
    return [(c, names.get(c, "all voxels")) for c in found] + [
        (c, name) for c, name in together if c in there
    ]


def _by_class(table: npt.NDArray[Any]) -> dict[int, tuple[str, ...]]:
    parts = {int(c): table[table["semantic"] == c] for c in np.unique(table["semantic"])} | {_TOTAL: table}
    return {c: _cells(part) for c, part in parts.items()}


def _cells(table: npt.NDArray[Any]) -> tuple[str, ...]:
    [row] = summarize_scores(table, by=None, weight="event")
    several = len(np.unique(table["event"])) > 1
    errors = bootstrap(table, rng=np.random.default_rng(0), n=_DRAWS) if several else None
    cells = (_with_error(row[s]["mean"], None if errors is None else float(errors[s]["std"])) for s in SCORES)
    return (*cells, *(f"{row[name]:,}" for name in ("n_rows", "n_true", "n_points")))


def _with_error(value: float, error: float | None) -> str:
    """``0.974(4)``: the error in units of the last digit."""
    return f"{value:z.3f}" + ("" if error is None else f"({1000 * error:.0f})")


def _particles_by_class(table: npt.NDArray[Any]) -> dict[int, tuple[str, ...]]:
    parts = {int(c): table[table["semantic"] == c] for c in np.unique(table["semantic"])} | {_TOTAL: table}
    return {
        c: tuple(
            cell for touching in (False, True) for cell in _particle_cells(part[part["touching"] == touching])
        )
        for c, part in parts.items()
    }


def _particle_cells(particles: npt.NDArray[Any]) -> tuple[str, str, str]:
    if len(particles) == 0:
        return "0", "", ""
    return f"{len(particles):,}", f"{particles['found'].mean():.3f}", f"{particles['best_dice'].mean():.3f}"
