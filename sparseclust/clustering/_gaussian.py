"""Seeds and Gaussian kernels: from embeddings to clusters."""

import math
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from sparseclust.clustering import _compiled, _kernels_order, _reference
from sparseclust.clustering import _validate as check
from sparseclust.clustering._dispatch import Array, accepts_tensors, first_tensor, stays_on_device
from sparseclust.clustering._validate import FloatArray, IntArray

Assignment = Literal["greedy", "argmax"]
Leftover = Literal["noise", "nearest"]
Backend = Literal["auto", "numba", "torch", "reference"]


def _torch_groups(*arguments: Any) -> tuple[IntArray, IntArray]:
    from sparseclust.clustering import _torch

    return _torch.cluster_arrays(*arguments)


_BACKENDS = MappingProxyType(
    {
        "auto": _compiled.cluster_groups,
        "numba": _compiled.cluster_groups,
        "torch": _torch_groups,
        "reference": _reference.cluster_groups,
    }
)


class Clustering(NamedTuple):
    """Labels (n,) and the row of each label's seed (k,)."""

    labels: IntArray
    seeds: IntArray


class Rules(NamedTuple):
    """How points become clusters; see :func:`cluster_embeddings`."""

    min_size: int
    assignment: str
    leftover: str
    backend: str

    def checked(self) -> "Rules":
        """Return these rules, or raise ValueError naming the first that is not one."""
        check.count("min_size", self.min_size)
        check.choice("assignment", self.assignment, ("greedy", "argmax"))
        check.choice("leftover", self.leftover, ("noise", "nearest"))
        check.choice("backend", self.backend, tuple(_BACKENDS))
        return self


@accepts_tensors
def gaussian_kernel(embeddings: Array, centroid: Array, margin: Array) -> npt.NDArray[Any]:
    """Membership ``p = exp(-|e - mu|^2 / 2 sigma^2)`` of every point in one kernel.

    Parameters
    ----------
    embeddings : (n, d) float
    centroid : (d,) float
        Centre ``mu`` of the kernel.
    margin : float, (1,) or (d,) float
        Width ``sigma`` of the kernel, in units of the embedding; with ``d`` values each axis has its own.

    Returns
    -------
    membership : (n,) float64
        1 at the centroid, towards 0 far from it. A kernel of width zero is 1 at its centroid and 0 elsewhere.

    Raises
    ------
    ValueError
        If a shape does not fit, an embedding is not finite, or the margin is negative or NaN.

    Notes
    -----
    Computed in float64. No gradient flows through it: the losses have their own kernel.

    References
    ----------
    Neven et al., arXiv:1906.11109, eq. 5.

    Examples
    --------
    >>> from sparseclust.clustering import gaussian_kernel
    >>> gaussian_kernel([[0.0, 0.0], [0.3, 0.4]], [0.0, 0.0], 0.5).round(4).tolist()
    [1.0, 0.6065]
    """
    x = check.embedding_rows(embeddings)
    d = x.shape[1]
    centre = check.embedding_rows(np.reshape(centroid, (1, -1)))[0]
    if len(centre) != d:
        raise ValueError(f"centroid must have shape ({d},), as the embeddings, got ({len(centre)},)")
    sigma = check.margin_rows(np.reshape(margin, (1, -1)), 1, d)[0]
    squared, divisor = _reference.kernel_distance(x, centre, sigma * sigma)
    with np.errstate(all="ignore"):
        exponent = squared / np.float64(divisor)
    # 0 / 0 is the centre of a kernel of width zero; per axis, the other axes decide.
    if np.any(np.isnan(exponent)):
        exponent = np.where(np.all(x == centre, axis=1), 0.0, np.where(np.isnan(exponent), np.inf, exponent))
    return np.asarray(np.exp(-0.5 * exponent))


