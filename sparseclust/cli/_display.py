"""``sparseclust display``."""

import re
from collections.abc import Iterator, Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal

import numpy.typing as npt
import torch

from sparseclust.cli._predict import find_device
from sparseclust.cli._progress import progress
from sparseclust.cli._report import event_scores
from sparseclust.data import Event, open_events
from sparseclust.pipeline import Predictor, SemanticClassifier
from sparseclust.training import dbscan_labels
from sparseclust.vis import ReportEvent, write_report

Labels = npt.NDArray[Any] | None


def display(
    file: str,
    *,
    event: int | None = None,
    events: str = ":",
    model: Path | None = None,
    semantic: Path | None = None,
    output: Path = Path("display.html"),
    serve: bool = False,
    port: int = 0,
    max_voxels: int = 3_000_000,
    batch_size: int = 8,
    device: str = "auto",
    label: Literal["fragment", "group", "interaction"] = "fragment",
) -> None:
    """Write a page that walks through the events of a file: truth, prediction and DBSCAN, without a network.

    Parameters
    ----------
    file
        Events, or predictions of `sparseclust predict`; may be a glob pattern.
    event
        Event to open the page at; without --events, the only one in it.
    events
        Events to show, FIRST:END; either may be missing, and END is not included.
    model
        Label the events with this model: a file that `sparseclust train` wrote, or a name like spice-small.
    semantic
        Likewise a classifier, whose classes are used in the place of those of the events.
    output
        Page to write (.html).
    serve
        Show the page at an address of this machine until Ctrl-C, for instance through an ssh tunnel.
    port
        Port of that address; 0 takes a free one.
    max_voxels
        Leave out the events with which the page would hold more voxels than that; each takes about 10 bytes.
    batch_size
        Events per forward pass.
    device
        cpu, cuda, cuda:1, ...; auto takes a GPU where there is one.
    label
        Which column of a PILArNet file is the true instance: fragment, group or interaction.
    """
    predictor = _predictor(model, semantic, batch_size=batch_size, device=find_device(device))
    size = 768 if predictor is None else predictor.inputs.spatial_size
    source = open_events(file, label=label, spatial_size=size)
    asked = _numbers(file, len(source), events, event)
    chosen = _within(source, asked, max_voxels)
    shown = asked[: len(chosen)]
    if event is not None and event not in shown:
        raise ValueError(f"{file}: event {event} is not among the events shown, {_span(shown)}")
    output.parent.mkdir(parents=True, exist_ok=True)
    name = Path(file).name
    entries = map(_entry, shown, chosen, _predicted(chosen, predictor))
    note = _account(shown, asked, len(source), sum(map(len, chosen)))
    shown_entries = progress(entries, total=len(chosen), what=name)
    write_report(output, title=name, events=shown_entries, notes=[note])
    print(note)
    anchor = f"#event={shown[0] if event is None else event}"
    print(f"page: {output.resolve().as_uri()}{anchor}")
    if serve:
        _serve(output.read_bytes(), port, anchor)


def _predictor(
    model: Path | None, semantic: Path | None, *, batch_size: int, device: torch.device
) -> Predictor | None:
    if model is None:
        if semantic is not None:
            raise ValueError("--semantic needs --model: predictions have their labels")
        return None
    predictor = Predictor.from_pretrained(model, batch_size=batch_size, device=device)
    if semantic is not None:
        predictor.classifier = SemanticClassifier.from_pretrained(semantic, device=device)
    return predictor


def _numbers(file: str, n: int, events: str, event: int | None) -> range:
    """Numbers of the events that are asked for."""
    if event is not None and not 0 <= event < n:
        raise ValueError(f"{file}: has {n} events, numbered from 0, and no event {event}")
    if event is not None and events == ":":
        return range(event, event + 1)
    found = re.fullmatch(r"(-?\d+)?:(-?\d+)?", events)
    if found is None:
        raise ValueError(f"--events must be FIRST:END, such as 100:120, :50 or 900:, got {events!r}")
    numbers = range(n)[slice(*(int(end) if end else None for end in found.groups()))]
    if not numbers:
        raise ValueError(f"{file}: has {n} events, numbered from 0, and none of them is in {events}")
    return numbers


def _within(source: Sequence[Event], numbers: range, max_voxels: int) -> list[Event]:
    """Take the first of the events that together have at most so many voxels; one at least."""
    chosen: list[Event] = []
    left = max_voxels
    for number in numbers:
        event = source[number]
        left -= len(event)
        if left < 0 and chosen:
            break
        chosen.append(event)
    return chosen


def _predicted(events: Sequence[Event], predictor: Predictor | None) -> Iterator[tuple[Labels, Labels]]:
    """Predicted labels and classes of each event: from the network, or from the file where it has some."""
    if predictor is not None:
        return ((prediction.labels, prediction.semantic) for prediction in predictor.predict(events))
    return ((event.extra.get("label"), event.extra.get("class")) for event in events)


def _entry(number: int, event: Event, predicted: tuple[Labels, Labels]) -> ReportEvent:
    labels, classes = predicted
    if event.semantic is None and classes is not None:
        event = Event(event.coords, event.feats, classes, event.instance)
    partitions = {} if labels is None else {"prediction": labels}
    return ReportEvent(
        f"event {number}",
        event,
        {**partitions, "DBSCAN": dbscan_labels(event)},
        str(number),
        {} if labels is None else event_scores(event, labels),
    )


def _account(shown: range, asked: range, total: int, voxels: int) -> str:
    """Say what the page shows, and what it leaves out."""
    text = f"{_span(shown)} of {total:,} in the file: {voxels:,} voxels."
    if len(shown) < len(asked):
        left = len(asked) - len(shown)
        text += (
            f" {left:,} more would make the page too large; they are in --events {shown.stop}:{asked.stop}, "
            "and all fit with a larger --max_voxels."
        )
    return text


def _span(numbers: range) -> str:
    return f"Event {numbers[0]}" if len(numbers) == 1 else f"Events {numbers[0]} to {numbers[-1]}"


def _serve(page: bytes, port: int, anchor: str) -> None:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path != "/":
                self.send_error(HTTPStatus.NOT_FOUND)
                return
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(page)))
            self.end_headers()
            self.wfile.write(page)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the base's
            """Say nothing about each request."""

    with ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
        print(f"served until Ctrl-C: http://127.0.0.1:{server.server_port}/{anchor}", flush=True)
        server.serve_forever()
