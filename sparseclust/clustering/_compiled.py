"""The compiled backend of the Gaussian-kernel clusterer: groups spread over threads."""

import numpy as np

from sparseclust._threads import in_threads
from sparseclust.clustering import _kernels_growth
from sparseclust.clustering._threads import available_threads
from sparseclust.clustering._validate import FloatArray, IntArray

_ROWS_PER_THREAD = 8192
_TASKS_PER_THREAD = 4


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
    """Cluster each group on its own; same contract as the function of this name in ``_reference``.

    Threads share consecutive tasks of about equal numbers of rows. Inside a group one thread works, and
    labels are numbered at the end, so the number of threads changes none.
    """
    n, groups = len(x), len(candidates)
    labels, seeds = np.empty(n, np.int64), np.empty(n, np.int64)
    found = np.empty(groups, np.int64)
    threads = max(1, min(available_threads(), n // _ROWS_PER_THREAD, groups))
    tasks = 1 if threads == 1 else min(threads * _TASKS_PER_THREAD, groups)
    edges = np.searchsorted(splits, np.linspace(0, n, tasks + 1)).tolist()
    edges[-1] = groups

    def work(task: int) -> None:
        a, b = edges[task], edges[task + 1]
        _kernels_growth.cluster_range(
            x,
            variance,
            order,
            splits[a : b + 1],
            candidates[a:b],
            exponents[a:b],
            min_size,
            argmax,
            nearest,
            labels,
            seeds,
            found[a:b],
        )

    in_threads(work, tasks, threads)
    return labels, _kernels_growth.number_clusters(order, splits, labels, seeds, found)
