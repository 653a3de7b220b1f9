"""A whole grid of thresholds in one pass against one clustering per point of it: labels first, then time.

Run ``python benchmarks/bench_tune.py [--quick]``. CPU time of one thread, medians of interleaved runs.
Kernels: 20 seed and 20 kernel thresholds; "per p0" clusters once per kernel threshold and cuts at the seed
thresholds, as a higher one only ends the search earlier. "lists" says what the other way to search once would
take: for every point the neighbours in its widest ball, to be replayed at each threshold (12 bytes per pair,
and the time of SciPy's k-d tree to count them). Graphs: 20 thresholds and 13 smallest sizes.
"""

import argparse
import functools
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from sparseclust.clustering import (
    AffinityGraphClusterer,
    GaussianKernelClusterer,
    neighbour_edges,
    scan_affinities,
    scan_kernels,
)

KERNELS = np.arange(0.5, 20) / 20
SIZES = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 16, 32]


def event(n: int, k: int, width: float, rng: np.random.Generator) -> tuple[Any, Any, Any]:
    """``n`` embeddings around ``k`` centres; margins are ``width`` times those that fit."""
    centres = rng.uniform(0, (k / 27) ** (1 / 3), (k, 3))
    owner = rng.integers(0, k, n)
    sigma = 0.05 * rng.uniform(0.5, 1.5, k)
    step = rng.normal(size=(n, 3)) * 0.6 * sigma[owner, None]
    seediness = np.exp(-np.sum(step**2, axis=1) / (2 * sigma[owner] ** 2))
    return centres[owner] + step, width * sigma[owner] * rng.uniform(0.9, 1.1, n), seediness


def graph(n: int, rng: np.random.Generator) -> tuple[Any, Any, int]:
    """Touching voxels of random walks, with affinities as a trained network gives them."""
    steps = rng.integers(-1, 2, (n // 250 + 1, 300, 3))
    walks = np.cumsum(steps, axis=1) + rng.integers(0, 200, (len(steps), 1, 3))
    coords = np.unique(walks.reshape(-1, 3), axis=0)[:n]
    edges = neighbour_edges(coords)
    return edges, rng.random(edges.shape[1]) ** 0.2, len(coords)


def medians(runs: dict[str, Callable[[], Any]], repeats: int) -> dict[str, float]:
    """Median CPU seconds of each."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(repeats):
        for name, run in runs.items():
            start = time.process_time()
            run()
            times[name].append(time.process_time() - start)
    return {name: statistics.median(found) for name, found in times.items()}


def each_kernel(arrays: tuple[Any, Any, Any]) -> Any:
    """Seed of each point's cluster, one clustering per kernel threshold."""
    found = []
    for p0 in KERNELS:
        clusterer = GaussianKernelClusterer(0.0, float(p0))
        labels = clusterer.fit_predict(*arrays)
        found.append(np.append(clusterer.seeds_, -1)[labels])
    return np.stack(found)


def each_pair(edges: Any, affinity: Any, n: int) -> Any:
    """First row of each row's piece, one clustering per pair."""
    found = np.empty((len(KERNELS), len(SIZES), n), np.int64)
    for t, threshold in enumerate(KERNELS):
        for m, size in enumerate(SIZES):
            clusterer = AffinityGraphClusterer(threshold=threshold, min_size=size)
            labels = clusterer.fit_predict(edges, affinity, n=n)
            found[t, m] = np.unique(labels, return_index=True)[1][labels]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes only")
    options = parser.parse_args()
    rng = np.random.default_rng(7)
    repeats = 3 if options.quick else 9
    sizes = [
        (3_500, 27, 1.0),
        (3_500, 27, 5.0),
        (3_500, 27, 0.2),
        *([] if options.quick else [(100_000, 1_000, 1.0)]),
    ]
    for n, k, width in sizes:
        arrays = event(n, k, width, rng)
        once = functools.partial(scan_kernels, *arrays, kernel_thresholds=KERNELS)
        if not np.array_equal(once(), each_kernel(arrays)):
            raise SystemExit(f"labels differ: {n} points, margins times {width}")
        tree, radii = cKDTree(arrays[0]), arrays[1] * np.sqrt(-2 * np.log(KERNELS[0]))
        count = functools.partial(tree.query_ball_point, arrays[0], radii, return_length=True)
        runs = {"per p0": functools.partial(each_kernel, arrays), "once": once}
        took = medians(runs, repeats if n < 10_000 else 3)
        lists = medians({"lists": count}, 1)["lists"]
        print(
            f"kernels, {n} points, {k} centres, margins x {width:g}: once {took['once'] * 1e3:.2f} ms, "
            f"per p0 {took['per p0'] * 1e3:.2f} ms ({took['per p0'] / took['once']:.1f}x), "
            f"lists {count().sum() * 12 / 1e6:.0f} MB, {lists * 1e3:.0f} ms"
        )
    for n in (3_500,) if options.quick else (3_500, 100_000):
        edges, affinity, rows = graph(n, rng)
        once = functools.partial(
            scan_affinities, edges, affinity, n=rows, thresholds=KERNELS, min_sizes=SIZES
        )
        if not np.array_equal(once(), each_pair(edges, affinity, rows)):
            raise SystemExit(f"pieces differ: {n} voxels")
        runs = {"per pair": functools.partial(each_pair, edges, affinity, rows), "once": once}
        took = medians(runs, repeats if n < 10_000 else 1)
        print(
            f"graph, {rows} voxels, {edges.shape[1]} edges: once {took['once'] * 1e3:.2f} ms, "
            f"per pair {took['per pair'] * 1e3:.2f} ms ({took['per pair'] / took['once']:.1f}x)"
        )


if __name__ == "__main__":
    main()
