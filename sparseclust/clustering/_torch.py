"""Tensors to arrays and back, and the Gaussian-kernel clusterer on tensors of any device.

The only file of this subpackage that imports torch.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sparseclust.clustering import _validate as check
from sparseclust.clustering._validate import FloatArray

# Most table entries alive at once: a few temporaries of 8 bytes each.
_ENTRIES = 2**22
_WINDOW = 64
_ROUNDS = 8
_INTEGERS = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)


def to_numpy(tensor: Tensor) -> npt.NDArray[Any]:
    """Values of a tensor, off the graph and on the host; half precision becomes float32, exactly."""
    array: npt.NDArray[Any] = _single(tensor).detach().cpu().numpy()
    return array


def from_numpy(array: npt.NDArray[Any], device: torch.device) -> Tensor:
    """Tensor of the same values on a device."""
    return torch.from_numpy(array).to(device)


def cluster_tensors(
    embeddings: Any,
    margins: Any,
    seediness: Any,
    group: Any,
    *,
    device: torch.device,
    seed_threshold: float,
    kernel_threshold: float,
    min_size: int,
    argmax: bool,
    nearest: bool,
) -> Tensor:
    """Cluster without leaving the device; the options are checked, the arrays are not."""
    x, sigma, score, ids = _checked(embeddings, margins, seediness, group, device)
    n_groups = int(ids.max()) + 1 if len(ids) else 0
    thresholds = np.full(n_groups, seed_threshold), np.full(n_groups, kernel_threshold)
    return _clustered(x, sigma, score, ids, thresholds, (min_size, argmax, nearest))[0]


class Fitted(NamedTuple):
    """Labels (n,), the row of each label's seed (k,), and the checked points with groups counted from 0."""

    labels: Tensor
    seeds: Tensor
    x: Tensor
    sigma: Tensor
    score: Tensor
    group: Tensor


def fit_tensors(
    embeddings: Any,
    margins: Any,
    seediness: Any,
    semantic: Any,
    event: Any,
    *,
    device: torch.device,
    thresholds: Callable[[npt.NDArray[Any] | None], tuple[FloatArray, FloatArray]],
    rules: tuple[int, bool, bool],
) -> Fitted:
    """Cluster each class of each event; ``thresholds`` gives ``s0`` and ``p0`` of the classes that occur."""
    x, sigma, score, _ = _checked(embeddings, margins, seediness, None, device)
    kind, classes = _distinct("semantic", semantic, len(x), device)
    in_event, _ = _distinct("event", event, len(x), device)
    pairs, group = torch.unique(in_event * max(len(classes), 1) + kind, return_inverse=True)
    kind_of_group = (pairs % max(len(classes), 1)).cpu().numpy()
    s0, p0 = thresholds(None if semantic is None else classes.cpu().numpy())
    labels, seeds = _clustered(x, sigma, score, group, (s0[kind_of_group], p0[kind_of_group]), rules)
    return Fitted(labels, seeds, x, sigma, score, group)


def _clustered(
    x: Tensor,
    sigma: Tensor,
    score: Tensor,
    ids: Tensor,
    thresholds: tuple[FloatArray, FloatArray],
    rules: tuple[int, bool, bool],
) -> tuple[Tensor, Tensor]:
    """Sort and cluster checked tensors with thresholds ``s0`` and ``p0`` per group."""
    order = torch.argsort(-score, stable=True)
    order = order[torch.argsort(ids[order], stable=True)]
    s0, p0 = thresholds
    n_groups = len(s0)
    eligible = score >= torch.from_numpy(s0).to(x.device, score.dtype)[ids]
    exponents = torch.tensor([-2.0 * math.log(p) for p in p0], dtype=torch.float64, device=x.device)
    return cluster_groups(
        x,
        sigma * sigma,
        order,
        _splits(torch.bincount(ids, minlength=n_groups)),
        torch.bincount(ids, weights=eligible.double(), minlength=n_groups).long(),
        exponents,
        *rules,
    )


