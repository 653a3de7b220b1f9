"""Prediction of files: events per second, time per stage, memory per voxel, and what tiles change.

Run: python benchmarks/bench_throughput.py [--quick] [throughput] [large] [seams]; by default all three.

- throughput: files of simulated events through `predict_file` with spice-small, with 0, 1 and 2 processes for
  the clusterer, in turn; the share of each stage is that of the time that the main process spent in it. Wall
  time: other programs on the machine change it, the shares less so.
- large: one event of 10^6 voxels, whole and in tiles, each in a process of its own; memory is the peak of the
  process less that after a small event.
- seams: simulated events cut into tiles with overlaps from all that the network sees down to the longest
  edge; how many affinities change by more than 0.001, and the ARI between the labels and those of the whole.
"""

import argparse
import multiprocessing
import resource
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from sparseclust.data import Event, overlay_events, write_events
from sparseclust.data.simulation import EventGenerator, SimulatedEvents
from sparseclust.metrics import adjusted_rand_score
from sparseclust.pipeline import Predictor, TiledNetwork, predict_file

MODEL = "spice-small"
SHARE = 0.15  # of the time, for the clusterer


def throughput(quick: bool) -> None:
    n, rounds = (16, 1) if quick else (256, 3)  # a process takes seconds to start, whatever the number
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "events.h5"
        write_events(source, SimulatedEvents(n, EventGenerator("pilarnet", rng=3)))
        predictor = Predictor.from_pretrained(MODEL)
        predictor.predict_batch(SimulatedEvents(2, EventGenerator("pilarnet", rng=3)))  # kernels are loaded
        found: dict[int, list[dict[str, float]]] = {0: [], 1: [], 2: []}
        spent = []
        for number in range(rounds):
            for workers, times in found.items():
                target = Path(folder) / f"{workers}-{number}.pred.h5"
                begin = time.process_time()
                times.append(predict_file(predictor, source, target, workers=workers).seconds)
                if not workers:
                    spent.append(time.process_time() - begin)
    print(f"{n} events, batches of {predictor.batch_size}; clusterer at most {SHARE:.0%} of the time")
    for workers, times in found.items():
        best = min(times, key=lambda seconds: sum(seconds.values()))
        total = sum(best.values())
        shares = ", ".join(f"{stage} {seconds / total:.1%}" for stage, seconds in best.items())
        print(f"  {workers} workers: {n / total:6.2f} events/s ({shares})")
    cluster = statistics.median(seconds["cluster"] / sum(seconds.values()) for seconds in found[0])
    print(f"  clusterer without workers: {cluster:.1%}, {'reached' if cluster <= SHARE else 'MISSED'}")
    print(f"  without workers: {n / min(spent):.2f} events per second of CPU")


def large_event(n: int) -> Event:
    """Put simulated events into a cube of 3 x 3 x 3 volumes until there are n voxels."""
    rng, generator = np.random.default_rng(0), EventGenerator("pilarnet", rng=8)
    parts: list[Event] = []
    while sum(len(part) for part in parts) < 1.02 * n:
        event = generator.event(len(parts))
        parts.append(event.select(event.semantic < 4))
    coords = np.concatenate([part.coords + rng.integers(0, 1536, 3) for part in parts])
    _, first = np.unique(coords, axis=0, return_index=True)
    first = np.sort(first)[:n]
    feats, semantic = (np.concatenate([getattr(p, name) for p in parts]) for name in ("feats", "semantic"))
    return Event(coords[first], feats[first], semantic[first])


def measured(n: int, tile: int | None, overlap: int | None, results: Any) -> None:
    predictor = Predictor.from_pretrained(MODEL)
    predictor.predict_batch([EventGenerator("pilarnet", rng=3).event(0)])
    if tile is not None:
        predictor.model = TiledNetwork(predictor.model, voxels=tile, overlap=overlap)
    event = large_event(n)
    before, begin, cpu = peak(), time.perf_counter(), time.process_time()
    [prediction] = predictor.predict([event])
    seconds = time.perf_counter() - begin, time.process_time() - cpu
    results.put((len(event), int(prediction.labels.max()) + 1, before, peak(), seconds))


def peak() -> int:
    """Most memory that this process ever had, bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def large(quick: bool) -> None:
    n = 100_000 if quick else 1_000_000
    context = multiprocessing.get_context("spawn")
    print(f"one event of {n:,} voxels")
    for tile, overlap in ((None, None), (n // 4, 64)):
        results: Any = context.SimpleQueue()
        process = context.Process(target=measured, args=(n, tile, overlap, results))
        process.start()
        process.join()
        voxels, clusters, before, after, seconds = results.get()
        name = "whole" if tile is None else f"tiles of {tile:,}, overlap {overlap}"
        print(
            f"  {name:32}{seconds[0]:7.1f} s, {seconds[1]:.1f} s of CPU, peak "
            f"{after / 2**30:.2f} GiB, {(after - before) / voxels:,.0f} bytes per voxel, {clusters} clusters"
        )


def seams(quick: bool) -> None:
    predictor = Predictor.from_pretrained(MODEL)
    network = predictor.model
    generator = EventGenerator("pilarnet", rng=5)
    events = [
        overlay_events([generator.event(4 * i + j) for j in range(4)]) for i in range(1 if quick else 4)
    ]
    whole = [predictor.predict_batch([event])[0] for event in events]
    reach = TiledNetwork(network, voxels=1).overlap
    print(f"{len(events)} events of {np.mean([len(event) for event in events]):,.0f} voxels, cut into tiles")
    for overlap in (reach, 64, 32, 16, 6):  # 6: as long as a bridge
        changed, worst, scores = [], 0.0, []
        for event, expected in zip(events, whole):
            found = smallest_tiles(predictor, network, event, overlap)
            difference = np.abs(by_ends(found) - by_ends(expected))
            changed.append(float((difference > 1e-3).mean()))
            worst = max(worst, float(difference.max()))
            scores.append(adjusted_rand_score(expected.labels, found.labels))
        print(
            f"  overlap {overlap:4}: {np.mean(changed):8.4%} of affinities change, at most by {worst:.2g}; "
            f"ARI with the whole {np.mean(scores):.5f}, at least {min(scores):.5f}"
        )


def smallest_tiles(predictor: Predictor, network: Any, event: Event, overlap: int) -> Any:
    """Cut into as many tiles as the overlap allows."""
    found = None
    for part in (0.95, 0.6, 0.3):
        predictor.model = TiledNetwork(network, voxels=int(part * len(event)), overlap=overlap)
        try:
            [found] = predictor.predict_batch([event])
        except ValueError:  # no tile fits
            break
    return found


def by_ends(prediction: Any) -> Any:
    """Affinities in the order of the ends of their edges."""
    return prediction.affinity[np.lexsort(prediction.edges)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="which; all by default")
    parser.add_argument("--quick", action="store_true", help="few or small events, a minute")
    options = parser.parse_args()
    for name in options.parts or PARTS:
        PARTS[name](options.quick)


PARTS = {"throughput": throughput, "large": large, "seams": seams}

if __name__ == "__main__":
    main()
