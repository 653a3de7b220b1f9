"""The judge of fragments: its trees against LightGBM's own evaluation of them, and its parts per event.

Run: python benchmarks/bench_judge.py [--quick]

- trees: as many as a class of spice-small has, of 31 leaves, one thread each; the log-odds are the same. Few
  rows are the usual case: after each join the pairs of one fragment are judged anew.
- parts: simulated events through the clusterer of spice-small; its processor time per event, and what part of
  it making fragments, describing pairs and walking trees take. The network does not count.
"""

import argparse
import statistics
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import lightgbm
import numpy as np

from sparseclust.clustering import AffinityGraphClusterer, FragmentJudge
from sparseclust.clustering._fragments import FragmentGraph
from sparseclust.data.simulation import EventGenerator, SimulatedEvents
from sparseclust.pipeline import Predictor
from sparseclust.training._graph import met_graph
from sparseclust.training._judge import _planted, _trees

PARTS = {
    "fragments": (AffinityGraphClusterer, "fit_predict"),
    "descriptions": (FragmentGraph, "describe"),
    "trees": (FragmentJudge, "__call__"),
}


def seconds(run: Callable[[], Any], repeats: int) -> float:
    """Median processor time."""
    times = []
    for _ in range(repeats):
        begin = time.process_time()
        run()
        times.append(time.process_time() - begin)
    return statistics.median(times)


def trees(judge: FragmentJudge, quick: bool) -> None:
    count = 50 if quick else int(np.bincount(judge.kind).max())
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(4096, judge.width))
    answer = (rows[:, :9].sum(axis=1) + rng.normal(size=len(rows)) > 0).astype(np.float32)
    settings = {"objective": "binary", "num_leaves": 31, "learning_rate": 0.03, "verbose": -1}
    booster = lightgbm.train(settings, lightgbm.Dataset(rows, answer), count)
    ours = _planted([(0, nodes) for nodes in _trees(booster)], width=judge.width)
    print(f"{count} trees: microseconds per row")
    for n in (1, 4, 32, 4096):
        few = np.ascontiguousarray(rows[:n])
        theirs = booster.predict(few, num_threads=1)
        np.testing.assert_allclose(ours(few), theirs, atol=1e-5)
        repeats = max(5, 2000 // n)
        own = seconds(lambda few=few: ours(few), repeats)
        peer = seconds(lambda few=few: booster.predict(few, num_threads=1), repeats)
        print(f"  {n:5} rows: {own / n * 1e6:7.1f}, LightGBM {peer / n * 1e6:7.1f}, {peer / own:.1f} times")


def parts(predictor: Predictor, quick: bool) -> None:
    n = 16 if quick else 128
    generator = EventGenerator("pilarnet", rng=3)
    graphs = [met_graph(p) for p in predictor.predict(SimulatedEvents(n, generator))]
    clusterer = predictor.clusterer

    def run() -> None:
        for graph in graphs:
            clusterer.fit_predict(graph.edges, graph.affinity, **graph.voxels)

    run()
    total = seconds(run, 5)
    spent: Counter[str] = Counter()
    rows = 0
    for name, (owner, method) in PARTS.items():
        inner = getattr(owner, method)

        def timed(*arguments: Any, name: str = name, inner: Any = inner, **options: Any) -> Any:
            nonlocal rows
            begin = time.perf_counter()
            found = inner(*arguments, **options)
            spent[name] += time.perf_counter() - begin
            rows += len(found) if name == "trees" else 0
            return found

        setattr(owner, method, timed)
    begin = time.perf_counter()
    run()
    whole = time.perf_counter() - begin
    print(f"{n} events, each by itself: {total / n * 1e3:.2f} ms per event, {rows / n:.1f} pairs judged")
    for name in PARTS:
        per_pair = f", {spent[name] / rows * 1e6:.0f} microseconds per pair" if name != "fragments" else ""
        print(f"  {name}: {spent[name] / whole:.0%}{per_pair}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few trees and events, seconds")
    options = parser.parse_args()
    predictor = Predictor.from_pretrained("spice-small")
    trees(predictor.clusterer.judge, options.quick)
    parts(predictor, options.quick)


if __name__ == "__main__":
    main()
