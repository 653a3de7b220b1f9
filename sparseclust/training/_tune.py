"""Search for the thresholds of the Gaussian-kernel clusterer."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from sparseclust.clustering import GaussianKernelClusterer
from sparseclust.metrics import score_events
from sparseclust.pipeline import PARTICLE_CLASSES, Prediction

Metric = Literal["sbd", "ari", "harmonic"]
FloatArray = npt.NDArray[np.float64]

_OUTPUTS = ("embeddings", "margins", "seediness")


@dataclasses.dataclass(frozen=True, eq=False)
class ThresholdScan:
    """Mean scores per class at every pair of thresholds.

    Attributes
    ----------
    classes : (c,) int64
        Semantic classes that occur; -1 alone where the events carry none.
    seed_grid, kernel_grid : (s,), (k,) float64
        Thresholds ``s0`` and ``p0``, ascending.
    ari, sbd : (c, s, k) float64
        Means over the events that hold the class.
    n_events : (c,) int64
        How many these are.
    metric : {"sbd", "ari", "harmonic"}
        What :attr:`best` looks for.
    """

    classes: npt.NDArray[np.int64]
    seed_grid: FloatArray
    kernel_grid: FloatArray
    ari: FloatArray
    sbd: FloatArray
    n_events: npt.NDArray[np.int64]
    metric: Metric

    @property
    def scores(self) -> FloatArray:
        """The metric (c, s, k); the harmonic mean of ARI and SBD is 0 where one of them is not positive."""
        if self.metric != "harmonic":
            return self.sbd if self.metric == "sbd" else self.ari
        positive = np.minimum(self.ari, self.sbd) > 0
        total = np.where(positive, self.ari + self.sbd, 1.0)
        return np.where(positive, 2 * self.ari * self.sbd / total, 0.0)

    @property
    def best(self) -> dict[int, tuple[float, float]]:
        """Thresholds ``(s0, p0)`` of each class; of equal scores those of smallest s0, then smallest p0."""
        flat = self.scores.reshape(len(self.classes), -1).argmax(axis=1)
        s, k = np.divmod(flat, len(self.kernel_grid))
        return {
            int(c): (float(self.seed_grid[i]), float(self.kernel_grid[j]))
            for c, i, j in zip(self.classes, s, k)
        }


def tune_thresholds(
    predictions: Iterable[Prediction],
    *,
    clusterer: GaussianKernelClusterer | None = None,
    seed_grid: npt.ArrayLike | None = None,
    kernel_grid: npt.ArrayLike | None = None,
    metric: Metric = "sbd",
    classes: Sequence[int] = PARTICLE_CLASSES,
) -> ThresholdScan:
    """Score every pair of seed and kernel threshold, per semantic class.

    Parameters
    ----------
    predictions : iterable of Prediction
        With embeddings, margins and seediness among their outputs, of events that carry the truth. Consumed
        one by one; their labels play no part. Validation events, not those of the final comparison.
    clusterer : GaussianKernelClusterer, optional
        Whose other rules hold: minimum size, assignment, leftovers.
    seed_grid, kernel_grid : (s,), (k,) float, optional
        Thresholds to try; by default 20 each, 0, 0.05, ... 0.95 and 0.025, 0.075, ... 0.975.
    metric : {"sbd", "ari", "harmonic"}
        What is best: mean SBD, mean ARI, or their harmonic mean.
    classes : sequence of int
        Semantic classes to cluster and score. Ignored for events without classes.

    Returns
    -------
    ThresholdScan

    Raises
    ------
    ValueError
        If an event carries no truth, an output is missing, nothing is left to score, or a grid is empty or
        out of range.

    See Also
    --------
    with_thresholds : a clusterer that uses the best ones.
    sparseclust.vis.plot_thresholds : a heat-map.

    Notes
    -----
    A higher ``s0`` only ends the search for seeds earlier. With ``assignment="greedy"`` and
    ``leftover="noise"`` one search down to the smallest ``s0`` therefore serves them all: the clusters whose
    seeds reach ``s0`` stay, the others become -1, and partitions that a change of ``s0`` leaves as they are
    get scored once. Other rules take one search per pair. As in :class:`Scorer`, the voxels without label
    count as one more cluster.

    References
    ----------
    Koh et al., arXiv:2007.03083, section III.

    Examples
    --------
    >>> from sparseclust.data import Event
    >>> from sparseclust.pipeline import Prediction
    >>> from sparseclust.training import tune_thresholds
    >>> event = Event([[0, 0, 0], [0, 0, 1], [9, 9, 9]], [1, 1, 1], semantic=[1, 1, 1], instance=[0, 0, 1])
    >>> outputs = {"embeddings": [[0.0], [0.1], [1.0]], "margins": [0.1] * 3, "seediness": [0.9, 0.3, 0.8]}
    >>> scan = tune_thresholds([Prediction(event, event.instance, outputs)])
    >>> scan.best
    {1: (0.0, 0.025)}
    """
    base = GaussianKernelClusterer() if clusterer is None else clusterer
    s_grid = _grid("seed_grid", np.arange(20) / 20 if seed_grid is None else seed_grid)
    k_grid = _grid("kernel_grid", np.arange(0.5, 20) / 20 if kernel_grid is None else kernel_grid)
    if metric not in get_args(Metric):
        raise ValueError(f"metric must be one of {get_args(Metric)}, got {metric!r}")
    sums: dict[int, FloatArray] = {}
    for number, prediction in enumerate(predictions):
        voxels = _voxels(prediction, number, classes)
        if len(voxels["instance"]):
            for c, scores in _event_scores(voxels, base, s_grid, k_grid).items():
                sums[c] = sums.get(c, 0.0) + scores
    if not sums:
        raise ValueError("no event has a voxel of a true instance in the given classes: nothing to tune on")
    found = sorted(sums)
    total = np.stack([sums[c] for c in found])
    n_events = total[:, 2, 0, 0]
    ari, sbd = np.moveaxis(total[:, :2] / n_events[:, None, None, None], 1, 0)
    return ThresholdScan(np.array(found), s_grid, k_grid, ari, sbd, n_events.astype(np.int64), metric)


def with_thresholds(clusterer: GaussianKernelClusterer, scan: ThresholdScan) -> GaussianKernelClusterer:
    """Return a new clusterer with the best thresholds of a scan, per class, and the rules of the one given.

    Classes that the scan has not seen keep their thresholds.

    Examples
    --------
    >>> import numpy as np
    >>> from sparseclust.clustering import GaussianKernelClusterer
    >>> from sparseclust.training import ThresholdScan, with_thresholds
    >>> table = np.array([[[0.2, 0.7]]])
    >>> scan = ThresholdScan(np.array([1]), np.array([0.5]), np.array([0.1, 0.3]), table, table, [9], "sbd")
    >>> with_thresholds(GaussianKernelClusterer({0: 0.4, 1: 0.4}), scan).seed_threshold
    {0: 0.4, 1: 0.5}
    """
    parameters = clusterer.get_params()
    for position, name in enumerate(("seed_threshold", "kernel_threshold")):
        best = {c: pair[position] for c, pair in scan.best.items()}
        if list(best) == [-1]:
            parameters[name] = best[-1]
        else:
            known = parameters[name]
            others = known if isinstance(known, Mapping) else dict.fromkeys(map(int, PARTICLE_CLASSES), known)
            parameters[name] = {**others, **best}
    return GaussianKernelClusterer(**parameters)


def _grid(name: str, values: npt.ArrayLike) -> FloatArray:
    grid = np.unique(np.asarray(values, np.float64))
    if grid.ndim != 1 or len(grid) == 0 or np.isnan(grid).any():
        raise ValueError(f"{name} must hold at least one number and no NaN, got {values!r}")
    if name == "kernel_grid" and not (grid[0] > 0 and grid[-1] < 1):
        raise ValueError(f"kernel_grid must lie strictly between 0 and 1, got {grid[0]} to {grid[-1]}")
    return grid


def _voxels(prediction: Prediction, number: int, classes: Sequence[int]) -> dict[str, npt.NDArray[Any]]:
    """Select outputs and truth of the voxels that the network saw; none if there is nothing to score."""
    event = prediction.event
    missing = [name for name in _OUTPUTS if name not in prediction.outputs]
    if missing:
        raise ValueError(
            f"event {number}: the outputs {missing} are needed, there are {sorted(prediction.outputs)}"
        )
    if event.instance is None:
        raise ValueError(f"event {number} carries no true instances, so it cannot be scored")
    arrays: dict[str, npt.NDArray[Any]] = {name: np.asarray(prediction.outputs[name]) for name in _OUTPUTS}
    seen = ~np.isnan(arrays["seediness"])
    semantic = np.full(len(event), -1) if event.semantic is None else event.semantic
    if event.semantic is not None:
        seen &= np.isin(semantic, classes)
    arrays |= {"semantic": semantic, "instance": event.instance}
    voxels = {name: array[seen] for name, array in arrays.items()}
    return voxels if np.any(voxels["instance"] >= 0) else {name: a[:0] for name, a in voxels.items()}


def _event_scores(
    voxels: Mapping[str, npt.NDArray[Any]],
    base: GaussianKernelClusterer,
    seed_grid: FloatArray,
    kernel_grid: FloatArray,
) -> dict[int, FloatArray]:
    """ARI, SBD and 1 at every pair of thresholds, for each class of an event: (3, s, k)."""
    scored = voxels["instance"] >= 0
    scores = {
        int(c): np.ones((3, len(seed_grid), len(kernel_grid))) for c in np.unique(voxels["semantic"][scored])
    }
    for k, kernel_threshold in enumerate(kernel_grid):
        labels, which = _labels(voxels, base, seed_grid, float(kernel_threshold))
        n = len(labels)
        table = score_events(
            np.tile(voxels["instance"][scored], n),
            labels[:, scored].reshape(-1),
            event=np.repeat(np.arange(n), scored.sum()),
            semantic=np.tile(voxels["semantic"][scored], n),
        )
        for c, grid in scores.items():
            rows = table[table["semantic"] == c]
            grid[0, :, k], grid[1, :, k] = rows["ari"][which], rows["sbd"][which]
    return scores


def _labels(
    voxels: Mapping[str, npt.NDArray[Any]],
    base: GaussianKernelClusterer,
    seed_grid: FloatArray,
    kernel_threshold: float,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Distinct labellings (m, n), and which of them belongs to each seed threshold."""
    parameters = base.get_params() | {"kernel_threshold": kernel_threshold}
    arrays = [voxels[name] for name in _OUTPUTS]

    def clustered(seed_threshold: float) -> GaussianKernelClusterer:
        clusterer = GaussianKernelClusterer(**(parameters | {"seed_threshold": seed_threshold}))
        clusterer.fit_predict(*arrays, semantic=voxels["semantic"])
        return clusterer

    if (base.assignment, base.leftover) != ("greedy", "noise"):
        return np.stack([clustered(s0).labels_ for s0 in seed_grid]), np.arange(len(seed_grid))
    lowest = clustered(float(seed_grid[0]))
    reached = lowest.scores_ >= seed_grid.astype(lowest.scores_.dtype)[:, None]
    _, first, which = np.unique(reached.sum(axis=1), return_index=True, return_inverse=True)
    kept = np.concatenate([reached[first], np.zeros((len(first), 1), bool)], axis=1)[:, lowest.labels_]
    return np.where(kept, lowest.labels_, -1), which
