"""The report: one HTML file that needs nothing but a browser."""

import base64
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
from sparseclust.vis._colours import NO_INSTANCE, PALETTE
from sparseclust.vis._plotly import CAMERA
from sparseclust.vis._points import class_name, panels, read_points

ReportEvent = tuple[str, Any, Mapping[str, npt.ArrayLike]]
_ARRAY_TYPES = {"int8": "Int8Array", "int16": "Int16Array", "int32": "Int32Array", "float32": "Float32Array"}


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
    events: Iterable[ReportEvent] = (),
    notes: Sequence[str] = (),
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
    events : iterable of (title, event, labels)
        Events of the viewer, as in :func:`plot_comparison`; classes can be switched off and all panels turn
        together.
    notes : sequence of str
        Paragraphs below the heading.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    ImportError
        If plotly is not installed.
    ValueError
        If a row of a table has not one cell per header, or an event cannot be drawn.

    Notes
    -----
    The file holds the plotly library (about 5 MB) and roughly 20 bytes per voxel. An event is unpacked when
    it is looked at. Text is escaped: titles, cells and notes may hold any character.

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
    plotly = require("plotly.offline", extra="vis").get_plotlyjs()
    blocks = [_event_block(i, *event) for i, event in enumerate(events)]
    constants = {"palette": PALETTE, "noInstance": NO_INSTANCE, "camera": CAMERA}
    page = Template(_resource("report.html")).substitute(
        title=html.escape(title),
        style=_resource("report.css"),
        plotly=plotly,
        script=_resource("report.js"),
        constants=_json(constants),
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


def _event_block(number: int, title: str, event: Any, labels: Mapping[str, npt.ArrayLike]) -> str:
    points = read_points(event)
    classes = [] if points.semantic is None else np.unique(points.semantic).tolist()
    data = {
        "ndim": points.ndim,
        "coords": _pack(points.coords),
        "cube": points.cube().tolist(),
        "energy": None if points.energy is None else _pack(points.energy),
        "semantic": None if points.semantic is None else _pack(points.semantic),
        "classes": {c: class_name(c) for c in classes},
        "panels": [
            {"name": panel.name, "labels": _pack(panel.labels), "slots": _pack(panel.places)}
            for panel in panels(points, labels)
        ],
    }
    # The title stays outside the data, so that the list of events is built without unpacking any.
    opening = f'<script type="application/json" class="event" data-title="{html.escape(title)}">'
    return f"{opening}{_json(data)}</script>"


def _figure(figure: Any) -> str:
    return f'<script type="application/json" class="figure">{_escape(figure.to_json())}</script>'


def _pack(values: npt.NDArray[Any]) -> dict[str, Any]:
    """Pack an array as the base64 bytes of the smallest typed array that holds it, or a list of text."""
    dtype = "float32"
    if np.issubdtype(values.dtype, np.integer):
        low, high = values.min(initial=0), values.max(initial=0)
        fitting = [
            t for t in ("int8", "int16", "int32") if np.iinfo(t).min <= low and high <= np.iinfo(t).max
        ]
        if not fitting:  # JavaScript has no exact int64
            return {"type": "Array", "data": values.ravel().astype(str).tolist()}
        dtype = fitting[0]
    little = np.ascontiguousarray(values, np.dtype(dtype).newbyteorder("<"))
    return {"type": _ARRAY_TYPES[dtype], "data": base64.b64encode(little.tobytes()).decode("ascii")}


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
