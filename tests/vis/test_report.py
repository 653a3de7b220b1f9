"""The report: one well-formed file, offline, escaped, complete or absent."""

import base64
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sparseclust.data import Event
from sparseclust.vis import ReportTable, write_report

pytest.importorskip("plotly")

VOID = {"meta", "link", "br", "img", "input", "hr"}


class _Page(HTMLParser):
    """Checks nesting; collects text outside scripts, loads from elsewhere and embedded data."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.stack: list[str] = []
        self.text: list[str] = []
        self.loads: list[str] = []
        self.events: list[tuple[str, dict[str, Any]]] = []
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
                self.events.append((str(self._open["data-title"]), json.loads(data)))
        elif not self.stack or self.stack[-1] != "style":
            self.text.append(data)


def _unpack(packed: dict[str, Any]) -> list[Any]:
    if packed["type"] == "Array":
        return packed["data"]
    dtype = {"Int8Array": "<i1", "Int16Array": "<i2", "Int32Array": "<i4", "Float32Array": "<f4"}[
        packed["type"]
    ]
    return np.frombuffer(base64.b64decode(packed["data"]), dtype).tolist()


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
    assert page.loads == []
    words = " ".join(page.text).split()
    for word in ("Demo", "Scores", "0.988", "12,345", "–", "DBSCAN", "note."):
        assert any(word in w for w in words), word
    (title, data), (_, empty) = page.events
    assert title == "first"
    assert _unpack(data["coords"]) == [-3, 0, 700, 1, 2, 3, 1, 2, 4]
    assert _unpack(data["energy"]) == [0.5, 1.5, 2.5]
    assert data["classes"] == {"0": "shower", "1": "track"}
    assert [panel["name"] for panel in data["panels"]] == ["truth", "prediction"]
    assert _unpack(data["panels"][0]["labels"]) == [70_000, 1, -1]
    assert _unpack(data["panels"][1]["slots"]) == [0, 0, 0]
    assert _unpack(empty["coords"]) == []
    assert "hidden" not in page.attributes["viewer"]


def test_the_page_never_asks_the_network(tmp_path: Path) -> None:
    write_report(tmp_path / "r.html", title="x", events=[("e", _event(), {})])
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    library = max(re.findall(r"<script>.*?</script>", text, re.DOTALL), key=len)
    ours = text.replace(library, "")
    assert len(library) > 1_000_000
    assert not re.search(r"https?:|//cdn|@import|url\(|fetch\(|XMLHttpRequest", ours)


def test_everything_is_escaped(tmp_path: Path) -> None:
    evil = "</script><script>alert(1)</script><!-- \"&' $title ${x}"
    table = ReportTable([evil], [[evil]], evil)
    page = _write(
        tmp_path, title=evil, summary=[table], events=[(evil, _event(), {evil: [0, 0, 0]})], notes=[evil]
    )
    assert sum(evil in text for text in page.text) == 6  # title, heading, note, caption, header, cell
    ((title, data),) = page.events
    assert title == evil
    assert data["panels"][1]["name"] == evil


def test_ids_beyond_int32_keep_their_digits(tmp_path: Path) -> None:
    event = Event(np.zeros((1, 2)), [1.0], instance=[1 << 62])
    page = _write(tmp_path, events=[("e", event, {})])
    assert _unpack(page.events[0][1]["panels"][0]["labels"]) == [str(1 << 62)]


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
