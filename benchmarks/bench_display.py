"""The page of `sparseclust display` and of the report in headless Chromium, without a GPU.

Size of the page, and CPU time of its main thread: until the first picture, to the next event, and for a frame
while the camera turns. That long the page cannot answer, on a machine that has nothing else to do. `--plotly`
adds the first picture of the same event by plot_comparison.
Run: python benchmarks/bench_display.py [--quick] [--plotly]
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from sparseclust.data import Event
from sparseclust.vis import ReportEvent, plot_comparison, write_report

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from chromium import Page, chromium

INSTANCES = 200
FRAMES = 8
REST = "new Promise((done) => setTimeout(done, 1500))"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small events, a few seconds")
    parser.add_argument("--plotly", action="store_true", help="plotly as well, which takes a minute")
    options = parser.parse_args()
    print("   voxels  bytes/voxel  written in  first picture  next event    a frame")
    with tempfile.TemporaryDirectory() as folder, chromium() as page:
        for n in (10**4,) if options.quick else (10**4, 10**5, 10**6):
            measure(page, Path(folder) / "page.html", n)
        if options.plotly:
            measure_plotly(page, Path(folder) / "plotly.html", 10**4 if options.quick else 10**5)


def measure(page: Page, path: Path, n: int) -> None:
    """Print a line about a page of four events with n voxels each in three panels."""
    events = [make_event(n, seed) for seed in range(4)]
    start = time.process_time()
    write_report(path, title="benchmark", events=events)
    written = time.process_time() - start
    page.open("about:blank", ready=False)
    start = page.busy()
    page.open(path.as_uri())
    page.wait("document.documentElement.dataset.drawn === '0'")
    first = page.busy() - start
    page.run(REST)  # the next event is unpacked meanwhile
    start = page.busy()
    page.run("document.getElementById('next').click()")
    page.wait("document.documentElement.dataset.drawn === '1'")
    following = page.busy() - start
    page.run(REST)
    print(
        f"{n:>9,}  {path.stat().st_size / (4 * n):>11.1f}  {written:>8.2f} s  {first:>11.2f} s  "
        f"{following:>8.2f} s  {1000 * turning(page):>6.0f} ms"
    )


def turning(page: Page) -> float:
    """Seconds of CPU time that a frame takes while the camera is dragged, before all is drawn again."""
    box = page.run("document.querySelector('#panels canvas').getBoundingClientRect().toJSON()")
    x, y = box["x"] + 100, box["y"] + 50
    page.mouse("mousePressed", x, y, button="left", buttons=1)
    start = page.busy()
    for k in range(FRAMES):
        page.mouse("mouseMoved", x + 5 * k, y + k, button="left", buttons=1)
        page.run("new Promise((done) => requestAnimationFrame(() => setTimeout(done)))")
    used = page.busy() - start
    page.mouse("mouseReleased", x, y, button="left")
    return used / FRAMES


def measure_plotly(page: Page, path: Path, n: int) -> None:
    """Print how long plotly takes with the same event."""
    _, event, labels, *_ = make_event(n, 0)
    plot_comparison(event, labels).write_html(path)
    page.patience = 300.0
    page.open("about:blank", ready=False)
    start = page.busy()
    page.open(path.as_uri(), ready=False)
    page.wait("document.readyState === 'complete'", page.patience)
    page.run(REST)
    print(f"plotly, {n:,} voxels: first picture after {page.busy() - start:.1f} s")


def make_event(n: int, seed: int) -> ReportEvent:
    """Straight particles, with a prediction and a DBSCAN that merge some of them."""
    rng = np.random.default_rng(seed)
    k = np.sort(rng.integers(0, INSTANCES, n))
    start, way = rng.integers(0, 768, (INSTANCES, 3)), rng.normal(size=(INSTANCES, 3))
    coords = (start[k] + 150 * way[k] * rng.random((n, 1)) + rng.normal(size=(n, 3))).astype(np.int32)
    event = Event(coords, rng.random(n), semantic=k % 5, instance=k)
    return ReportEvent(f"event {seed}", event, {"prediction": k // 2, "DBSCAN": k // 3}, str(seed))


if __name__ == "__main__":
    main()
