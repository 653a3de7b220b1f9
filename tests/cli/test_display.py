"""``sparseclust display``: pages that walk through the events of a file."""

import gzip
import json
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from base64 import b64decode
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sparseclust.cli import main
from sparseclust.data import Event, open_events, write_events
from sparseclust.data.simulation import EventGenerator
from sparseclust.metrics import score_events


@pytest.fixture(scope="module")
def events() -> list[Event]:
    generator = EventGenerator(rng=0, spatial_size=96)
    return [generator.event(i) for i in range(5)]


@pytest.fixture(scope="module")
def file(events: list[Event], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("display") / "events.h5"
    write_events(path, events)
    return path


def _display(tmp_path: Path, *arguments: object) -> str:
    page = tmp_path / "out" / "page.html"
    assert main(["display", *map(str, arguments), "--output", str(page)]) == 0
    return page.read_text(encoding="utf-8")


def _index(page: str) -> list[dict[str, Any]]:
    return list(json.loads(re.findall(r'<script id="index"[^>]*>(.*?)</script>', page)[0]))


def _panels(page: str) -> list[list[str]]:
    blocks = (gzip.decompress(b64decode(b)) for b in re.findall(r'class="event"[^>]*>(.*?)</script>', page))
    headers = (json.loads(b[4 : 4 + int.from_bytes(b[:4], "little")]) for b in blocks)
    return [[panel["name"] for panel in header["panels"]] for header in headers]


def test_a_file_of_events(file: Path, events: list[Event], tmp_path: Path, capsys: Any) -> None:
    page = _display(tmp_path, file)
    assert [(e["id"], e["n"], e["scores"]) for e in _index(page)] == [
        (str(i), len(event), {}) for i, event in enumerate(events)
    ]
    assert _panels(page) == [["truth", "DBSCAN"]] * 5
    said = f"Events 0 to 4 of 5 in the file: {sum(map(len, events)):,} voxels."
    assert said in page
    printed = capsys.readouterr().out.splitlines()
    assert printed == [said, f"page: {(tmp_path / 'out' / 'page.html').as_uri()}#event=0"]


def test_predictions_bring_their_scores(events: list[Event], tmp_path: Path) -> None:
    labels = [event.instance // 2 for event in events]  # type: ignore[operator]
    predicted = [
        Event(e.coords, e.feats, e.semantic, e.instance, extra={"label": label})
        for e, label in zip(events, labels)
    ]
    write_events(tmp_path / "p.h5", predicted)
    page = _display(tmp_path, tmp_path / "p.h5", "--events", ":3")
    assert _panels(page) == [["truth", "prediction", "DBSCAN"]] * 3
    for entry, event, label in zip(_index(page), events, labels):
        assert event.semantic is not None
        assert event.instance is not None
        known = (event.instance >= 0) & (event.semantic < 4)
        table = score_events(
            event.instance[known], label[known], event=np.zeros(known.sum()), semantic=event.semantic[known]
        )
        expected = {str(row["semantic"]): pytest.approx(row["sbd"], abs=1e-6) for row in table}
        assert entry["scores"] == expected


def test_predictions_without_truth_are_shown_and_not_scored(events: list[Event], tmp_path: Path) -> None:
    event = events[0]
    bare = Event(event.coords, event.feats, extra={"label": np.zeros(len(event), np.int64)})
    write_events(tmp_path / "p.h5", [bare])
    page = _display(tmp_path, tmp_path / "p.h5")
    assert _panels(page) == [["prediction", "DBSCAN"]]
    assert _index(page)[0]["scores"] == {}


def test_predicted_classes_stand_in_for_unknown_ones(events: list[Event], tmp_path: Path) -> None:
    event = events[0]
    extra = {"label": np.zeros(len(event), np.int64), "class": np.arange(len(event)) % 2}
    write_events(tmp_path / "p.h5", [Event(event.coords, event.feats, extra=extra)])
    (entry,) = _index(_display(tmp_path, tmp_path / "p.h5"))
    assert entry["classes"] == {"0": -(-len(event) // 2), "1": len(event) // 2}


def test_a_model_labels_the_events(file: Path, tmp_path: Path) -> None:
    page = _display(tmp_path, file, "--event", "1", "--model", "spice-small")
    assert _panels(page) == [["truth", "prediction", "DBSCAN"]]
    (entry,) = _index(page)
    assert entry["id"] == "1"
    assert set(entry["scores"]) <= {"0", "1", "2", "3"} != set()


def test_other_formats(data_dir: Path, tmp_path: Path) -> None:
    path = data_dir / "pilarnet_m_event7675.h5"
    page = _display(tmp_path, path, "--label", "group")
    assert _index(page)[0]["n"] == len(open_events(path)[0])
    assert _panels(page) == [["truth", "DBSCAN"]]


@pytest.mark.parametrize(
    ("options", "numbers", "anchor"),
    [
        (["--event", "3"], [3], 3),
        (["--events", "2:4"], [2, 3], 2),
        (["--events=-2:"], [3, 4], 3),
        (["--events", "1:30", "--event", "2"], [1, 2, 3, 4], 2),
        (["--events", ":1"], [0], 0),
    ],
)
def test_a_range_of_events(
    file: Path, tmp_path: Path, capsys: Any, options: list[str], numbers: list[int], anchor: int
) -> None:
    page = _display(tmp_path, file, *options)
    assert [entry["id"] for entry in _index(page)] == [str(n) for n in numbers]
    assert capsys.readouterr().out.rstrip().endswith(f"page.html#event={anchor}")


def test_what_does_not_fit_is_left_out_and_named(file: Path, events: list[Event], tmp_path: Path) -> None:
    page = _display(tmp_path, file, "--events", "1:", "--max_voxels", len(events[1]) + len(events[2]))
    assert [entry["id"] for entry in _index(page)] == ["1", "2"]
    assert "Events 1 to 2 of 5 in the file" in page
    assert "2 more would make the page too large; they are in --events 3:5" in page
    page = _display(tmp_path, file, "--max_voxels", "1")  # one is always shown
    assert "Event 0 of 5 in the file" in page


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--event", "5"], "has 5 events, numbered from 0, and no event 5"),
        (["--event=-1"], "no event -1"),
        (["--events", "7"], "--events must be FIRST:END"),
        (["--semantic", "c.pt"], "--semantic needs --model"),
        (["--events", "9:"], "none of them is in 9:"),
        (["--events", ":2", "--event", "4"], "event 4 is not among the events shown, Events 0 to 1"),
    ],
)
def test_bad_choices_are_named(
    file: Path, tmp_path: Path, capsys: Any, options: list[str], message: str
) -> None:
    page = tmp_path / "page.html"
    assert main(["display", str(file), "--output", str(page), *options]) == 2
    assert message in capsys.readouterr().err
    assert not page.exists()


def test_served_until_ctrl_c(file: Path, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    output = tmp_path / "page.html"
    options = ["--event", "0", "--output", str(output), "--serve", "true", "--port", str(port)]
    command = [sys.executable, "-m", "sparseclust", "display", str(file), *options]
    # A shell that runs the tests in the background lets all that they start ignore Ctrl-C.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    finally:
        signal.signal(signal.SIGINT, before)
    with running:
        try:
            assert running.stdout is not None
            lines = [running.stdout.readline() for _ in range(3)]
            url = f"http://127.0.0.1:{port}/"
            assert lines[2] == f"served until Ctrl-C: {url}#event=0\n"
            with urllib.request.urlopen(url) as answer:
                assert answer.read() == output.read_bytes()
            with pytest.raises(urllib.error.HTTPError, match="404"):
                urllib.request.urlopen(f"{url}etc/passwd").close()
        finally:
            running.send_signal(2)
        assert running.wait(20) == 130
        assert "stopped" in running.communicate()[1]
