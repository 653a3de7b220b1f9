"""The Gaussian-kernel clusterer as an estimator, with thresholds per semantic class."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy.typing as npt

from sparseclust.clustering import _validate as check
from sparseclust.clustering._dispatch import Array, accepts_tensors, first_tensor, on_host, stays_on_device
from sparseclust.clustering._gaussian import Assignment, Backend, Leftover, Rules, find_clusters
from sparseclust.clustering._instances import describe_instances
from sparseclust.clustering._parameters import Parameters, per_class
from sparseclust.clustering._validate import FloatArray, IntArray


@dataclasses.dataclass(eq=False)
class GaussianKernelClusterer(Parameters):
    """Cluster points by the Gaussian kernels of their seeds; remembers the kernels it found.

    Parameters
    ----------
    seed_threshold, kernel_threshold : float or mapping of int to float
        One value, or one per semantic class.
    min_size, assignment, leftover, backend
        As in :func:`cluster_embeddings`, which holds the rules.

    Attributes
    ----------
    labels_ : (n,) int64
        What :meth:`fit_predict` returned, as a NumPy array, like the others.
    seeds_ : (k,) int64
        Row of each cluster's seed.
    centroids_ : (k, d) float64
        Embedding of each seed, the centre of the kernel.
    margins_ : (k, 1) or (k, d) float64
        Width of each kernel.
    scores_ : (k,) float
        Seediness of each seed.
    instances_ : (k,) structured array
        How sure each cluster is; computed when asked for, see there.

    Examples
    --------
    >>> from sparseclust.clustering import GaussianKernelClusterer
    >>> clusterer = GaussianKernelClusterer(seed_threshold={0: 0.5, 1: 0.9})
    >>> embeddings = [[0.0], [0.1], [0.0], [1.0]]
    >>> clusterer.fit_predict(embeddings, [0.2] * 4, [0.8, 0.7, 0.8, 0.95], semantic=[0, 0, 1, 1]).tolist()
    [0, 0, -1, 1]
    >>> clusterer.seeds_.tolist()
    [0, 3]
    """

    seed_threshold: float | Mapping[int, float] = 0.0
    kernel_threshold: float | Mapping[int, float] = 0.5
    _: dataclasses.KW_ONLY
    min_size: int = 1
    assignment: Assignment = "greedy"
    leftover: Leftover = "noise"
    backend: Backend = "auto"
    labels_: IntArray = dataclasses.field(init=False, repr=False)
    seeds_: IntArray = dataclasses.field(init=False, repr=False)
    centroids_: FloatArray = dataclasses.field(init=False, repr=False)
    margins_: FloatArray = dataclasses.field(init=False, repr=False)
    scores_: npt.NDArray[Any] = dataclasses.field(init=False, repr=False)
    _points: tuple[Array, Array, Array, Array] = dataclasses.field(init=False, repr=False)

    def fit_predict(
        self,
        embeddings: Array,
        margins: Array,
        seediness: Array,
        *,
        semantic: Array | None = None,
        event: Array | None = None,
    ) -> Array:
        """Cluster each class of each event on its own.

        Parameters
        ----------
        embeddings : (n, d) float
        margins : (n,), (n, 1) or (n, d) float
        seediness : (n,) float
        semantic, event : (n,) integers, optional
            Class and event of each point.

        Returns
        -------
        labels : (n,) int64
            -1, or a number counted from 0: events in ascending order, inside an event classes in ascending
            order, inside a class clusters in order of discovery.

        Raises
        ------
        ValueError, TypeError
            As :func:`cluster_embeddings`, and if a threshold misses a class that occurs.

        Notes
        -----
        With backend "torch", and with "auto" for tensors on a GPU, the points stay where they are; the host
        gets the labels and one row per cluster.
        """
        rules = Rules(self.min_size, self.assignment, self.leftover, self.backend).checked()
        tensor = first_tensor(embeddings, margins, seediness, semantic, event)
        if tensor is None or not stays_on_device(self.backend, tensor):
            return self._fit_arrays(embeddings, margins, seediness, semantic, event, rules)
        from sparseclust.clustering import _torch

        found = _torch.fit_tensors(
            embeddings,
            margins,
            seediness,
            semantic,
            event,
            device=tensor.device,
            thresholds=self._thresholds,
            rules=(rules.min_size, rules.assignment == "argmax", rules.leftover == "nearest"),
        )
        kernels = (values[found.seeds] for values in (found.x, found.sigma, found.score))
        self.labels_, self.seeds_ = _torch.to_numpy(found.labels), _torch.to_numpy(found.seeds)
        self.centroids_, self.margins_, self.scores_ = map(_torch.to_numpy, kernels)
        self._points = found.x, found.sigma, found.group, found.score
        return found.labels

    @accepts_tensors
    def _fit_arrays(
        self,
        embeddings: Array,
        margins: Array,
        seediness: Array,
        semantic: Array | None,
        event: Array | None,
        rules: Rules,
    ) -> npt.NDArray[Any]:
        x = check.embedding_rows(embeddings)
        sigma = check.margin_rows(margins, *x.shape)
        score = check.seediness_rows(seediness, len(x))
        kind, classes = check.dense_groups(semantic, len(x), name="semantic")
        in_event, _ = check.dense_groups(event, len(x), name="event")
        group, pairs = check.dense_groups(in_event * len(classes) + kind, len(x))
        kind_of_group = pairs % max(len(classes), 1)
        s0, p0 = self._thresholds(None if semantic is None else classes)
        self.labels_, self.seeds_ = find_clusters(
            x,
            sigma,
            score,
            group=group,
            seed_thresholds=s0[kind_of_group],
            kernel_thresholds=p0[kind_of_group],
            rules=rules,
        )
        self.centroids_, self.margins_, self.scores_ = x[self.seeds_], sigma[self.seeds_], score[self.seeds_]
        self._points = x, sigma, group, score
        return self.labels_

    def _thresholds(self, classes: npt.NDArray[Any] | None) -> tuple[FloatArray, FloatArray]:
        """``s0`` and ``p0`` of the classes; ``classes`` is None when the caller named none."""
        return (
            per_class("seed_threshold", self.seed_threshold, classes, check.not_nan),
            per_class("kernel_threshold", self.kernel_threshold, classes, check.open_unit),
        )

    @property
    def instances_(self) -> npt.NDArray[Any]:
        """Scores of each cluster of the last :meth:`fit_predict`.

        Returns
        -------
        (k,) structured array
            ``seediness`` of the seed; ``size``, the number of members; ``kernel``, their mean kernel value;
            ``margin``, their mean kernel value less that of the runner-up, the largest other kernel of the
            event and class there. It is negative where greedy seeds took what suits another kernel better.

        Notes
        -----
        A runner-up below 0.001 counts as 0, so that it can be looked up in balls; this takes about as long as
        the clustering.

        Examples
        --------
        >>> clusterer = GaussianKernelClusterer(seed_threshold=0.5)
        >>> clusterer.fit_predict([[0.0], [0.1], [0.5]], [0.2, 0.2, 0.2], [0.9, 0.1, 0.7]).tolist()
        [0, 0, 1]
        >>> clusterer.instances_["size"].tolist(), clusterer.instances_["margin"].round(2).tolist()
        ([2, 1], [0.85, 0.96])
        """
        x, sigma, group, score = map(on_host, self._points)
        return describe_instances(x, sigma, score, group, self.labels_, self.seeds_)
