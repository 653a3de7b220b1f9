"""The slow and obvious twin of every fast path. The definitions; never optimised."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from sparseclust.clustering._validate import FloatArray, IntArray


def kernel_distance(x: FloatArray, centre: FloatArray, variance: FloatArray) -> tuple[FloatArray, float]:
    """Numerator and divisor of ``|x - centre|^2 / sigma^2`` for each row of ``x``.

    With one variance the division is left to the caller; with one per axis each term has its own, and the
    divisor is 1. Terms are added in axis order, so every backend rounds alike.
    """
    squared = np.zeros(len(x))
    with np.errstate(all="ignore"):
        for k in range(x.shape[1]):
            step = x[:, k] - centre[k]
            squared += step * step if len(variance) == 1 else step * step / variance[k]
    return squared, float(variance[0]) if len(variance) == 1 else 1.0


def cluster_groups(
    x: FloatArray,
    variance: FloatArray,
    order: IntArray,
    splits: IntArray,
    candidates: IntArray,
    exponents: FloatArray,
    min_size: int,
    argmax: bool,
    nearest: bool,
) -> tuple[IntArray, IntArray]:
    """Cluster each group on its own.

    Parameters
    ----------
    x : (n, d) float64
    variance : (n, 1) or (n, d) float64
        Squared margins.
    order : (n,) int64
        Rows sorted by (group, falling seediness, index).
    splits : (g + 1,) int64
        Group ``g`` is ``order[splits[g]:splits[g + 1]]``.
    candidates : (g,) int64
        How many rows, the first of each group, reach the seed threshold.
    exponents : (g,) float64
        ``-2 ln p0`` of each group.
    min_size : int
    argmax, nearest : bool

    Returns
    -------
    labels : (n,) int64
    seeds : (k,) int64
        The row of each label's seed.
    """
    labels = np.full(len(x), -1, np.int64)
    seeds: list[int] = []
    for g in range(len(splits) - 1):
        rows = order[splits[g] : splits[g + 1]]
        winner, group_seeds = _cluster_one(
            x[rows], variance[rows], int(candidates[g]), float(exponents[g]), min_size, argmax, nearest
        )
        labels[rows] = np.where(winner >= 0, winner + len(seeds), -1)
        seeds.extend(int(rows[i]) for i in group_seeds)
    return labels, np.array(seeds, np.int64)


def _cluster_one(
    x: FloatArray,
    variance: FloatArray,
    candidates: int,
    exponent: float,
    min_size: int,
    argmax: bool,
    nearest: bool,
) -> tuple[IntArray, list[int]]:
    covered = np.zeros(len(x), bool)
    winner = np.full(len(x), -1, np.int64)
    seeds: list[int] = []
    for i in range(candidates):
        if covered[i]:
            continue
        squared, divisor = kernel_distance(x, x[i], variance[i])
        inside = squared < divisor * exponent
        inside[i] = True
        winner[inside & ~covered] = len(seeds)
        covered |= inside
        seeds.append(i)
    if argmax:
        winner[covered] = _largest_kernel(x, variance, seeds)[covered]
        winner[seeds] = np.arange(len(seeds))
    keep = [k for k in range(len(seeds)) if np.sum(winner == k) >= min_size]
    winner = np.array([keep.index(w) if w in keep else -1 for w in winner.tolist()], np.int64)
    seeds = [seeds[k] for k in keep]
    if nearest:
        winner[winner < 0] = _largest_kernel(x, variance, seeds)[winner < 0]
    return winner, seeds


def _largest_kernel(x: FloatArray, variance: FloatArray, seeds: list[int]) -> IntArray:
    """First of the largest kernels at each row; -1 where none is above zero."""
    table = np.full((len(x), len(seeds) + 1), np.inf)
    for k, i in enumerate(seeds):
        squared, divisor = kernel_distance(x, x[i], variance[i])
        with np.errstate(all="ignore"):
            table[:, k] = squared / np.float64(divisor)
    table[np.isnan(table)] = np.inf
    largest = np.argmin(table, axis=1)
    return np.where(np.isfinite(table.min(axis=1)), largest, -1)


def neighbour_edges(coords: npt.NDArray[Any], radius: float, group: IntArray) -> IntArray:
    """Pairs i < j of rows of one group at most ``radius`` apart, by comparing all pairs."""
    edges = [
        (i, j)
        for i in range(len(coords))
        for j in range(i + 1, len(coords))
        if group[i] == group[j] and np.sqrt(np.sum((coords[i] - coords[j]) ** 2)) <= radius
    ]
    return np.array(edges, np.int64).reshape(-1, 2).T


def nearest_edges(coords: npt.NDArray[Any], edges: IntArray, k: int) -> IntArray:
    """Edges to one of the k nearest neighbours of either end; ties go to the smaller row."""
    chosen: set[tuple[int, int]] = set()
    for i in range(len(coords)):
        neighbours = [a + b - i for a, b in edges.T.tolist() if i in (a, b)]
        neighbours.sort(key=lambda j: (np.sum((coords[i] - coords[j]) ** 2), j))
        chosen |= {(min(i, j), max(i, j)) for j in neighbours[:k]}
    return np.array(sorted(chosen), np.int64).reshape(-1, 2).T


def dbscan(n: int, edges: IntArray, min_samples: int) -> IntArray:
    """Grow a cluster from each core row in turn; a border row stays with the first that reaches it."""
    neighbours: list[list[int]] = [[i] for i in range(n)]
    for i, j in edges.T.tolist():
        neighbours[i].append(j)
        neighbours[j].append(i)
    labels = np.full(n, -1, np.int64)
    found = 0
    for i in range(n):
        if labels[i] >= 0 or len(neighbours[i]) < min_samples:
            continue
        stack = [i]
        while stack:
            at = stack.pop()
            if labels[at] < 0:
                labels[at] = found
                if len(neighbours[at]) >= min_samples:
                    stack.extend(neighbours[at])
        found += 1
    return labels


def affinity_pieces(
    n: int, edges: IntArray, affinity: FloatArray, threshold: npt.ArrayLike, min_size: npt.ArrayLike
) -> IntArray:
    """Take edges one by one, those of ``threshold`` first, the strongest first, and join what may be joined.

    Thresholds are one, or one per edge (m,); least sizes one, or one per row (n,): that of a piece's first.
    """
    piece = np.arange(n)
    strong = affinity >= np.broadcast_to(threshold, affinity.shape)
    least = np.broadcast_to(min_size, n)
    for e in sorted(range(len(affinity)), key=lambda e: (not strong[e], -affinity[e], e)):
        size = np.bincount(piece, minlength=n)
        a, b = sorted(piece[edges[:, e]].tolist())
        if strong[e] or size[a] < least[a] or size[b] < least[b]:
            piece[piece == b] = a
    return np.unique(piece, return_inverse=True)[1]


def contracted_pieces(n: int, edges: IntArray, weight: FloatArray) -> IntArray:
    """Join the two pieces with the heaviest sum of weights between them, while it is not negative."""
    piece = np.arange(n)
    while True:
        sums: dict[tuple[int, int], float] = {}
        for (a, b), w in zip(piece[edges].T.tolist(), weight):
            if a != b:
                sums[min(a, b), max(a, b)] = sums.get((min(a, b), max(a, b)), 0.0) + w
        heaviest = max(sums, key=lambda pair: sums[pair], default=None)
        if heaviest is None or sums[heaviest] < 0:
            return np.unique(piece, return_inverse=True)[1]
        piece[piece == heaviest[1]] = heaviest[0]


def _clusters(
    labels: IntArray, coords: npt.NDArray[Any], radius: float, group: IntArray
) -> tuple[dict[int, list[int]], set[tuple[int, int]]]:
    """Rows of each cluster, numbered by (group, label), and the pairs of clusters that touch, both ways."""
    ids = sorted({(int(g), int(c)) for g, c in zip(group, labels) if c != -1})
    number = {name: k for k, name in enumerate(ids)}
    cluster = [number.get((int(g), int(c)), -1) for g, c in zip(group, labels)]
    members: dict[int, list[int]] = {k: [] for k in range(len(ids))}
    for row, k in enumerate(cluster):
        if k >= 0:
            members[k].append(row)
    touch = {(cluster[i], cluster[j]) for i, j in neighbour_edges(coords, radius, group).T.tolist()}
    return members, {(a, b) for p in touch for a, b in (p, p[::-1]) if a != b and min(p) >= 0}


def _exponent(a: list[FloatArray], b: list[FloatArray], variance: FloatArray) -> float:
    """``|mu_a - mu_b|^2 / variance``; each argument is the sums of embeddings and margins, and the size."""
    total = 0.0
    with np.errstate(all="ignore"):
        for k, step in enumerate(a[0] / a[2] - b[0] / b[2]):
            term = step * step / variance[k if len(variance) > 1 else 0]
            total += 0.0 if step == 0 else float("inf") if np.isnan(term) else float(term)
    return total


def _sums(members: dict[int, list[int]], x: FloatArray, sigma: FloatArray) -> dict[int, list[FloatArray]]:
    sums = {k: [np.zeros(x.shape[1]), np.zeros(sigma.shape[1]), np.zeros(1)] for k in members}
    with np.errstate(all="ignore"):
        for k, rows in members.items():
            for row in rows:
                sums[k] = [s + v for s, v in zip(sums[k], (x[row], sigma[row], 1.0))]
    return sums


def _variance(sums: list[FloatArray]) -> FloatArray:
    with np.errstate(all="ignore"):
        variance: FloatArray = (sums[1] / sums[2]) ** 2
    return variance


def _by_appearance(n: int, members: dict[int, list[int]], target: dict[int, int]) -> IntArray:
    labels = np.full(n, -1, np.int64)
    for k, rows in members.items():
        labels[rows] = target[k]
    order = list(dict.fromkeys(c for c in labels.tolist() if c >= 0))
    return np.array([order.index(c) if c >= 0 else -1 for c in labels.tolist()], np.int64)


def absorb_fragments(
    labels: IntArray,
    coords: npt.NDArray[Any],
    x: FloatArray,
    sigma: FloatArray,
    min_size: int,
    radius: float,
    group: IntArray,
) -> IntArray:
    """Let fragments choose, round by round, among the clusters that their neighbours are or have joined."""
    members, touch = _clusters(labels, coords, radius, group)
    sums = _sums(members, x, sigma)
    target = {k: k for k, rows in members.items() if len(rows) >= min_size}
    while True:
        joins = {}
        for k in members.keys() - target.keys():
            hosts = sorted({target[b] for a, b in touch if a == k and b in target})
            if hosts:
                joins[k] = min(hosts, key=lambda h: _exponent(sums[k], sums[h], _variance(sums[h])))
        if not joins:
            return _by_appearance(len(labels), members, {k: k for k in members} | target)
        target |= joins


def merge_touching(
    labels: IntArray,
    coords: npt.NDArray[Any],
    x: FloatArray,
    sigma: FloatArray,
    limit: float,
    radius: float,
    group: IntArray,
) -> IntArray:
    """Join the pairs that are best for both, round by round."""
    members, touch = _clusters(labels, coords, radius, group)
    sums = _sums(members, x, sigma)
    target = {k: k for k in members}
    while True:
        overlaps = {
            (z, a, b)
            for a, b in touch
            if a < b and (z := _exponent(sums[a], sums[b], _variance(sums[a]) + _variance(sums[b]))) <= limit
        }
        if not overlaps:
            return _by_appearance(len(labels), members, target)
        best = {k: min(o for o in overlaps if k in o[1:]) for _, *pair in overlaps for k in pair}
        for o in sorted(overlaps):
            if best[o[1]] == best[o[2]] == o:
                _, a, b = o
                sums[a] = [s + t for s, t in zip(sums[a], sums[b])]
                target = {k: a if t == b else t for k, t in target.items()}
                touch = {(a if i == b else i, a if j == b else j) for i, j in touch}
                touch = {(i, j) for i, j in touch if i != j}


def describe_pair(
    places: FloatArray,
    energy: FloatArray,
    kind: IntArray,
    sides: tuple[IntArray, IntArray],
    edges: IntArray,
    affinity: FloatArray,
    *,
    radii: Sequence[float],
    near: Sequence[float],
    n_kinds: int,
) -> list[float]:
    """Describe two fragments where they meet.

    ``sides`` are the rows of both, the larger one first; ``edges`` (2, m) those between them; ``places``,
    ``energy`` and ``kind`` those of all voxels of their event.
    """
    row: list[float] = []
    for rows in sides:
        row += [math.log1p(len(rows)), math.log1p(energy[rows].sum())]
        row += [math.log1p(math.sqrt(np.mean(energy[rows] ** 2)))]
        row += [float(np.mean(kind[rows] == k)) for k in range(n_kinds)]
    middles = places[edges].mean(axis=0)
    mean = np.average(middles, axis=0, weights=affinity + 1e-9)
    contact = middles[np.argmin(np.square(middles - mean).sum(axis=1))]
    p, inside = np.sort(affinity)[::-1], np.clip(affinity, 1e-4, 1 - 1e-4)
    odds = np.log(inside / (1 - inside))
    lengths = np.linalg.norm(places[edges[0]] - places[edges[1]], axis=1)
    row += [p[0], p[min(1, len(p) - 1)], p[min(3, len(p) - 1)], p.mean()]
    row += [math.log1p(len(p)), math.log1p((p > 0.5).sum()), math.log1p((p > 0.9).sum())]
    row += [math.log1p(lengths.min()), math.log1p(lengths.max())]
    row += [math.log1p(np.linalg.norm(middles - contact, axis=1).max())]
    row += [np.sign(odds.sum()) * math.log1p(abs(odds.sum())), odds.mean(), odds.min(), odds.max()]
    away = np.linalg.norm(places - contact, axis=1)
    others = np.setdiff1d(np.arange(len(places)), np.concatenate(sides))
    meeting = np.square(middles - mean).sum(axis=1).argmin()
    alike = np.isin(kind[others], kind[edges[:, meeting]])
    parties = (*sides, others[alike], others[~alike])
    seen = [
        [_describe_side(places, energy, contact, r[away[r] <= limit]) for limit in radii] for r in parties
    ]
    for party, inside_radii in enumerate(seen):
        for numbers, _, _ in inside_radii:
            row += numbers if party < 2 else numbers[:6]
    for (_, axis, way), (_, other_axis, other_way), *rest in zip(*seen):
        row += [way @ other_way, abs(axis @ other_axis)]
        row += [way @ other_axis * _sign(other_axis @ other_way), other_way @ axis * _sign(axis @ way)]
        for _, third_axis, third_way in rest:
            for side_axis, side_way in ((axis, way), (other_axis, other_way)):
                row += [abs(side_axis @ third_axis), side_way @ third_way, abs(side_way @ third_axis)]
    row += [math.log1p((away[others] <= r).sum()) for r in near]
    around = kind[others[away[others] <= near[-1]]]
    return row + [math.log1p((around == k).sum()) for k in range(n_kinds)]


def _sign(x: float) -> float:
    return 0.0 if abs(x) < 1e-9 else float(np.sign(x))


def _describe_side(
    places: FloatArray, energy: FloatArray, contact: FloatArray, rows: IntArray
) -> tuple[list[float], FloatArray, FloatArray]:
    """Numbers, main axis and direction of the centre; all zero where there is none."""
    zero = np.zeros(places.shape[1])
    if not len(rows):
        return [0.0] * 8, zero, zero
    steps = places[rows] - contact
    centre = steps.mean(axis=0)
    widths, directions = np.linalg.eigh(np.cov(steps.T, bias=True).reshape(len(zero), len(zero)))
    long, wide = max(widths[-1], 0.0), max(widths[-2], 0.0) if len(widths) > 1 else 0.0
    axis = directions[:, -1] if long - wide > 1e-9 else zero
    away = float(np.linalg.norm(centre))
    way = centre / away if away > 1e-9 else zero
    along, reach = steps @ axis, np.linalg.norm(steps, axis=1).max()
    numbers = [math.log1p(len(rows)), math.log1p(away), math.log1p(long**0.5), math.log1p(wide**0.5)]
    numbers += [abs(axis @ way), math.log1p(energy[rows].mean())]
    numbers += [math.log1p(energy[rows].sum() / max(reach, 1.0))]
    numbers += [min(along.max(), -along.min()) / max(along.max() - along.min(), 1e-3)]
    return numbers, axis, way
