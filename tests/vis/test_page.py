"""The page of the report in a browser: it loads without network and complaints, and does what it says."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from chromium import Page, chromium

from sparseclust.data import Event
from sparseclust.vis import ReportEvent, ReportTable, plot_scores, write_report


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    with chromium() as page:
        yield page


def _event(n: int, ndim: int = 3, seed: int = 0) -> Event:
    """Straight particles of classes 0 and 1."""
    rng = np.random.default_rng(seed)
    k = np.sort(rng.integers(0, 40, n))
    start, way = rng.integers(0, 500, (40, ndim)), rng.normal(size=(40, ndim))
    coords = (start[k] + 150 * way[k] * rng.random((n, 1))).astype(int)
    return Event(coords, rng.random(n), semantic=k % 2, instance=k)


def _entry(number: int, event: Event, **scores: float) -> ReportEvent:
    assert event.instance is not None
    labels = {"prediction": event.instance // 2, "DBSCAN": event.instance // 5}
    return ReportEvent(
        f"event {number}", event, labels, str(number), {int(c[1:]): s for c, s in scores.items()}
    )


def _open(page: Page, path: Path, anchor: str = "") -> None:
    page.complaints.clear()
    page.requests.clear()
    page.open("about:blank", ready=False)
    page.open(f"{path.as_uri()}{anchor}")
    _drawn(page)


def _drawn(page: Page, event: str | None = None) -> None:
    page.wait("document.documentElement.dataset.drawn" + (f" === '{event}'" if event else " !== undefined"))


def _click(page: Page, selector: str) -> None:
    page.run(f"document.querySelector('{selector}').click()")


def _click_and_draw(page: Page, selector: str) -> None:
    page.run("delete document.documentElement.dataset.drawn")
    _click(page, selector)
    _drawn(page)


def _middle(page: Page) -> tuple[float, float, float]:
    """Middle of the first panel in the window, and its shorter side."""
    page.run("panels.scrollIntoView()")
    box = page.run("panels.querySelector('canvas').getBoundingClientRect().toJSON()")
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2, min(box["width"], box["height"])


def _text(page: Page, selector: str) -> str:
    return str(page.run(f"document.querySelector('{selector}').innerText"))


def _listed(page: Page) -> list[str]:
    return list(page.run("[...document.querySelectorAll('#list tbody tr')].map((r) => r.cells[0].innerText)"))


def _colours(page: Page, canvas: str = "#panels canvas") -> list[int]:
    """How many pixels of each canvas are coloured: neither empty nor grey."""
    return list(
        page.run(f"""[...document.querySelectorAll('{canvas}')].map((canvas) => {{
        const {{ width, height }} = canvas;
        if (!width) return 0;
        const copy = new OffscreenCanvas(width, height).getContext("2d", {{ willReadFrequently: true }});
        copy.drawImage(canvas, 0, 0);
        const {{ data }} = copy.getImageData(0, 0, width, height);
        let n = 0;
        for (let i = 0; i < data.length; i += 4)
            n += data[i + 3] === 255 && Math.max(data[i], data[i + 1], data[i + 2])
                - Math.min(data[i], data[i + 1], data[i + 2]) > 40;
        return n; }})""")
    )


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    events = [
        _entry(10, _event(300, seed=1), c0=0.9, c1=0.4),
        _entry(11, _event(200, seed=2), c0=0.5, c1=1.0),
        _entry(12, Event([[0, 0, 0], [5, 0, 0]], [1, 1], semantic=[0, 0], instance=[0, 1]), c0=1.0),
        _entry(13, Event(np.zeros((0, 3)), [], semantic=[], instance=[])),
        _entry(14, _event(150, ndim=2, seed=3), c0=0.7, c1=0.8),
    ]
    table = ReportTable(["class", "ARI"], [["track", 0.7]], "Scores")
    path = tmp_path_factory.mktemp("page") / "report.html"
    return write_report(path, title="Report", summary=[table], events=events)


def test_it_loads_without_network_and_complaints_and_shows_pictures(
    page: Page, report: Path, tmp_path: Path
) -> None:
    _open(page, report)
    assert page.complaints == []
    assert page.requests == [report.as_uri()]
    assert [_text(page, f"figure:nth-child({i}) b") for i in (1, 2, 3)] == ["truth", "prediction", "DBSCAN"]
    assert _text(page, "figure:nth-child(2) figcaption span") == "20 instances"
    assert min(_colours(page)) > 300
    png = page.screenshot(tmp_path / "page.png")
    assert len(png) > 20_000  # a blank page of this size has 5 kB


def test_figures_are_drawn_without_network_and_complaints(page: Page, tmp_path: Path) -> None:
    pytest.importorskip("plotly")
    table = np.array([(0, 0.5), (1, 0.7)], dtype=[("semantic", "i8"), ("ari", "f8")])
    figure = plot_scores(table, scores=["ari"])
    path = write_report(tmp_path / "r.html", title="x", figures=[figure], events=[_entry(0, _event(50))])
    _open(page, path)
    page.wait("document.querySelectorAll('.chart .boxlayer path.box').length === 2")
    assert page.complaints == []
    assert page.requests == [path.as_uri()]


def test_buttons_keys_and_links_walk_through_the_events(page: Page, report: Path) -> None:
    _open(page, report, "#event=11")
    assert _text(page, "#title") == "event 11"
    assert _text(page, "#position") == "2 of 5"
    _click(page, "#next")
    _drawn(page, "12")
    page.press("ArrowLeft")
    _drawn(page, "11")
    _click(page, "#previous")
    _drawn(page, "10")
    page.press("ArrowLeft")  # round the end; 2D
    _drawn(page, "14")
    assert page.run("location.hash") == "#event=14"
    assert min(_colours(page)) > 100
    page.run("void (location.hash = '#event=13')")  # no voxel
    _drawn(page, "13")
    assert _text(page, "#count") == "0 voxels"
    assert _colours(page) == [0, 0, 0]
    assert page.complaints == []


def test_events_are_sorted_filtered_and_found(page: Page, report: Path) -> None:
    _open(page, report)
    assert _listed(page) == [f"event {i}" for i in (10, 11, 12, 13, 14)]
    heads = list(page.run("[...document.querySelectorAll('#list th')].map((h) => h.innerText.trim())"))
    assert [h.split(" ↑")[0] for h in heads] == ["event", "voxels", "mean SBD", "shower", "track"]
    press = "[...document.querySelectorAll('#list th button')].find((b) => b.innerText === '{}').click()"
    page.run(press.format("track"))
    assert _listed(page) == [f"event {i}" for i in (10, 14, 11, 12, 13)]  # without a score last
    page.run(press.format("track"))
    assert _listed(page) == [f"event {i}" for i in (11, 14, 10, 12, 13)]
    page.run(press.format("mean SBD"))
    assert _listed(page) == [f"event {i}" for i in (10, 11, 14, 12, 13)]
    _click(page, "#next")
    _drawn(page, "11")  # in the order of the list
    page.run("holding.value = '1'; holding.dispatchEvent(new Event('change'))")
    assert _listed(page) == [f"event {i}" for i in (10, 11, 14)]
    page.run("holding.value = ''; holding.dispatchEvent(new Event('change'))")
    page.run("search.value = '14'; search.dispatchEvent(new Event('input')); search.focus()")
    assert _listed(page) == ["event 14"]
    page.press("Enter")
    _drawn(page, "14")
    assert page.complaints == []


def test_classes_are_switched_off_and_on(page: Page, report: Path) -> None:
    _open(page, report)
    before = _colours(page)
    page.run(
        "delete document.documentElement.dataset.drawn; document.querySelector('#classes input').click()"
    )
    _drawn(page)
    assert _text(page, "#count").endswith(" of 300 voxels")
    assert all(0 < after < n for after, n in zip(_colours(page), before))
    _click_and_draw(page, "#home")
    assert _colours(page) == before


def test_all_panels_turn_and_zoom_together(page: Page, report: Path) -> None:
    _open(page, report)
    x, y, _ = _middle(page)
    pictures = "[...panels.querySelectorAll('canvas')].map((c) => c.toDataURL())"
    before = page.run(pictures)
    page.mouse("mousePressed", x, y, button="left", buttons=1)
    page.mouse("mouseMoved", x + 60, y + 20, button="left", buttons=1)
    page.mouse("mouseReleased", x + 60, y + 20, button="left")
    page.wait("new Promise((done) => setTimeout(() => done(true), 250))")
    turned = page.run(pictures)
    page.mouse("mouseWheel", x, y, deltaX=0, deltaY=-100)
    page.wait("new Promise((done) => setTimeout(() => done(true), 250))")
    zoomed = page.run(pictures)
    for pictures_of_a_panel in zip(before, turned, zoomed):
        assert len(set(pictures_of_a_panel)) == 3
    assert page.complaints == []


def test_the_voxel_pointed_at_is_named_in_every_panel(page: Page, tmp_path: Path) -> None:
    event = Event([[0, 0], [8, 8]], [0.25, 3.0], semantic=[1, 1], instance=[3, 4])
    write_report(tmp_path / "r.html", title="x", events=[("e", event, {"prediction": [7, 7]})])
    _open(page, tmp_path / "r.html")
    # The box reaches from -0.24 to 8.24, and fills 82 % of the picture.
    x, y, side = _middle(page)
    page.mouse("mouseMoved", x - 0.39 * side, y + 0.39 * side)
    page.wait("!tip.hidden")
    assert _text(page, "#tip").split("\n") == ["truth 3", "prediction 7", "track", "0.250 MeV", "(0, 0)"]
    assert page.run("[...document.querySelectorAll('.ring')].filter((r) => !r.hidden).length") == 2


def test_the_worst_events_of_each_class_open_with_a_click(page: Page, report: Path) -> None:
    _open(page, report)
    page.run("gallery.scrollIntoView()")
    page.wait("gallery.querySelectorAll('canvas').length === 15")
    titles = page.run("[...document.querySelectorAll('.card')].map((c) => c.innerText.replace(/\\s+/g, ' '))")
    assert titles == [
        "event 11 0.500",
        "event 14 0.700",
        "event 10 0.900",
        "event 10 0.400",
        "event 14 0.800",
    ]
    assert min(_colours(page, "#gallery canvas")) > 20
    page.run("document.querySelectorAll('.card')[4].click()")
    _drawn(page, "14")
    assert page.run("[...document.querySelectorAll('#classes input')].map((b) => b.checked)") == [False, True]
    assert page.complaints == []


def test_a_narrow_window_shows_all_without_scrolling_sideways(page: Page, report: Path) -> None:
    _open(page, report)
    page.resize(400, 800)
    try:
        page.wait("document.documentElement.scrollWidth <= 400", 10)
        widths = page.run("[...panels.querySelectorAll('canvas')].map((c) => c.clientWidth)")
        assert min(widths) > 300
    finally:
        page.resize(1280, 900)


def test_a_hundred_thousand_voxels_do_not_freeze(page: Page, tmp_path: Path) -> None:
    big = [_entry(i, _event(100_000, seed=i)) for i in range(2)]
    path = write_report(tmp_path / "big.html", title="big", events=big)
    assert path.stat().st_size < 16 * 200_000
    _open(page, path)
    page.run("new Promise((done) => setTimeout(done, 500))")
    start = page.busy()
    _click(page, "#next")
    _drawn(page, "1")
    # benchmarks/bench_display.py: less than a tenth of a second of CPU time.
    assert page.busy() - start < 1
    assert page.complaints == []
