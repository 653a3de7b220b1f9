"""Clusterers against their peers: equal labels first, then medians of times in one process.

Run ``python benchmarks/bench_clustering.py [--quick] [--clock cpu]``. Set OMP_NUM_THREADS=1 and
NUMBA_NUM_THREADS=1 to compare one thread with one; on a busy machine the processor's time says more than that
of the wall. Peers: the loop of the 2020 code in NumPy, SPINE's SPICEClusterer and fast_hdbscan where they are
installed, scikit-learn's DBSCAN and HDBSCAN. The HDBSCANs solve another problem on the same points: only
their time is compared.
"""

import argparse
import ctypes
import functools
import importlib.util
import math
import os
import statistics
import sys
import time
import types
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import torch
from sklearn.cluster import DBSCAN, HDBSCAN

from sparseclust.clustering import (
    AffinityGraphClusterer,
    cluster_embeddings,
    connected_components,
    dbscan_voxels,
    neighbour_edges,
)

Row = tuple[str, str, float, float]
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
clock = time.perf_counter


def numpy_loop(x: Any, margins: Any, seediness: Any, s0: float, p0: float) -> Any:
    """Evaluate every kernel on every point, as the 2020 code does, then take the argmax over their stack."""
    free = seediness.copy()
    kernels = []
    while free.max() >= s0:
        i = np.argmax(free)
        kernels.append(np.exp(-np.sum((x - x[i]) ** 2, axis=1) / (2 * margins[i] ** 2)))
        free[kernels[-1] > p0] = -np.inf
    return np.where(free == -np.inf, np.argmax(np.stack(kernels), axis=0), -1)


def event(n: int, k: int, rng: np.random.Generator) -> tuple[Any, Any, Any]:
    """``n`` embeddings around ``k`` centres in a box, at one density whatever ``n / k``."""
    centres = rng.uniform(0, (k / 27) ** (1 / 3), (k, 3))
    owner = rng.integers(0, k, n)
    sigma = 0.05 * rng.uniform(0.5, 1.5, k)
    step = rng.normal(size=(n, 3)) * 0.6 * sigma[owner, None]
    seediness = np.exp(-np.sum(step**2, axis=1) / (2 * sigma[owner] ** 2))
    return centres[owner] + step, sigma[owner] * rng.uniform(0.9, 1.1, n), seediness


def tracks(n: int, rng: np.random.Generator) -> Any:
    """About ``n`` distinct voxels of random walks."""
    steps = rng.integers(-1, 2, (n // 250 + 1, 300, 3))
    walks = np.cumsum(steps, axis=1) + rng.integers(0, 768, (len(steps), 1, 3))
    return np.unique(walks.reshape(-1, 3), axis=0)[:n]


def seconds(run: Callable[[], Any], repeats: int) -> float:
    """Median time."""
    times = []
    for _ in range(repeats):
        start = clock()
        run()
        times.append(clock() - start)
    return statistics.median(times)


def against_loop(n: int, k: int, rng: np.random.Generator, repeats: int) -> list[Row]:
    """Gaussian kernels against the loop; the argmax rule is the one that the loop follows."""
    x, margins, seediness = event(n, k, rng)
    options = {"seed_threshold": 0.5, "kernel_threshold": 0.5}
    ours = functools.partial(cluster_embeddings, x, margins, seediness, **options)
    loop = functools.partial(numpy_loop, x, margins, seediness, 0.5, 0.5)
    for rule in ("greedy", "argmax"):
        if not np.array_equal(ours(assignment=rule), ours(assignment=rule, backend="reference")):
            raise SystemExit(f"labels differ from the reference: {rule}, {n} points")
    if not np.array_equal(ours(assignment="argmax"), loop()):
        raise SystemExit(f"labels differ from the numpy loop: {n} points")
    peer = seconds(loop, 1 if n > 10_000 else repeats)
    name = f"{n} points, {ours().max() + 1} clusters found"
    sort = seconds(lambda: np.argsort(-seediness, kind="stable"), repeats)
    return [
        (f"argmax, {name}", "numpy loop", seconds(lambda: ours(assignment="argmax"), repeats), peer),
        (f"greedy, {name}", "numpy loop", seconds(ours, repeats), peer),
        (f"greedy, {name}", "argsort", seconds(ours, repeats), sort),
    ]


def spine_clusterer(assign_all: bool) -> Callable[[Any, Any, Any], Any]:
    """SPINE's clusterer on arrays; the backend of sparse convolutions, never called, is a stand-in."""
    os.environ["SPINE_SPARSE_BACKEND"] = "unused"
    backend = types.ModuleType("spine.model.sparse.backends.unused")
    backend.module = lambda name: torch.nn.Module
    sys.modules[backend.__name__] = backend
    from spine.data import TensorBatch
    from spine.model.spice.cluster import SPICEClusterer

    clusterer = SPICEClusterer([0], seed_threshold=0.5, min_size=1, assign_all=assign_all)

    def run(*arrays: Any) -> Any:
        n = len(arrays[0])
        columns = [torch.from_numpy(a.reshape(n, -1)) for a in (*arrays, np.zeros(n))]
        clusters, _ = clusterer(*(TensorBatch(c, torch.tensor([n])) for c in columns))
        labels = np.full(n, -1)
        for k, rows in enumerate(clusters.index_list):
            labels[rows] = k
        return labels

    return run


def against_spine(n: int, k: int, rng: np.random.Generator, repeats: int) -> list[Row]:
    """Greedy clusters against SPINE's, which follow the same rules."""
    arrays = event(n, k, rng)
    rows = []
    for leftover in ("noise", "nearest"):
        ours = functools.partial(cluster_embeddings, *arrays, seed_threshold=0.5, leftover=leftover)
        theirs = functools.partial(spine_clusterer(assign_all=leftover == "nearest"), *arrays)
        if not np.array_equal(ours(), theirs()):
            raise SystemExit(f"labels differ from SPINE's: {leftover}, {n} points")
        name = f"greedy, {leftover}, {n} points, {ours().max() + 1} clusters"
        rows.append((name, "SPINE", seconds(ours, repeats), seconds(theirs, 1)))
    return rows


def worst_cases(n: int, rng: np.random.Generator, repeats: int) -> list[Row]:
    """Shapes that defeat a grid, against one stable argsort."""
    x, margins, seediness = event(n, max(n // 100, 1), rng)
    cases = {
        "all in one ball": (x, np.full(n, 1e3), seediness, 0.5),
        "every point a cluster": (x, np.full(n, 1e-9), seediness, 0.0),
        "margins over 4 decades": (x, 10 ** rng.uniform(-4, 0, n), seediness, 0.0),
        "dimension 8": (rng.normal(size=(n, 8)), np.full(n, 0.5), seediness, 0.5),
        "dimension 16, 1000 clusters": (*event_in(16, n, rng), seediness, 0.5),
        "all equal, zero margins": (np.zeros((n, 3)), np.zeros(n), seediness, 0.0),
        "small margins, s0 = 0": (x, margins * 0.2, seediness, 0.0),
    }
    sort = seconds(lambda: np.argsort(-seediness, kind="stable"), repeats)
    return [
        (
            f"{name}, {n} points",
            "argsort",
            seconds(lambda a=a, s0=s0: cluster_embeddings(*a, seed_threshold=s0), 1),
            sort,
        )
        for name, (*a, s0) in cases.items()
    ]


def event_in(d: int, n: int, rng: np.random.Generator) -> tuple[Any, Any]:
    """Embeddings around 1000 centres in ``d`` dimensions, and their margins."""
    centres = rng.random((1000, d))
    return centres[rng.integers(0, 1000, n)] + rng.normal(size=(n, d)) * 0.02, np.full(n, 0.1)


def narrow_leftovers(n: int, rng: np.random.Generator) -> list[Row]:
    """Points that no seed covers, around kernels of hardly any width."""
    x, seediness = rng.random((n, 3)), rng.random(n)
    return [
        (
            f"nearest leftovers, margins {margin:g}, {n} points",
            "-",
            seconds(
                lambda m=margin: cluster_embeddings(
                    x, np.full(n, m), seediness, seed_threshold=0.5, leftover="nearest"
                ),
                1,
            ),
            float("nan"),
        )
        for margin in (0.0, 1e-100, 1e-3)
    ]


def against_hdbscan(n: int, k: int, rng: np.random.Generator) -> list[Row]:
    """Density clustering of the same embeddings; it has no seeds and other labels."""
    x, margins, seediness = event(n, k, rng)
    ours = seconds(lambda: cluster_embeddings(x, margins, seediness, seed_threshold=0.5), 3)
    name = f"greedy, {n} points, {k} centres"
    peers = {"HDBSCAN": lambda: HDBSCAN(min_cluster_size=10, copy=True).fit_predict(x)}
    if importlib.util.find_spec("fast_hdbscan"):
        import fast_hdbscan

        peers["fast_hdbscan"] = lambda: fast_hdbscan.HDBSCAN(min_cluster_size=10).fit_predict(x)
        peers["fast_hdbscan"]()
    return [(name, peer, ours, seconds(run, 1)) for peer, run in peers.items()]


def on_tensors(events: int, device: str, rng: np.random.Generator, repeats: int) -> list[Row]:
    """Backend torch on a batch of usual events of three classes, against the compiled loops on the host."""
    parts = [event(1_170, 9, rng) for _ in range(3 * events)]
    arrays = [np.concatenate(column) for column in zip(*parts)]
    group = np.repeat(np.arange(len(parts)), [len(part[0]) for part in parts])
    tensors = [torch.from_numpy(a).to(device) for a in (*arrays, group)]

    def ours() -> Any:
        *rows, ids = tensors
        return cluster_embeddings(*rows, group=ids, seed_threshold=0.5, backend="torch").cpu().numpy()

    host = functools.partial(cluster_embeddings, *arrays, group=group, seed_threshold=0.5)
    if not np.array_equal(ours(), host()):
        raise SystemExit(f"labels differ between torch on {device} and numba")
    on_host = seconds(host, repeats)
    threads, numba.config.NUMBA_NUM_THREADS = numba.config.NUMBA_NUM_THREADS, 1
    one = seconds(host, repeats)
    numba.config.NUMBA_NUM_THREADS = threads
    return [
        (f"torch on {device}, {events} events", "numba", seconds(ours, repeats), on_host),
        (f"{len(host())} points in {events} events, {threads} threads", "one thread", on_host, one),
    ]


def peak_bytes(run: Callable[[], Any]) -> float:
    """Most resident memory during a call beyond that before it (Linux)."""

    def resident(field: str) -> int:
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) * 1024 for line in status if line.startswith(field))

    ctypes.CDLL(None).malloc_trim(0)  # what earlier calls have freed must not hide what this one takes
    with open("/proc/self/clear_refs", "w") as reset:
        reset.write("5")
    before = resident("VmRSS")
    run()
    return resident("VmHWM") - before


def growth(sizes: tuple[int, ...], rng: np.random.Generator, repeats: int) -> None:
    """Time over size at constant density, its exponent, and memory at the largest size.

    Rows come in no order, so any algorithm moves each of them to its neighbours at least once: "gather" is
    that alone, a copy of the embeddings in another order. How it grows is a matter of the machine's caches.
    """
    kinds = {"greedy": {}, "argmax": {"assignment": "argmax"}, "nearest": {"leftover": "nearest"}}
    times: dict[str, list[float]] = {name: [] for name in (*kinds, "argsort", "gather")}
    for n in sizes:
        x, margins, seediness = event(n, n // 100, rng)
        runs = {
            name: functools.partial(cluster_embeddings, x, margins, seediness, seed_threshold=0.5, **options)
            for name, options in kinds.items()
        }
        runs["argsort"] = functools.partial(np.argsort, -seediness, kind="stable")
        runs["gather"] = functools.partial(np.take, x, rng.permutation(n), axis=0)
        for name, run in runs.items():
            times[name].append(seconds(run, repeats))
    for name, found in times.items():
        exponent = math.log(found[-1] / found[0]) / math.log(sizes[-1] / sizes[0])
        cells = "  ".join(f"{n}: {t * 1e3:.2f} ms" for n, t in zip(sizes, found))
        print(f"growth, {name:8} {cells}  as n^{exponent:.3f}")
    if sys.platform == "linux":
        for name in kinds:
            print(f"memory, {name:8} {sizes[-1]} points: {peak_bytes(runs[name]) / sizes[-1]:.0f} bytes each")


def against_dbscan(n: int, rng: np.random.Generator, repeats: int) -> list[Row]:
    """Voxel DBSCAN against scikit-learn's."""
    coords = tracks(n, rng)
    rows = []
    for min_samples in (1, 5):
        peer = DBSCAN(eps=1.999, min_samples=min_samples)
        if not np.array_equal(dbscan_voxels(coords, min_samples=min_samples), peer.fit_predict(coords)):
            raise SystemExit(f"labels differ from scikit-learn: {n} voxels, min_samples {min_samples}")
        ours = seconds(functools.partial(dbscan_voxels, coords, min_samples=min_samples), repeats)
        theirs = seconds(functools.partial(peer.fit_predict, coords), 1 if n > 10_000 else repeats)
        rows.append(
            (f"dbscan, {len(coords)} voxels, min_samples {min_samples}", "scikit-learn", ours, theirs)
        )
    return rows


def own_times(n: int, rng: np.random.Generator, repeats: int) -> list[Row]:
    """Time what has no peer of its own."""
    coords = tracks(n, rng)
    edges = neighbour_edges(coords)
    affinity = rng.random(edges.shape[1]) ** 0.2
    graph = functools.partial(AffinityGraphClusterer().fit_predict, edges, affinity, n=len(coords))
    shuffled = rng.permutation(coords)
    runs = {
        "neighbour_edges": lambda: neighbour_edges(coords),
        "neighbour_edges, rows shuffled": lambda: neighbour_edges(shuffled),
        "neighbour_edges, k = 6": lambda: neighbour_edges(coords, k=6),
        "connected_components": lambda: connected_components(coords),
        "affinity graph": graph,
    }
    size = f"{len(coords)} voxels, {edges.shape[1]} edges"
    return [(f"{name}, {size}", "-", seconds(run, repeats), float("nan")) for name, run in runs.items()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes only, a few seconds")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", help="of torch")
    parser.add_argument(
        "--clock", choices=CLOCKS, default="wall", help="time of the wall or of the processor"
    )
    options = parser.parse_args()
    global clock
    clock = CLOCKS[options.clock]
    quick = options.quick
    rng = np.random.default_rng(7)
    repeats = 3 if quick else 9
    for peer in ("fast_hdbscan", "spine"):
        if importlib.util.find_spec(peer) is None:
            print(f"{peer}: not installed")
    rows = against_loop(3_500, 27, rng, repeats)
    rows += [] if quick else against_loop(100_000, 1_000, rng, repeats)
    if importlib.util.find_spec("spine"):
        rows += against_spine(3_500, 27, rng, repeats)
        rows += [] if quick else against_spine(20_000, 200, rng, repeats)
    rows += on_tensors(4 if quick else 64, options.device, rng, 3)
    rows += against_hdbscan(3_500 if quick else 20_000, 27 if quick else 200, rng)
    rows += worst_cases(2_000 if quick else 100_000, rng, repeats)
    rows += narrow_leftovers(2_000 if quick else 100_000, rng)
    rows += against_dbscan(3_500, rng, repeats)
    rows += [] if quick else against_dbscan(100_000, rng, repeats)
    rows += own_times(10_000 if quick else 1_000_000, rng, 3)
    print(f"{'case':70} {'peer':>12} {'ours ms':>10} {'peer ms':>10} {'ratio':>8}")
    for case, peer, ours, theirs in rows:
        print(f"{case:70} {peer:>12} {ours * 1e3:10.2f} {theirs * 1e3:10.2f} {theirs / ours:8.2f}")
    growth((1_000, 10_000) if quick else (10_000, 100_000, 1_000_000), rng, repeats)


if __name__ == "__main__":
    main()
