"""Speed and memory of sparseclust.metrics, as ratios to other ways to the same numbers.

Equality is checked first: a ratio to a wrong number means nothing. Times are medians of CPU
time in one process, so a busy machine changes them little. Run: python benchmarks/bench_metrics.py [--quick]
"""

import argparse
import statistics
import time
import tracemalloc
from collections.abc import Callable
from functools import partial

import numpy as np
from sklearn import metrics as sklearn_metrics
from sklearn.metrics.cluster import contingency_matrix as sklearn_contingency

from sparseclust import metrics

SCORES = metrics.PartitionScores._fields


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small sizes, a few seconds")
    quick = parser.parse_args().quick
    rng = np.random.default_rng(0)
    check_equality(rng)
    compare_sets(rng, *(10**4, 100) if quick else (10**5, 1000))
    compare_bincount(rng, [10**4, 10**5] if quick else [10**4, 10**5, 10**6, 10**7])
    compare_ami(rng, *(10**4, 100) if quick else (10**5, 1000))
    score_many_events(rng, 10**5 if quick else 10**6, 10**4 if quick else 10**5)
    measure_memory(rng, 10**6 if quick else 10**7)


# ------------------------------------------------------------------------------- other ways to the numbers
def looped_numpy(true: np.ndarray, pred: np.ndarray) -> tuple[float, ...]:
    """Loop over all pairs of clusters and count the shared points by boolean masks, as the definitions say.

    The counts serve all scores, which is kinder than a loop for each score.
    """
    trues, preds = ([labels == k for k in np.unique(labels)] for labels in (true, pred))
    shared = np.array([[np.count_nonzero(t & p) for p in preds] for t in trues])
    a, b = np.array([np.count_nonzero(t) for t in trues]), np.array([np.count_nonzero(p) for p in preds])
    purity = np.mean([max(shared[:, j]) / b[j] for j in range(len(b))])
    efficiency = np.mean([max(shared[i]) / a[i] for i in range(len(a))])
    dice_true = np.mean([max(2 * shared[i] / (a[i] + b)) for i in range(len(a))])
    dice_pred = np.mean([max(2 * shared[:, j] / (a + b[j])) for j in range(len(b))])
    together, in_true, in_pred = (
        sum(choose_two(int(size)) for size in sizes) for sizes in (shared.flat, a, b)
    )
    chance = in_true * in_pred / choose_two(len(true))
    ari = (together - chance) / ((in_true + in_pred) / 2 - chance)
    return ari, purity, efficiency, min(dice_true, dice_pred), dice_true, dice_pred, len(a), len(b), len(true)


def choose_two(n: int) -> int:
    return n * (n - 1) // 2


def scikit_learn_and_numpy(true: np.ndarray, pred: np.ndarray) -> tuple[float, ...]:
    """Take the ARI and the contingency table of scikit-learn, and the rest from the table."""
    table = sklearn_contingency(true, pred)
    a, b = table.sum(axis=1, keepdims=True), table.sum(axis=0, keepdims=True)
    dice = 2 * table / (a + b)
    best = dice.max(axis=1).mean(), dice.max(axis=0).mean()
    purity, efficiency = (table / b).max(axis=0).mean(), (table / a).max(axis=1).mean()
    ari = sklearn_metrics.adjusted_rand_score(true, pred)
    return ari, purity, efficiency, min(best), *best, *table.shape, len(true)


# --------------------------------------------------------------------------------------------- measurements
def check_equality(rng: np.random.Generator) -> None:
    for n, k in ((2000, 3), (2000, 30), (500, 400)):
        for wrong in (0.0, 0.3, 1.0):
            true, pred = labels(rng, n, k, wrong)
            ours = metrics.score_partition(true, pred)
            for other in (looped_numpy, scikit_learn_and_numpy):
                np.testing.assert_allclose(
                    ours, other(true, pred), rtol=0, atol=1e-12, err_msg=other.__name__
                )
            ami = sklearn_metrics.adjusted_mutual_info_score(true, pred)
            np.testing.assert_allclose(
                metrics.adjusted_mutual_info_score(true, pred), ami, rtol=0, atol=1e-11
            )
    print("equality: all scores agree to 1e-12, AMI to 1e-11\n")


def compare_sets(rng: np.random.Generator, n: int, k: int) -> None:
    heading(f"the whole set at {n} points, {k} clusters: {', '.join(SCORES)}")
    for name, wrong in KINDS.items():
        pair = labels(rng, n, k, wrong)
        ours = seconds(metrics.score_partition, *pair)
        for other_name, other in (
            ("scikit-learn plus numpy", scikit_learn_and_numpy),
            ("looped numpy definition", looped_numpy),
        ):
            row(name, ours, other_name, seconds(other, *pair))