def _distinct(name: str, ids: Any, n: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Ids (n,) as indices into the sorted distinct ids, and those; as ``dense_groups`` of the arrays."""
    if ids is None:
        return torch.zeros(n, dtype=torch.int64, device=device), torch.zeros(min(n, 1), dtype=torch.int64)
    ids = torch.as_tensor(ids, device=device)
    if ids.shape != (n,) or ids.dtype not in _INTEGERS:
        index, distinct = check.dense_groups(to_numpy(ids), n, name=name)
        return from_numpy(index, device), torch.from_numpy(distinct)
    distinct_ids, inverse = torch.unique(ids, return_inverse=True)
    return inverse, distinct_ids


def cluster_arrays(*arguments: Any) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Call :func:`cluster_groups` with arrays."""
    tensors: list[Any] = [torch.from_numpy(a) if isinstance(a, np.ndarray) else a for a in arguments]
    labels, seeds = cluster_groups(*tensors)
    return labels.numpy(), seeds.numpy()


def cluster_groups(
    x: Tensor,
    variance: Tensor,
    order: Tensor,
    splits: Tensor,
    candidates: Tensor,
    exponents: Tensor,
    min_size: int,
    argmax: bool,
    nearest: bool,
) -> tuple[Tensor, Tensor]:
    """Cluster all groups at once; the contract of the function of this name in ``_reference``.

    Notes
    -----
    A candidate *claims* the points at which its kernel exceeds the threshold; it is *higher* than another one
    of its group if it comes first in ``order``. Taken one after the other, a candidate becomes a seed exactly
    if no higher seed claims it. Here all candidates are undecided at first, and in each round

    1. those that no higher undecided candidate claims become seeds,
    2. those that a higher seed claims are covered.

    Neither are undecided any more. The seeds are the same, by induction over ``order``: assume it for all
    candidates higher than ``j``. If one of these is a seed and claims ``j``, step 1 passes ``j`` over as long
    as that one is undecided, and then step 2 covers ``j``. If none is, those that claim ``j`` are all covered
    in some round, nothing ever covers ``j``, and step 1 makes it a seed. Every round makes progress: the
    highest undecided candidate of each group becomes a seed. A point then goes to its highest claiming seed
    (greedy), or to its largest kernel, so the round in which a seed was found plays no part.

    Step 1 is taken for the first ``_WINDOW`` undecided candidates of each group at a time, several rounds
    before their seeds meet all points: whatever is higher than a member of this window and undecided is in it
    as well. The host waits twice per window, for the number of its seeds and of the points in their reach.
    Work: in each window, the points not yet taken from above times the most new seeds of any group, in
    float64; memory: about 150 MB of temporaries beside a few words per point. Distances add their terms in
    axis order, one operation at a time, so that they round as everywhere else.

    A fused kernel (Triton) would not pay. For 64 usual events (225 000 voxels, 4 000 clusters, 5 windows)
    ``benchmarks/bench_device.py`` counts 893 operators that move 5.1 GB: 1.7 ms at 3 TB/s, while launching
    them takes 4.5 ms at 5 us each. It would save those bytes and a quarter of the launches, beside a forward
    pass that moves more than 10 GB; and to give equal labels it would have to do without fused multiply-add.
    """
    n, n_groups = len(x), len(exponents)
    group = torch.repeat_interleave(torch.arange(n_groups, device=x.device), splits.diff(), output_size=n)
    rank = torch.arange(n, device=x.device) - splits[group]
    points = _Points(x[order], variance[order], group, splits)
    limit = points.divisor * exponents[group]
    winner, is_seed = _find_seeds(points, limit, rank < candidates[group])
    if argmax:
        covered = (winner < n).nonzero()[:, 0]
        winner = _largest_kernel(points, is_seed, covered)
    index = torch.arange(n, device=x.device)
    winner = torch.where(is_seed, index, winner)
    size = torch.bincount(winner, minlength=n + 1)[:n]
    kept = is_seed & (size >= min_size)
    winner = torch.where(_padded(kept, False)[winner], winner, n)
    if nearest:
        left = (winner == n).nonzero()[:, 0]
        winner = torch.minimum(winner, _largest_kernel(points, kept, left))
    number = _padded(torch.cumsum(kept, 0) - 1, -1)
    labels = torch.empty_like(winner)
    labels[order] = number[winner]
    return labels, order[kept]


class _Points(NamedTuple):
    """Points sorted by group and falling seediness; a place of ``n`` in a table means none."""

    x: Tensor
    variance: Tensor
    group: Tensor
    splits: Tensor

    @property
    def divisor(self) -> Tensor:
        """What a squared distance is divided by at the end: 1 where each axis has its own width."""
        return self.variance[:, 0] if self.variance.shape[1] == 1 else torch.ones_like(self.x[:, 0])

    def squared(self, at: Tensor, of: Tensor) -> Tensor:
        """Squared distance of the points ``at`` from the centres ``of``, which broadcast."""
        total = torch.zeros((), dtype=torch.float64, device=self.x.device)
        for k in range(self.x.shape[1]):
            step = self.x[:, k][at] - self.x[:, k][of]
            term = step * step
            total = total + (term if self.variance.shape[1] == 1 else term / self.variance[:, k][of])
        return total

    def members(self, mask: Tensor, first: int, width: int) -> Tensor:
        """Places where ``mask`` holds, by group: the members ``first`` to ``first + width - 1`` of each."""
        n, n_groups = len(mask), len(self.splits) - 1
        before = _padded(torch.cumsum(mask, 0), 0).roll(1)
        nth = before[:n] - before[self.splits][self.group] - first
        column = torch.where(mask & (nth >= 0) & (nth < width), nth, width)
        table = torch.full((n_groups, width + 1), n, device=mask.device)
        table[self.group, column] = torch.arange(n, device=mask.device)
        return table[:, :width]


def _blocks(places: Tensor, width: int) -> Iterator[Tensor]:
    """Cut places into blocks small enough for tables of so many columns."""
    yield from torch.split(places, max(1, _ENTRIES // width))


def _find_seeds(points: _Points, limit: Tensor, undecided: Tensor) -> tuple[Tensor, Tensor]:
    """Highest claiming seed of each point, ``n`` where there is none, and which points are seeds."""
    n, n_groups = len(limit), len(points.splits) - 1
    index = torch.arange(n, device=limit.device)
    width = max(1, min(_WINDOW, math.isqrt(_ENTRIES // max(n_groups, 1))))
    winner = torch.full_like(index, n)
    is_seed = torch.zeros_like(undecided)
    while True:
        found = _padded(torch.zeros_like(is_seed), False)
        window = points.members(undecided, 0, width)
        found[torch.where(_seeds_of_window(points, limit, window), window, n)] = True
        most = int(_per_group(found[:n], points).max()) if n else 0
        if most == 0:
            return winner, is_seed
        seeds = points.members(found[:n], 0, most)
        # A seed takes nothing from those above it.
        within_reach = winner > seeds[:, 0][points.group]
        for at in _blocks(within_reach.nonzero()[:, 0], most):
            of = seeds[points.group[at]]
            real = of.clamp(max=n - 1)
            claimed = (of < n) & (points.squared(at[:, None], real) < limit[real])
            winner[at] = torch.minimum(winner[at], torch.where(claimed, of, n).amin(1))
        is_seed |= found[:n]
        undecided = undecided & ~is_seed & (winner >= index)


def _seeds_of_window(points: _Points, limit: Tensor, window: Tensor) -> Tensor:
    """Which members of each group's window become seeds in the next rounds."""
    n, width = len(limit), window.shape[1]
    place = window.clamp(max=max(n - 1, 0))
    claims = points.squared(place[:, None, :], place[:, :, None]) < limit[place][:, :, None]
    claims &= torch.ones(width, width, dtype=torch.bool, device=window.device).triu(1)
    # Zeros and ones as numbers: products count exactly how many of a set claim each member, in one operator.
    number = claims.float()
    undecided = (window < n).float()[:, None]
    seeds = torch.zeros_like(undecided)
    for _ in range(_ROUNDS):
        new = undecided * (undecided @ number == 0)
        seeds += new
        undecided = (undecided - new) * (new @ number == 0)
    return seeds[:, 0] > 0


def _largest_kernel(points: _Points, seeds: Tensor, places: Tensor) -> Tensor:
    """First of the largest kernels at each of some places; ``n`` where none is above zero, and elsewhere."""
    n = len(seeds)
    best = torch.full((n,), math.inf, dtype=torch.float64, device=seeds.device)
    winner = torch.full((n,), n, device=seeds.device)
    most = int(_per_group(seeds, points).max()) if n else 0
    for first in range(0, most, _WINDOW):
        table = points.members(seeds, first, min(_WINDOW, most - first))
        reached = places[table[:, 0][points.group[places]] < n]
        for at in _blocks(reached, table.shape[1]):
            of = table[points.group[at]]
            real = of.clamp(max=n - 1)
            distance = points.squared(at[:, None], real) / points.divisor[real]
            distance = torch.where((of < n) & ~distance.isnan(), distance, math.inf)
            least = distance.amin(1)
            # The first of equal ones, which the index that torch's ``min`` returns need not be.
            column = (distance == least[:, None]).long().cumsum(1).eq(0).sum(1).clamp(max=table.shape[1] - 1)
            better = least < best[at]
            winner[at] = torch.where(better, of.gather(1, column[:, None])[:, 0], winner[at])
            best[at] = torch.where(better, least, best[at])
    return winner


def _checked(
    embeddings: Any, margins: Any, seediness: Any, group: Any, device: torch.device
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Float64 embeddings and margins, seediness, and groups counted from 0, on the device.

    Values are tested there, in one go. If something is wrong, the checks of the arrays say what.
    """
    values = (embeddings, margins, seediness)
    x, sigma, score = (_single(torch.as_tensor(v, device=device)).detach() for v in values)
    ids = torch.zeros(x.shape[:1], dtype=torch.int64, device=device) if group is None else group
    ids = torch.as_tensor(ids, device=device)
    fine = (
        x.ndim == 2
        and sigma.ndim in (1, 2)
        and score.ndim in (1, 2)
        and all(t.dtype.is_floating_point for t in (x, sigma, score))
    )
    fine = fine and bool(torch.isfinite(x).all() & (sigma >= 0).all() & ~torch.isnan(score).any())
    n, d = x.shape if fine else (0, 0)
    fine = fine and d > 0 and sigma.shape in {(n,), (n, 1), (n, d)} and score.shape in {(n,), (n, 1)}
    if not (fine and ids.shape == (n,) and ids.dtype in _INTEGERS):
        return _explained(x, sigma, score, ids)
    dense = torch.unique(ids, return_inverse=True)[1]
    width = sigma[:, None] if sigma.ndim == 1 else sigma
    return x.double(), width.double(), score.reshape(n), dense


def _explained(*tensors: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Take the way of arrays: it raises where they are wrong, and converts what is merely unusual."""
    x, sigma, score, ids = map(to_numpy, tensors)
    rows = check.embedding_rows(x)
    width = check.margin_rows(sigma, *rows.shape)
    arrays = rows, width, check.seediness_rows(score, len(rows)), check.dense_groups(ids, len(rows))[0]
    a, b, c, d = (from_numpy(array, tensors[0].device) for array in arrays)
    return a, b, c, d


def _per_group(mask: Tensor, points: _Points) -> Tensor:
    before = _padded(torch.cumsum(mask, 0), 0).roll(1)
    return before[points.splits].diff()


def _splits(counts: Tensor) -> Tensor:
    return torch.cat([counts.new_zeros(1), torch.cumsum(counts, 0)])


def _padded(values: Tensor, last: float) -> Tensor:
    """One entry more, for the place that means none."""
    return torch.cat([values, values.new_full((1,), last)])


def _single(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor
