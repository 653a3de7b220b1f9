"""Search for the thresholds of a clusterer."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, get_args

import numpy as np
import numpy.typing as npt

from sparseclust.clustering import (
    AffinityGraphClusterer,
    AgglomerativeClusterer,
    GaussianKernelClusterer,
    scan_affinities,
    scan_kernels,
)
from sparseclust.clustering import refine as repaired
from sparseclust.metrics import score_events
from sparseclust.pipeline import PARTICLE_CLASSES, Prediction
from sparseclust.training._graph import met_graph
from sparseclust.training._thresholds import (
    Clusterer,
    FloatArray,
    Grids,
    IntArray,
    Metric,
    ThresholdScan,
    default_grids,
)

_EMBEDDING = ("embeddings", "margins", "seediness")


def tune_thresholds(
    predictions: Iterable[Prediction],
    *,
    clusterer: Clusterer | None = None,
    grids: Mapping[str, npt.ArrayLike] | None = None,
    metric: Metric = "sbd",
    classes: Sequence[int] = PARTICLE_CLASSES,
    refine: bool = False,
) -> ThresholdScan:
    """Score all values of a clusterer's thresholds, of which it has one or two, per semantic class.

    Parameters
    ----------
    predictions : iterable of Prediction
        Of events that carry the truth, with embeddings, margins and seediness among their outputs, or with
        edges. Consumed one by one; their labels play no part. Validation events, not those of the final
        comparison.
    clusterer : GaussianKernelClusterer, AffinityGraphClusterer or AgglomerativeClusterer, optional
        Whose thresholds are looked for, and whose other rules hold; by default a
        ``GaussianKernelClusterer()``.
    grids : mapping of str to numbers, optional
        Values to try. For Gaussian kernels ``"seed_threshold"``, by default 0, 0.05, ... 0.95, and
        ``"kernel_threshold"``, by default 0.025, 0.075, ... 0.975; for an affinity graph ``"min_size"``, by
        default 1, 2, 3, ... 10, 12, 16 and 32, and ``"threshold"``, by default 0.025, 0.075, ... 0.975; with
        a judge ``"threshold"`` alone, likewise.
    metric : {"sbd", "ari", "harmonic"}
        What is best: mean SBD, mean ARI, or their harmonic mean.
    classes : sequence of int
        Semantic classes to cluster and score. Ignored for events without classes.
    refine : bool
        Score the clusters of Gaussian kernels after repairs, for a
        :class:`~sparseclust.pipeline.Predictor` that makes them.

    Returns
    -------
    ThresholdScan

    Raises
    ------
    ValueError
        If an event carries no truth, an output is missing, nothing is left to score, or a grid is empty, out
        of range or of no such parameter; or if an affinity graph is to be refined.

    See Also
    --------
    with_thresholds : a clusterer that uses the best ones.
    sparseclust.vis.plot_thresholds : a heat-map.

    Notes
    -----
    One ordering of the seeds and one search in the embeddings serve the whole grid
    (:func:`sparseclust.clustering.scan_kernels`), and one union-find all thresholds of an affinity graph
    (:func:`sparseclust.clustering.scan_affinities`). Kernels with ``assignment="argmax"`` or
    ``leftover="nearest"`` take one search per pair. Pairs that label an event alike are scored once. As in
    :class:`Scorer`, the voxels without label count as one more cluster. Repairs take longer than all the
    rest: every labelling is repaired on its own. Memory, beside the event: one label per voxel and kernel
    threshold, or per voxel and pair for an affinity graph, about 2 kB per voxel for the default grids.

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
    {1: {'seed_threshold': 0.0, 'kernel_threshold': 0.025}}
    """
    base = GaussianKernelClusterer() if clusterer is None else clusterer
    if metric not in get_args(Metric):
        raise ValueError(f"metric must be one of {get_args(Metric)}, got {metric!r}")
    tried = _checked_grids(base, grids or {})
    if refine and not isinstance(base, GaussianKernelClusterer):
        raise ValueError(
            "refine repairs the clusters of Gaussian kernels, an affinity graph needs none of it"
        )
    sums: dict[int, FloatArray] = {}
    for number, prediction in enumerate(predictions):
        voxels = _Voxels.of(prediction, number, base, classes)
        for c, scores in _event_scores(voxels, base, tried, refine).items():
            sums[c] = sums.get(c, 0.0) + scores
    if not sums:
        raise ValueError("no event has a voxel of a true instance in the given classes: nothing to tune on")
    found = sorted(sums)
    total = np.stack([sums[c] for c in found])
    n_events = total[:, 2, 0, 0]
    means = np.moveaxis(total[:, :2] / n_events[:, None, None, None], 1, 0)
    ari, sbd = means.reshape(2, len(found), *map(len, tried.values()))
    return ThresholdScan(np.array(found), tried, ari, sbd, n_events.astype(np.int64), metric)


class _Voxels(NamedTuple):
    """What is clustered of an event, and the rows that are scored.

    Attributes
    ----------
    arrays : tuple
        Embeddings, margins, seediness, class and coordinates of the clustered voxels; or the
        number of rows, and the graph of some of them.
    place : (m,) int64
        Clustered voxel of each scored row.
    instance, semantic : (m,) int64
        Truth and class of these rows.
    """

    arrays: tuple[Any, ...]
    place: IntArray
    instance: IntArray
    semantic: IntArray

    @classmethod
    def of(
        cls, prediction: Prediction, number: int, clusterer: Clusterer, classes: Sequence[int]
    ) -> "_Voxels":
        """Check and select; voxels that the network did not see take no part."""
        event, graph = prediction.event, not isinstance(clusterer, GaussianKernelClusterer)
        missing = ["edges"] if graph and prediction.edges is None else []
        missing += [name for name in _EMBEDDING if not graph and name not in prediction.outputs]
        if missing:
            raise ValueError(
                f"event {number}: {type(clusterer).__name__} needs {missing}, "
                f"the prediction has the outputs {sorted(prediction.outputs)}"
            )
        if event.instance is None:
            raise ValueError(f"event {number} carries no true instances, so it cannot be scored")
        semantic = np.full(len(event), -1) if event.semantic is None else event.semantic
        wanted = np.ones(len(event), bool) if event.semantic is None else np.isin(semantic, classes)
        stands = np.arange(len(event)) if prediction.voxel is None else prediction.voxel
        voxel = np.where(wanted, stands, -1)
        scored = (voxel >= 0) & (event.instance >= 0)
        truth = event.instance[scored], semantic[scored]
        if graph:
            arrays: tuple[Any, ...] = (len(event), met_graph(prediction))
            return cls(arrays, voxel[scored], *truth)
        rows = np.unique(voxel[voxel >= 0])
        arrays = tuple(np.asarray(prediction.outputs[name])[rows] for name in _EMBEDDING)
        return cls(
            (*arrays, semantic[rows], event.coords[rows]), np.searchsorted(rows, voxel[scored]), *truth
        )


def _checked_grids(clusterer: Clusterer, given: Mapping[str, npt.ArrayLike]) -> Grids:
    default = default_grids(clusterer)
    if unknown := given.keys() - default.keys():
        raise ValueError(
            f"{type(clusterer).__name__} has the thresholds {list(default)}, got grids of {sorted(unknown)}"
        )
    wanted = {**default, **given}
    grids = {name: np.unique(np.asarray(wanted[name], np.float64)) for name in default}
    for name, grid in grids.items():
        if len(grid) == 0 or np.isnan(grid).any():
            raise ValueError(f"{name} must hold at least one number and no NaN, got {wanted[name]!r}")
        if name == "kernel_threshold" and not (grid[0] > 0 and grid[-1] < 1):
            raise ValueError(f"{name} must lie strictly between 0 and 1, got {grid[0]} to {grid[-1]}")
        if name == "min_size":
            if grid[0] < 1 or np.any(grid != np.floor(grid)):
                raise ValueError(f"{name} must hold integers >= 1, got {wanted[name]!r}")
            grids[name] = grid.astype(np.int64)
    return grids


def _event_scores(voxels: _Voxels, base: Clusterer, grids: Grids, refine: bool) -> dict[int, FloatArray]:
    """ARI, SBD and 1 at every pair, for each class of an event: (3, a, b), a of 1 for one threshold."""
    if len(voxels.instance) == 0:
        return {}
    *first, last = map(len, grids.values())
    shape = (3, *(first or [1]), last)
    scores = {int(c): np.ones(shape) for c in np.unique(voxels.semantic)}
    if isinstance(base, AffinityGraphClusterer):
        columns = _graph_labels(voxels, base, grids)
    elif isinstance(base, AgglomerativeClusterer):
        columns = _joined_labels(voxels, base, grids)
    else:
        columns = _kernel_labels(voxels, base, grids)
    for column, found in enumerate(columns):
        # Many pairs label an event alike: each labelling is scored once.
        numbers: dict[bytes, int] = {}
        which = [numbers.setdefault(row.tobytes(), len(numbers)) for row in found]
        distinct = found[np.unique(which, return_index=True)[1]]
        n = len(distinct)
        if refine:
            distinct = _repaired(distinct, voxels)
        table = score_events(
            np.tile(voxels.instance, n),
            distinct[:, voxels.place].reshape(-1),
            event=np.repeat(np.arange(n), len(voxels.instance)),
            semantic=np.tile(voxels.semantic, n),
        )
        for c, grid in scores.items():
            rows = table[table["semantic"] == c]
            grid[0, :, column], grid[1, :, column] = rows["ari"][which], rows["sbd"][which]
    return scores


def _graph_labels(voxels: _Voxels, base: AffinityGraphClusterer, grids: Grids) -> Iterator[IntArray]:
    """Labels of all rows for all sizes (m, n), threshold by threshold."""
    n, graph = voxels.arrays
    yield from scan_affinities(
        graph.rows[graph.edges],
        graph.affinity,
        n=n,
        thresholds=grids["threshold"],
        min_sizes=grids["min_size"],
        linkage=base.linkage,
    )


def _joined_labels(voxels: _Voxels, base: AgglomerativeClusterer, grids: Grids) -> Iterator[IntArray]:
    """Labels of all rows (1, n), threshold by threshold."""
    n, graph = voxels.arrays
    labels = np.full((len(grids["threshold"]), 1, n), -1)
    labels[:, 0, graph.rows] = base.scan(graph.edges, graph.affinity, grids["threshold"], **graph.voxels)
    yield from labels


def _kernel_labels(voxels: _Voxels, base: GaussianKernelClusterer, grids: Grids) -> Iterator[IntArray]:
    """Labels of the voxels for all seed thresholds (s, n), kernel threshold by kernel threshold."""
    *arrays, semantic, _ = voxels.arrays
    s0, p0 = grids["seed_threshold"], grids["kernel_threshold"]
    if (base.assignment, base.leftover) != ("greedy", "noise"):
        for kernel_threshold in p0:
            yield np.stack([_clustered(voxels, base, s, kernel_threshold) for s in s0])
        return
    score = arrays[2]
    reached = score >= s0.astype(score.dtype)[:, None]
    scan = scan_kernels(
        *arrays,
        group=semantic,
        kernel_thresholds=p0,
        seed_threshold=float(s0[0]),
        min_size=base.min_size,
    )
    for seeds in scan:
        yield np.where((seeds >= 0) & reached[:, seeds], seeds, -1)


def _clustered(
    voxels: _Voxels, base: GaussianKernelClusterer, seed_threshold: float, kernel_threshold: float
) -> IntArray:
    thresholds = {"seed_threshold": float(seed_threshold), "kernel_threshold": float(kernel_threshold)}
    *arrays, semantic, _ = voxels.arrays
    clusterer = GaussianKernelClusterer(**(base.get_params() | thresholds))
    labels: IntArray = clusterer.fit_predict(*arrays, semantic=semantic)
    return labels


def _repaired(labels: IntArray, voxels: _Voxels) -> IntArray:
    """Repair several labellings (r, n) of one event, in one go: as many groups as labellings and classes."""
    embeddings, margins, _, semantic, coords = voxels.arrays
    r, n = labels.shape
    kind = np.unique(semantic, return_inverse=True)[1]
    group = np.arange(r)[:, None] * (kind.max() + 1) + kind
    rows = np.tile(np.arange(n), r)
    arrays = coords[rows], embeddings[rows], margins[rows]
    found: IntArray = repaired(labels.reshape(-1), *arrays, group=group.reshape(-1))
    return found.reshape(r, n)