def compare_bincount(rng: np.random.Generator, sizes: list[int]) -> None:
    heading("one np.bincount(true * m + pred) pass, compact labels")
    for n in sizes:
        for k in (30, 1000):
            for name, wrong in KINDS.items():
                pair = labels(rng, n, k, wrong)
                ours, other = seconds(metrics.score_partition, *pair), seconds(bincount, *pair, k)
                row(f"{n} points, {k} clusters, {name}", ours, "bincount", other)


def bincount(true: np.ndarray, pred: np.ndarray, k: int) -> np.ndarray:
    return np.bincount(true * k + pred, minlength=k * k)


def compare_ami(rng: np.random.Generator, n: int, k: int) -> None:
    heading(f"AMI at {n} points, {k} x {k} clusters")
    weights = rng.exponential(size=k) ** 2
    uneven = rng.choice(k, n, p=weights / weights.sum())
    for name, true in (("even sizes", rng.integers(k, size=n)), ("uneven sizes", uneven)):
        pair = true, np.where(rng.random(n) < 0.2, rng.permutation(true), true)
        ours = seconds(metrics.adjusted_mutual_info_score, *pair)
        row(name, ours, "scikit-learn", seconds(sklearn_metrics.adjusted_mutual_info_score, *pair))


def score_many_events(rng: np.random.Generator, n: int, groups: int) -> None:
    heading(f"score_events: {n} points in {groups} groups")
    event = np.sort(rng.integers(groups, size=n))
    true, pred = labels(rng, n, 4, 0.2)
    ours = seconds(lambda: metrics.score_events(true, pred, event=event))
    part = event < groups // 100
    cuts = np.flatnonzero(np.diff(event[part])) + 1
    pieces = list(zip(np.split(true[part], cuts), np.split(pred[part], cuts)))
    one = seconds(lambda: [sklearn_metrics.adjusted_rand_score(*piece) for piece in pieces])
    row("all scores", ours, "scikit-learn's ARI alone in a loop, 1 % timed", 100 * one)


def measure_memory(rng: np.random.Generator, n: int) -> None:
    heading(f"peak memory beyond the inputs, {n} points (1 GB at 10^7 points are 100 bytes per point)")
    event = np.sort(rng.integers(n // 1000, size=n))
    for name, k, stretch in (
        ("30 labels", 30, 1),
        ("1000 labels", 1000, 1),
        ("1000 wide labels", 1000, 10**9),
    ):
        pair = tuple(side * stretch for side in labels(rng, n, k, 0.2))
        memory(f"score_partition, {name}", n, metrics.score_partition, *pair)
        memory(f"score_events, {name}", n, partial(metrics.score_events, event=event), *pair)
    memory("score_partition, n / 10 labels", n, metrics.score_partition, *labels(rng, n, n // 10, 0.2))
    alone, shuffled = np.arange(n), rng.permutation(n)
    memory("score_partition, n labels", n, metrics.score_partition, alone, shuffled)
    memory("score_events, n labels", n, partial(metrics.score_events, event=event), alone, shuffled)
    pair = alone * 10**9, shuffled * 10**9
    memory("score_events, n wide labels", n, partial(metrics.score_events, event=event), *pair)


def memory(name: str, n: int, work: Callable[..., object], *arguments: np.ndarray) -> None:
    tracemalloc.start()
    start = time.process_time()
    work(*arguments)
    used = time.process_time() - start
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    print(f"  {name:<42} {peak / 1e6:6.0f} MB {peak / n:5.0f} bytes per point {used:6.2f} s", flush=True)


# ------------------------------------------------------------------------------------------------ machinery
KINDS = {"20 % wrong": 0.2, "unrelated": 1.0}


def labels(rng: np.random.Generator, n: int, k: int, wrong: float) -> tuple[np.ndarray, np.ndarray]:
    true = rng.integers(k, size=n)
    return true, np.where(rng.random(n) < wrong, rng.integers(k, size=n), true)


def seconds(work: Callable[..., object], *arguments: object) -> float:
    """Median CPU time of one call; short calls are timed in bunches of 5 ms, long ones once."""
    start = time.process_time()
    work(*arguments)
    first = time.process_time() - start
    if first > 2:
        return first
    calls = max(1, int(5e-3 / max(first, 1e-6)))
    times = []
    for _ in range(15):
        start = time.process_time()
        for _ in range(calls):
            work(*arguments)
        times.append((time.process_time() - start) / calls)
    return statistics.median(times)


def heading(text: str) -> None:
    print(f"\n{text}", flush=True)


def row(name: str, ours: float, other_name: str, other: float) -> None:
    faster = f"{other / ours:.0f}x faster than" if other > ours else f"takes {ours / other:.1f}x as long as"
    print(f"  {name:<42} {ours * 1e3:9.3f} ms  {faster} {other_name} ({other * 1e3:.3f} ms)", flush=True)


if __name__ == "__main__":
    main()
