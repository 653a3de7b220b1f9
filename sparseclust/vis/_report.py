"""The report: one HTML file that needs nothing but a browser."""

import html
import json
import math
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sparseclust._optional import require
from sparseclust.vis._blocks import ReportEvent, index_entry, pack_event
from sparseclust.vis._colours import NO_INSTANCE, PALETTE
from sparseclust.vis._points import class_name


class ReportTable(NamedTuple):
    """A table of the report.

    Parameters
    ----------
    headers : sequence of str
        Column titles.
    rows : sequence of sequences of str, int or float
        Cells. Floats are shown with three decimals, undefined ones as a dash. A row whose first cell is empty
        belongs to the row above it.
    title : str
        Heading above the table.
    """

    headers: Sequence[str]
    rows: Sequence[Sequence[str | float]]
    title: str = ""


def write_report(
    path: str | os.PathLike[str],
    *,
    title: str,
    summary: Sequence[ReportTable] = (),
    figures: Sequence[Any] = (),
    events: Iterable[ReportEvent | tuple[str, Any, Mapping[str, npt.ArrayLike]]] = (),
    notes: Sequence[str] = (),
    score: str = "SBD",
) -> Path:
    """Write score tables and an event viewer as one HTML file that works without a network.

    Parameters
    ----------
    path : path-like
        File to write. It appears complete or not at all.
    title : str
        Heading of the page.
    summary : sequence of ReportTable
        Tables at the top.
    figures : sequence of plotly figures
        Between tables and viewer, as :func:`plot_scores` and :func:`plot_trends` return them.
    events : iterable of ReportEvent, or (title, event, labels)
        Events of the viewer, taken one at a time. They can be found by name, class and score; classes can be
        switched off, and all panels turn together.
    notes : sequence of str
        Paragraphs below the heading.
    score : str
        What the scores of the events are called.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    ImportError
        If there are figures, and plotly is not installed.
    ValueError
        If a row of a table has not one cell per header, an event cannot be drawn, or two have one id.

    Notes
    -----
    The file holds roughly 10 bytes per voxel, and for figures the plotly library (about 5 MB). An event is
    unpacked when it is looked at, and drawn without WebGL or plotly: 100,000 voxels in three panels in some
    tens of milliseconds (``benchmarks/bench_display.py``). Text is escaped: titles, cells and notes may hold
    any character.

    Examples
    --------
    >>> import tempfile, types
    >>> event = types.SimpleNamespace(coords=[[0, 0, 0], [0, 0, 1]], instance=[3, 8])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     table = ReportTable(["class", "ARI"], [["track", 0.95]])
    ...     events = [("first", event, {"prediction": [0, 0]})]
    ...     page = write_report(f"{folder}/report.html", title="Demo", summary=[table], events=events)
    ...     "0.950" in page.read_text()
    True
    """
    path = Path(path)
    index, blocks = _events(events)
    classes = {c: class_name(c) for c in sorted({c for entry in index for c in entry["classes"]})}
    constants = {"palette": PALETTE, "noInstance": NO_INSTANCE, "classes": classes, "score": score}
    scripts = ["scene.js", "viewer.js"] + ["figures.js"] * bool(figures)
    page = Template(_resource("report.html")).substitute(
        title=html.escape(title),
        style=_resource("report.css"),
        plotly=_plotly() if figures else "",
        script="\n".join(map(_resource, scripts)),
        constants=_json(constants),
        index=_json(index),
        notes="\n".join(f"<p>{html.escape(note)}</p>" for note in notes),
        tables="\n".join(_table(ReportTable(*table)) for table in summary),
        figures="\n".join(_figure(figure) for figure in figures),
        events="\n".join(blocks),
        viewer="" if blocks else "hidden",
    )
    _write_atomically(path, page)
    return path


def _resource(name: str) -> str:
    return resources.files("sparseclust.vis").joinpath("_page", name).read_text(encoding="utf-8")


def _events(
    events: Iterable[ReportEvent | tuple[str, Any, Mapping[str, npt.ArrayLike]]],
) -> tuple[list[dict[str, Any]], list[str]]:
    index, blocks = [], []
    for number, given in enumerate(events):
        event = ReportEvent(*given)
        opening = f'<script type="text/plain" class="event" data-title="{html.escape(event.title)}">'
        blocks.append(f"{opening}{pack_event(event)}</script>")
        index.append(index_entry(number, event))
    ids = {entry["id"] for entry in index}
    if len(ids) < len(index):
        raise ValueError(f"{len(index)} events have {len(ids)} ids; give each its own, or none an id")
    return index, blocks


def _plotly() -> str:
    return f"<script>{require('plotly.offline', extra='vis').get_plotlyjs()}</script>"


def _figure(figure: Any) -> str:
    return f'<script type="application/json" class="figure">{_escape(figure.to_json())}</script>'


def _json(data: Any) -> str:
    """Compact JSON that cannot end the script element it is written into."""
    return _escape(json.dumps(data, separators=(",", ":"), allow_nan=False))


def _escape(text: str) -> str:
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _table(table: ReportTable) -> str:
    for row in table.rows:
        if len(row) != len(table.headers):
            raise ValueError(
                f"a table has {len(table.headers)} headers and a row of {len(row)} cells: {list(row)}"
            )
    cells = [[_cell(value) for value in row] for row in table.rows]
    kinds = [
        "number" if _is_numeric([row[i] for row in cells]) else "text" for i in range(len(table.headers))
    ]
    head = "".join(f'<th class="{kind}">{html.escape(text)}</th>' for kind, text in zip(kinds, table.headers))
    body = "\n".join(_table_row(row, kinds) for row in cells)
    caption = f"<h2>{html.escape(table.title)}</h2>" if table.title else ""
    return f"<div>{caption}<table><thead><tr>{head}</tr></thead><tbody>\n{body}\n</tbody></table></div>"


def _table_row(cells: Sequence[str], kinds: Sequence[str]) -> str:
    row = "".join(f'<td class="{kind}">{html.escape(cell)}</td>' for kind, cell in zip(kinds, cells))
    return f'<tr class="group">{row}</tr>' if cells and cells[0] else f"<tr>{row}</tr>"


def _cell(value: str | float) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, int | np.integer):
        return f"{value:,}"
    return f"{value:.3f}" if math.isfinite(value) else "–"


def _is_numeric(cells: Sequence[str]) -> bool:
    filled = [cell for cell in cells if cell not in {"", "–"}]
    return bool(filled) and all(re.match(r"[+-]?\.?\d", cell) for cell in filled)


def _write_atomically(path: Path, text: str) -> None:
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_text(text, encoding="utf-8")
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
