"""The outcome of a search for thresholds, and the clusterer that follows from it."""

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal, TypeVar

import numpy as np
import numpy.typing as npt

from sparseclust.clustering import AffinityGraphClusterer, AgglomerativeClusterer, GaussianKernelClusterer
from sparseclust.pipeline import PARTICLE_CLASSES

Metric = Literal["sbd", "ari", "harmonic"]
FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Grids = Mapping[str, npt.NDArray[Any]]
Clusterer = GaussianKernelClusterer | AffinityGraphClusterer | AgglomerativeClusterer
C = TypeVar("C", bound=Clusterer)

_KERNEL_GRIDS: Grids = MappingProxyType(
    {"seed_threshold": np.arange(20) / 20, "kernel_threshold": np.arange(0.5, 20) / 20}
)
# Other fragments than it learned from would take another judge.
_JUDGE_GRIDS: Grids = MappingProxyType({"threshold": np.arange(0.5, 20) / 20})
_AS_GOOD = 2e-4
# The labels of a class often have a least size, which is then worth knowing to the voxel: steps of one where
# such sizes are.
_GRAPH_GRIDS: Grids = MappingProxyType(
    {"min_size": np.array([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 16, 32]), "threshold": np.arange(0.5, 20) / 20}
)


@dataclasses.dataclass(frozen=True, eq=False)
class ThresholdScan:
    """Mean scores per class at all values of a clusterer's thresholds, of which it has one or two.

    Attributes
    ----------
    classes : (c,) int64
        Semantic classes that occur; -1 alone where the events carry none.
    grids : mapping of str to (a,) and (b,) array
        The parameters and their values, ascending; with a judge one alone, (b,).
    ari, sbd : (c, a, b) float64
        Means over the events that hold the class; (c, b) for one parameter.
    n_events : (c,) int64
        How many these are.
    metric : {"sbd", "ari", "harmonic"}
        What is best.
    """

    classes: IntArray
    grids: Grids
    ari: FloatArray
    sbd: FloatArray
    n_events: IntArray
    metric: Metric

    @property
    def scores(self) -> FloatArray:
        """The metric, shaped as these; a harmonic mean is 0 where ARI or SBD is not positive."""
        if self.metric != "harmonic":
            return self.sbd if self.metric == "sbd" else self.ari
        positive = np.minimum(self.ari, self.sbd) > 0
        total = np.where(positive, self.ari + self.sbd, 1.0)
        return np.where(positive, 2 * self.ari * self.sbd / total, 0.0)

    @property
    def best(self) -> dict[int, dict[str, float]]:
        """Values of each class that score as well as the best, to 0.0002, and lie nearest ``best_for_all``.

        Where a class hardly cares, as it often does, its own best is an accident of the events. Of equally
        near ones the better, then the smallest.
        """
        together = self._largest(self.scores.mean(axis=0))
        shape = self.scores.shape[1:]
        steps = np.indices(shape).reshape(len(shape), -1).T - together
        distance = np.abs(steps / shape).sum(axis=1).reshape(shape)
        at = [
            self._largest(np.where(s >= s.max() - _AS_GOOD, s - 10 * distance, -np.inf)) for s in self.scores
        ]
        return {int(c): self._values(i) for c, i in zip(self.classes, at)}

    @property
    def best_for_all(self) -> dict[str, float]:
        """Best values that all classes share, by the mean over classes, each counting once.

        Of equal scores the smallest values, the first parameter before the second.
        """
        return self._values(self._largest(self.scores.mean(axis=0)))

    def _largest(self, scores: FloatArray) -> tuple[int, ...]:
        return tuple(map(int, np.unravel_index(int(scores.argmax()), scores.shape)))

    def _values(self, at: tuple[int, ...]) -> dict[str, float]:
        return {name: values[i].item() for (name, values), i in zip(self.grids.items(), at)}


def with_thresholds(clusterer: C, scan: ThresholdScan, *, together: bool = False) -> C:
    """Return a new clusterer with the best thresholds of a scan, and the rules of the one given.

    Thresholds are per class, and classes that the scan has not seen keep theirs; or, ``together``, those that
    are best for all classes.

    Raises
    ------
    ValueError
        If the scan was made for another kind of clusterer.

    Examples
    --------
    >>> import numpy as np
    >>> from sparseclust.clustering import GaussianKernelClusterer
    >>> from sparseclust.training import ThresholdScan, with_thresholds
    >>> table = np.array([[[0.2, 0.7]]])
    >>> grids = {"seed_threshold": np.array([0.5]), "kernel_threshold": np.array([0.1, 0.3])}
    >>> scan = ThresholdScan(np.array([1]), grids, table, table, np.array([9]), "sbd")
    >>> with_thresholds(GaussianKernelClusterer({0: 0.4, 1: 0.4}), scan).seed_threshold
    {0: 0.4, 1: 0.5}
    """
    parameters = clusterer.get_params()
    if scan.grids.keys() != default_grids(clusterer).keys():
        raise ValueError(
            f"the scan is of {list(scan.grids)}, {type(clusterer).__name__} has "
            f"{list(default_grids(clusterer))}; give the clusterer that tune_thresholds was given"
        )
    if together or scan.classes.tolist() == [-1]:
        return type(clusterer)(**(parameters | scan.best_for_all))
    for name in scan.grids:
        best = {c: values[name] for c, values in scan.best.items()}
        known = parameters[name]
        others = known if isinstance(known, Mapping) else dict.fromkeys(map(int, PARTICLE_CLASSES), known)
        parameters[name] = {**others, **best}
    return type(clusterer)(**parameters)


def default_grids(clusterer: Clusterer) -> Grids:
    """Thresholds of a kind of clusterer, and the values that are tried."""
    if isinstance(clusterer, AgglomerativeClusterer):
        return _JUDGE_GRIDS
    return _GRAPH_GRIDS if isinstance(clusterer, AffinityGraphClusterer) else _KERNEL_GRIDS