def cluster_embeddings(
    embeddings: Array,
    margins: Array,
    seediness: Array,
    *,
    group: Array | None = None,
    seed_threshold: float = 0.0,
    kernel_threshold: float = 0.5,
    min_size: int = 1,
    assignment: Assignment = "greedy",
    leftover: Leftover = "noise",
    backend: Backend = "auto",
) -> Array:
    """Cluster points by the Gaussian kernels of their seeds.

    Inside each group, again and again the free point of largest seediness becomes a seed, as long as it
    reaches ``seed_threshold``, and every point where its kernel exceeds ``kernel_threshold`` is covered.

    Parameters
    ----------
    embeddings : (n, d) float
    margins : (n,), (n, 1) or (n, d) float
        Width ``sigma`` of the kernel that each point would have as a seed, in units of the embedding; with
        ``d`` columns each axis has its own. Zero is allowed: such a seed covers itself alone.
    seediness : (n,) float
    group : (n,) integers, optional
        Any ids, for example of (event, class). Nothing crosses a group.
    seed_threshold : float
        Smallest seediness ``s0`` of a seed; equality suffices. Compared in the dtype of ``seediness``.
    kernel_threshold : float
        Kernel value ``p0`` strictly between 0 and 1 that a covered point must exceed.
    min_size : int
        Clusters of fewer points are dissolved: their points become leftovers. Counted before leftovers are
        given out.
    assignment : {"greedy", "argmax"}
        ``"greedy"``: a seed takes every free point that it covers. ``"argmax"``: every covered point goes to
        the seed whose kernel is largest there, the first found on ties.
    leftover : {"noise", "nearest"}
        ``"noise"``: points without a cluster get -1. ``"nearest"``: they join the kernel that is largest
        there, the first found on ties; -1 only in groups without a seed or with kernels of width zero alone.
    backend : {"auto", "numba", "torch", "reference"}
        All give equal labels. ``"numba"`` works on the host. ``"torch"`` works where the tensors are, on all
        groups at once; for few large groups with many clusters it is slow on a CPU. ``"reference"`` is the
        slow and obvious one. ``"auto"`` is ``"torch"`` for tensors on a GPU, else ``"numba"``.

    Returns
    -------
    labels : (n,) int64
        -1, or a number counted from 0 over the whole call: groups in ascending order of id, inside a group
        clusters in order of discovery.

    Raises
    ------
    ValueError
        If a shape does not fit, an embedding is not finite, a margin is negative or NaN, a seediness is NaN,
        or an option is out of range.
    TypeError
        If an argument has no numbers, or ``group`` no integers.

    Notes
    -----
    ``p > p0`` is evaluated in float64 as ``|e - mu|^2 < 2 sigma^2 (-ln p0)``, and kernels are compared by
    ``|e - mu|^2 / sigma^2``, so neither underflow nor the input's dtype decides a label, unless a margin is
    below 1e-150. Seeds of equal seediness are taken in order of their row.

    A seed's ball is looked up in a grid over the up to four axes along which the points spread over most
    kernel radii. This costs a linear sort plus the points in the cells that the balls touch; no table of
    points and seeds exists. Leftovers are looked up in balls of growing radius. Points without clusters in
    many dimensions are the worst case: most of those in the cells near a ball are not in it, and the time
    grows with their square.

    Where there is enough work, backend ``"numba"`` shares the groups among threads: as many as the variable
    NUMBA_NUM_THREADS says, else one per core of the process; one in workers of a DataLoader or of a pool of
    processes. Labels do not depend on their number.

    Particles that do not touch need not compete for seeds: as ``group``, the labels
    ``connected_components(coords, group=group)`` keep apart the connected pieces of each event and class.

    References
    ----------
    Koh et al., arXiv:2007.03083, section III; Neven et al., arXiv:1906.11109, section 3.

    Examples
    --------
    >>> from sparseclust.clustering import cluster_embeddings
    >>> embeddings = [[0.0], [0.1], [1.0], [1.1], [5.0]]
    >>> cluster_embeddings(embeddings, [0.2] * 5, [0.9, 0.8, 0.7, 0.95, 0.1], seed_threshold=0.5).tolist()
    [1, 1, 0, 0, -1]
    """
    rules = Rules(min_size, assignment, leftover, backend).checked()
    s0 = check.not_nan("seed_threshold", seed_threshold)
    p0 = check.open_unit("kernel_threshold", kernel_threshold)
    tensor = first_tensor(embeddings, margins, seediness, group)
    if tensor is not None and stays_on_device(backend, tensor):
        from sparseclust.clustering import _torch

        return _torch.cluster_tensors(
            embeddings,
            margins,
            seediness,
            group,
            device=tensor.device,
            seed_threshold=s0,
            kernel_threshold=p0,
            min_size=min_size,
            argmax=assignment == "argmax",
            nearest=leftover == "nearest",
        )
    return _cluster_arrays(embeddings, margins, seediness, group, s0, p0, rules)


@accepts_tensors
def _cluster_arrays(
    embeddings: Array,
    margins: Array,
    seediness: Array,
    group: Array | None,
    s0: float,
    p0: float,
    rules: Rules,
) -> npt.NDArray[Any]:
    x = check.embedding_rows(embeddings)
    dense, ids = check.dense_groups(group, len(x))
    return find_clusters(
        x,
        check.margin_rows(margins, *x.shape),
        check.seediness_rows(seediness, len(x)),
        group=dense,
        seed_thresholds=np.full(len(ids), s0),
        kernel_thresholds=np.full(len(ids), p0),
        rules=rules,
    ).labels


def find_clusters(
    x: FloatArray,
    sigma: FloatArray,
    score: npt.NDArray[Any],
    *,
    group: IntArray,
    seed_thresholds: FloatArray,
    kernel_thresholds: FloatArray,
    rules: Rules,
) -> Clustering:
    """Cluster checked arrays with one pair of thresholds per group; ``group`` counts from 0."""
    n_groups = len(seed_thresholds)
    # Every dtype of scores is exact in float64, and thresholds are rounded as scores were.
    thresholds = seed_thresholds.astype(score.dtype).astype(np.float64)
    score = check.compiled_rows(score)
    order = _kernels_order.falling_order(score)
    splits = np.array([0, len(x)][: n_groups + 1])
    if n_groups > 1:
        splits = np.concatenate([[0], np.cumsum(np.bincount(group, minlength=n_groups))])
        order = _kernels_order.stable_by_group(order, group, splits)
    candidates = _kernels_order.count_candidates(score, order, splits, thresholds)
    with np.errstate(over="ignore", under="ignore"):
        variance = sigma * sigma
    labels, seeds = _BACKENDS[rules.backend](
        x,
        variance,
        order,
        splits,
        candidates,
        np.array([-2.0 * math.log(p) for p in kernel_thresholds]),
        rules.min_size,
        rules.assignment == "argmax",
        rules.leftover == "nearest",
    )
    return Clustering(labels, seeds)
