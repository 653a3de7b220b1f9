"""The report: one well-formed file, offline, escaped, complete or absent."""

import base64
import gzip
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sparseclust.data import Event
from sparseclust.vis import ReportEvent, ReportTable, plot_scores, write_report

VOID = {"meta", "link", "br", "img", "input", "hr"}


class _Page(HTMLParser):
    """Checks nesting; collects text outside scripts, loads from elsewhere and embedded data."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.stack: list[str] = []
        self.text: list[str] = []
        self.loads: list[str] = []
        self.events: list[dict[str, Any]] = []
        self.titles: list[str | None] = []
        self.index: list[dict[str, Any]] = []
        self.attributes: dict[str, dict[str, str | None]] = {}
        self._open: dict[str, str | None] = {}
        self.feed(text)
        self.close()
        assert self.stack == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.stack.append(tag)
        self._open = dict(attrs)
        self.loads += [f"{tag} {k}={v}" for k, v in attrs if k in {"src", "href", "srcset", "data", "action"}]
        if "id" in self._open:
            self.attributes[str(self._open["id"])] = self._open

    def handle_endtag(self, tag: str) -> None:
        assert self.stack.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.stack and self.stack[-1] == "script":
            if self._open.get("class") == "event":
                self.events.append(_unpack(data))
                self.titles.append(self._open["data-title"])
            if self._open.get("id") == "index":
                self.index = json.loads(data)
        elif not self.stack or self.stack[-1] != "style":
            self.text.append(data)


def _unpack(block: str) -> dict[str, Any]:
    """The header of a block, with arrays in place of their types."""
    data = gzip.decompress(base64.b64decode(block))
    length = int.from_bytes(data[:4], "little")
    header: dict[str, Any] = json.loads(data[4 : 4 + length])
    offset = 4 + length
    arrays = []
    for name in header["arrays"]:
        assert offset % 8 == 0
        kind, bits = re.fullmatch(r"(Int|Float)(\d+)Array", name).groups()  # type: ignore[union-attr]
        dtype = np.dtype(f"<{kind[0].lower()}{int(bits) // 8}")
        arrays.append(np.frombuffer(data, dtype, header["n"], offset).tolist())
        offset += -(-header["n"] * dtype.itemsize // 8) * 8
    assert offset == len(data)
    return {**header, "arrays": arrays}


def _write(tmp_path: Path, **arguments: Any) -> _Page:
    path = write_report(tmp_path / "report.html", **{"title": "Demo", **arguments})
    assert path == tmp_path / "report.html"
    return _Page(path.read_text(encoding="utf-8"))


def _event() -> Event:
    return Event(
        [[-3, 0, 700], [1, 2, 3], [1, 2, 4]], [0.5, 1.5, 2.5], semantic=[0, 1, 1], instance=[70_000, 1, -1]
    )


def test_one_offline_file_with_events_and_numbers(tmp_path: Path) -> None:
    rows = [["track", "ours", 0.98765, 12345], ["", "DBSCAN", float("nan"), 12345]]
    table = ReportTable(["class", "method", "ARI", "voxels"], rows, "Scores")
    events = [
        ("first", _event(), {"prediction": [4, 4, 4]}),
        ("empty", Event(np.zeros((0, 3)), []), {"p": []}),
    ]
    page = _write(tmp_path, summary=[table], events=iter(events), notes=["A note."])
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]
    assert page.loads == ["link href=data:,"]  # no icon, so that a served page asks for none
    words = " ".join(page.text).split()
    for word in ("Demo", "Scores", "0.988", "12,345", "–", "DBSCAN", "note."):
        assert any(word in w for w in words), word
    data, empty = page.events
    x, y, z, energy, semantic, truth, prediction = data["arrays"]
    assert (x, y, z) == ([-3, 1, 1], [0, 2, 2], [700, 3, 4])
    assert (energy, semantic) == ([0.5, 1.5, 2.5], [0, 1, 1])
    panels = data["panels"]
    assert [panel["name"] for panel in panels] == ["truth", "prediction"]
    assert [panels[0]["labels"][k] for k in truth] == ["70000", "1", "-1"]
    assert [panels[1]["labels"][k] for k in prediction] == ["4", "4", "4"]
    assert panels[0]["places"][truth[2]] == -1
    assert panels[1]["places"] == [panels[0]["places"][truth[1]]]  # 4 covers most of what 1 has
    assert empty["n"] == 0
    first, second = page.index
    assert page.titles == ["first", "empty"]
    assert first == {"id": "0", "n": 3, "classes": {"0": 1, "1": 2}, "scores": {}}
    assert (second["id"], second["n"], second["classes"]) == ("1", 0, {})
    assert "hidden" not in page.attributes["viewer"]


def test_the_page_never_asks_the_network(tmp_path: Path) -> None:
    write_report(tmp_path / "r.html", title="x", events=[("e", _event(), {})])
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert len(text) < 60_000  # a page without figures does without plotly
    assert not re.search(r"https?:|//cdn|@import|url\(|fetch\(|XMLHttpRequest", text)


def test_figures_bring_their_library(tmp_path: Path) -> None:
    pytest.importorskip("plotly")
    table = np.array([(0, 0.5)], dtype=[("semantic", "i8"), ("ari", "f8")])
    write_report(tmp_path / "r.html", title="x", figures=[plot_scores(table, scores=["ari"])])
    assert (tmp_path / "r.html").stat().st_size > 1_000_000


def test_scores_and_ids_are_in_the_index(tmp_path: Path) -> None:
    scores = {1: 0.25, 0: float("nan")}
    page = _write(tmp_path, events=[ReportEvent("e", _event(), {}, "17", scores)], score="ARI")
    assert (page.index[0]["id"], page.index[0]["scores"]) == ("17", {"1": 0.25})
    with pytest.raises(ValueError, match="2 events have 1 ids"):
        _write(tmp_path, events=[ReportEvent("e", _event(), {}, "17")] * 2)


def test_everything_is_escaped(tmp_path: Path) -> None:
    evil = "</script><script>alert(1)</script><!-- \"&' $title ${x}"
    table = ReportTable([evil], [[evil]], evil)
    page = _write(
        tmp_path, title=evil, summary=[table], events=[(evil, _event(), {evil: [0, 0, 0]})], notes=[evil]
    )
    assert sum(evil in text for text in page.text) == 6  # title, heading, note, caption, header, cell
    assert page.titles == [evil]
    assert page.events[0]["panels"][1]["name"] == evil


def test_ids_beyond_int32_keep_their_digits(tmp_path: Path) -> None:
    event = Event(np.zeros((1, 2)), [1.0], instance=[1 << 62])
    page = _write(tmp_path, events=[("e", event, {})])
    assert page.events[0]["panels"][0]["labels"] == [str(1 << 62)]


def test_without_events_the_viewer_is_hidden(tmp_path: Path) -> None:
    assert "hidden" in _write(tmp_path).attributes["viewer"]


def test_columns_of_numbers_are_aligned_right(tmp_path: Path) -> None:
    table = (["name", "score", "n"], [["a1", ".975", 3], ["b", "", 4]])
    write_report(tmp_path / "r.html", title="", summary=[table])  # type: ignore[list-item]
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert re.findall(r'<th class="(\w+)">', text) == ["text", "number", "number"]


def test_a_failure_leaves_the_old_report_alone(tmp_path: Path) -> None:
    path = write_report(tmp_path / "r.html", title="old")
    before = path.read_bytes()
    with pytest.raises(ValueError, match="2 headers and a row of 1 cells"):
        write_report(path, title="new", summary=[ReportTable(["a", "b"], [["x"]])])
    with pytest.raises(ValueError, match=r"labels\['p'\] must have shape"):
        write_report(path, title="new", events=[("e", _event(), {"p": [1]})])
    with pytest.raises(UnicodeEncodeError):
        write_report(path, title="a lone surrogate \ud800")
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["r.html"]
