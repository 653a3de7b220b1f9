"""Clusters of an affinity graph whose fragments are joined by what they look like together."""

import dataclasses
import functools
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from sparseclust.clustering import _validate as check
from sparseclust.clustering._affinity import AffinityGraphClusterer
from sparseclust.clustering._dispatch import Array, accepts_tensors, on_host
from sparseclust.clustering._fragments import FragmentGraph, Pair, Voxels, row_length
from sparseclust.clustering._joins import join_all, joins
from sparseclust.clustering._judge import FragmentPairs, Judge, ask
from sparseclust.clustering._parameters import Parameters, per_class
from sparseclust.clustering._validate import FloatArray, IntArray


@dataclasses.dataclass(eq=False, kw_only=True)
class AgglomerativeClusterer(Parameters):
    """Cut an affinity graph into sure fragments, and join those that a judge says belong together.

    A single edge decides what an :class:`AffinityGraphClusterer` joins. Here a judge sees both fragments: all
    edges between them, their directions, widths and energies around the contact, and what else lies there.

    Parameters
    ----------
    judge : callable
        A :class:`FragmentJudge`, or anything like :class:`Judge`.
    threshold : float or mapping of int to float
        Two fragments are joined that the judge gives at least this probability. One value, or one per
        semantic class: that of most voxels of a fragment. Of two classes the higher one counts.
    fragment_threshold, min_size : float and int, or mappings
        The fragments are those of an :class:`AffinityGraphClusterer` with this threshold and size.
    sure : float
        Pairs of at least this probability, and of at least their threshold, are joined all at once. The
        lower, the less often the judge is asked; with 1.0 one pair after the other is joined, unless the
        judge says 1.

    Attributes
    ----------
    labels_ : (n,) int64
        What :meth:`fit_predict` returned, as a NumPy array.

    Notes
    -----
    Of all pairs that meet, those that are sure are joined, or if there is none the most probable one; then
    the pairs of the new fragments are judged anew, until none reaches its threshold. Of a fragment that meets
    more than 100 others only those that the join brings or changes, and all of them once it has grown by a
    tenth. Edges of an affinity below 0.01 are no meeting. A judgement looks at all voxels within the largest
    radius. For usual events on a CPU all this takes less time than the network.

    References
    ----------
    Nunez-Iglesias et al., PLoS ONE 8 (2013) e71715, 1303.6163: learned agglomeration.

    Examples
    --------
    Two fragments of a straight line, and a judge that asks for one strong edge:

    >>> from sparseclust.clustering import AgglomerativeClusterer
    >>> class Strongest:
    ...     classes, radii = (), (8.0,)
    ...     def __call__(self, rows):
    ...         return rows[:, 6]
    >>> coords = [[0, 0], [0, 1], [0, 2], [0, 3], [0, 4]]
    >>> edges, affinity = [[0, 1, 2, 3], [1, 2, 3, 4]], [0.99, 0.7, 0.99, 0.2]
    >>> clusterer = AgglomerativeClusterer(judge=Strongest(), min_size=1)
    >>> clusterer.fit_predict(edges, affinity, coords=coords, energy=[1.0] * 5).tolist()
    [0, 0, 0, 0, 1]
    """

    judge: Judge
    threshold: float | Mapping[int, float] = 0.5
    fragment_threshold: float | Mapping[int, float] = 0.95
    min_size: int | Mapping[int, int] = 7
    sure: float = 0.995
    labels_: IntArray = dataclasses.field(init=False, repr=False)

    @accepts_tensors
    def fit_predict(
        self,
        edges: Array,
        affinity: Array,
        *,
        coords: Array,
        energy: Array,
        semantic: Array | None = None,
        event: Array | None = None,
    ) -> npt.NDArray[Any]:
        """Cluster the rows of a graph.

        Parameters
        ----------
        edges : (2, m) integers
            Rows at the two ends of each edge, as from :func:`neighbour_edges`.
        affinity : (m,) float
            Probabilities that both ends are of one instance.
        coords : (n, ndim) integers
            Voxel indices of any sign.
        energy : (n,) float
            In the unit that the judge was trained with; MeV for those that come with the library.
        semantic : (n,) integers, optional
            Class of each row. It cuts no edge.
        event : (n,) integers, optional
            Any ids; no edge leads from one to another.

        Returns
        -------
        labels : (n,) int64
            Counted from 0 in order of first appearance.

        Raises
        ------
        ValueError
            If shapes do not fit, an edge leads outside the rows or to another event, an affinity is no
            probability, an energy is not finite, a parameter is out of range or has no value for a class that
            occurs, or classes are missing that the judge tells apart.
        TypeError
            If edges, coordinates or classes are no integers, or affinities no numbers.
        """
        graph = self._fragments(edges, affinity, coords, energy, semantic, event)
        join_all(graph, self._answers(graph, semantic), check.probability("sure", self.sure))
        self.labels_ = _first_appearance(graph.fragment)
        return self.labels_

    def scan(
        self,
        edges: Array,
        affinity: Array,
        thresholds: npt.ArrayLike,
        *,
        coords: Array,
        energy: Array,
        semantic: Array | None = None,
        event: Array | None = None,
    ) -> IntArray:
        """Labels (k, n) at each of several thresholds, in the place of :attr:`threshold`, in one go.

        Other parameters and errors as for :meth:`fit_predict`.

        Notes
        -----
        The joins at a threshold are the first ones at any lower threshold, up to the first that falls short;
        not, though, at one above :attr:`sure`, which takes a go of its own.
        """
        limits = np.array([check.probability("thresholds", t) for t in np.ravel(np.asarray(thresholds))])
        sure = np.maximum(limits, check.probability("sure", self.sure))
        labels = np.empty((len(limits), len(check.coordinate_rows(on_host(coords)))), np.int64)
        for level in np.unique(sure).tolist():
            graph = self._fragments(edges, affinity, coords, energy, semantic, event)
            todo = sorted(np.flatnonzero(sure == level).tolist(), key=lambda i: -limits[i])
            found = joins(graph, functools.partial(self._ask, graph), level)
            for p in itertools.chain(found, [-math.inf]):
                while todo and p < limits[todo[0]]:
                    labels[todo.pop(0)] = _first_appearance(graph.fragment)
                if not todo:
                    break
        return labels

    def examples(
        self,
        edges: Array,
        affinity: Array,
        instance: Array,
        *,
        coords: Array,
        energy: Array,
        semantic: Array | None = None,
        event: Array | None = None,
        follow: bool = False,
    ) -> FragmentPairs:
        """Collect what a judge has to learn from: pairs of fragments, and whether they belong together.

        Parameters
        ----------
        instance : (n,) integers
            True instance of each row, -1 if unknown. That of a fragment is the one of most of its voxels.
        coords, energy, semantic, event
            As for :meth:`fit_predict`.
        follow : bool
            Join what the clusterer would join, mistakes among them, so that a judge learns what to do after
            one. Else join what belongs together, along the strongest edges first; of the judge its
            ``classes`` and ``radii`` alone are used.

        Returns
        -------
        FragmentPairs
            Of all pairs that met on the way and are of known instances.

        References
        ----------
        Ross, Gordon, Bagnell, AISTATS 2011, 1011.0686: learning on the learner's own way.
        """
        graph = self._fragments(edges, affinity, coords, energy, semantic, event)
        truth = check.integer_rows("instance", on_host(instance), len(graph.fragment)).astype(np.int64)
        width = row_length(len(self.judge.radii), len(self.judge.classes))
        found = [FragmentPairs(np.zeros((0, width)), np.zeros(0, bool), np.zeros(0, np.int64))]

        own = self._answers(graph, semantic) if follow else None
        true_one = _Majority(graph, truth)

        def answered(pairs: Sequence[Pair]) -> FloatArray:
            of = np.array([[true_one(a) for a in pair] for pair in pairs])
            known = np.asarray((of >= 0).all(axis=1))
            right = (of[:, 0] == of[:, 1]) & known
            size = np.array([min(graph.size(a), graph.size(b)) for a, b in pairs])
            found.append(FragmentPairs(graph.describe(pairs), right, size).select(known))
            if own is not None:
                return own(pairs)
            return np.where(right, [graph.strongest(a, b) for a, b in pairs], -math.inf)

        join_all(graph, answered, check.probability("sure", self.sure) if follow else math.inf)
        return FragmentPairs.concatenate(found)

    def _ask(self, graph: FragmentGraph, pairs: Sequence[Pair]) -> FloatArray:
        return ask(self.judge, graph.describe(pairs))

    def _answers(
        self, graph: FragmentGraph, semantic: Array | None
    ) -> Callable[[Sequence[Pair]], FloatArray]:
        """Make what judges pairs: minus infinity for those short of their threshold."""
        kinds = None if semantic is None else on_host(semantic)
        kind, classes = check.dense_groups(kinds, len(graph.fragment), name="semantic")
        limit = per_class("threshold", self.threshold, None if kinds is None else classes, check.probability)
        class_of = _Majority(graph, kind)

        def answers(pairs: Sequence[Pair]) -> FloatArray:
            p = self._ask(graph, pairs).copy()
            p[p < limit.min(initial=math.inf)] = -math.inf
            for i in np.flatnonzero((p >= 0) & (p < limit.max(initial=0.0))).tolist():
                if p[i] < max(limit[class_of(a)] for a in pairs[i]):
                    p[i] = -math.inf
            return p

        return answers

    def _fragments(
        self,
        edges: Array,
        affinity: Array,
        coords: Array,
        energy: Array,
        semantic: Array | None,
        event: Array | None,
    ) -> FragmentGraph:
        places = check.coordinate_rows(on_host(coords))
        n = len(places)
        ends = check.edge_rows(on_host(edges), n)
        strength = check.probabilities("affinity", check.affinity_rows(on_host(affinity), ends.shape[1]))
        number, _ = check.dense_groups(None if event is None else on_host(event), n, name="event")
        if (apart := np.flatnonzero(number[ends[0]] != number[ends[1]])).size:
            raise ValueError(f"edges must stay within an event: {len(apart)} do not, first edge {apart[0]}")
        if len(self.judge.classes) and semantic is None:
            raise ValueError(
                f"the judge tells the classes {list(self.judge.classes)} apart, so the class of each row is "
                "needed: pass semantic="
            )
        kinds = np.full(n, -1) if semantic is None else check.integer_rows("semantic", on_host(semantic), n)
        kind = np.full(n, -1, np.int64)
        for index, c in enumerate(self.judge.classes):
            kind[kinds == c] = index
        fragments = AffinityGraphClusterer(threshold=self.fragment_threshold, min_size=self.min_size)
        return FragmentGraph(
            Voxels(places, np.maximum(check.energy_rows(on_host(energy), n), 0.0), kind, number),
            fragments.fit_predict(ends, strength, n=n, semantic=None if semantic is None else kinds),
            ends,
            strength,
            radii=check.radii("radii", self.judge.radii),
            n_kinds=len(self.judge.classes),
        )


class _Majority:
    """The most frequent value among the rows of a fragment, of equally many the smallest."""

    def __init__(self, graph: FragmentGraph, values: IntArray) -> None:
        self._graph = graph
        self._number, self._values = check.dense_groups(values, len(values))
        self._known: dict[int, tuple[int, int]] = {}

    def __call__(self, a: int) -> int:
        size, value = self._known.get(a, (0, 0))
        if size != self._graph.size(a):
            size = self._graph.size(a)
            value = int(self._values[np.bincount(self._number[self._graph.rows(a)]).argmax()])
            self._known[a] = size, value
        return value


def _first_appearance(labels: IntArray) -> IntArray:
    """Count labels from 0 in order of first appearance."""
    first = np.full(labels.max(initial=-1) + 1, len(labels))
    first[labels[::-1]] = np.arange(len(labels))[::-1]  # of equal ones the last assignment stays
    rank = np.empty_like(first)
    rank[np.argsort(first)] = np.arange(len(first))
    return np.asarray(rank[labels])
