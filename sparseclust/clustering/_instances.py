"""How sure a clustering is of each of its instances."""

from typing import Any

import numpy as np
import numpy.typing as npt

from sparseclust.clustering import _kernels_leftovers
from sparseclust.clustering._validate import FloatArray, IntArray

# Kernels below a thousandth count as nothing: the search for runners-up ends there.
FAR = -2.0 * float(np.log(1e-3))
FIELDS = [("seediness", np.float64), ("size", np.int64), ("kernel", np.float64), ("margin", np.float64)]


def describe_instances(
    x: FloatArray,
    sigma: FloatArray,
    score: npt.NDArray[Any],
    group: IntArray,
    labels: IntArray,
    seeds: IntArray,
) -> npt.NDArray[Any]:
    """One record per label, see :attr:`GaussianKernelClusterer.instances_`; ``group`` counts from 0."""
    with np.errstate(over="ignore", under="ignore"):
        variance = sigma * sigma
    order = np.argsort(group, kind="stable")
    names = np.arange(int(group.max(initial=-1)) + 2)
    own, other = _kernels_leftovers.own_and_other(
        x,
        variance,
        order,
        np.searchsorted(group[order], names),
        labels,
        seeds,
        np.searchsorted(group[seeds], names),
        FAR,
    )
    instances = np.zeros(len(seeds), FIELDS)
    instances["seediness"] = score[seeds]
    member = labels >= 0
    label = labels[member]
    instances["size"] = np.bincount(label, minlength=len(seeds))
    kernel = np.exp(-0.5 * own[member])
    for field, values in (("kernel", kernel), ("margin", kernel - np.exp(-0.5 * other[member]))):
        instances[field] = np.bincount(label, weights=values, minlength=len(seeds)) / instances["size"]
    return instances
