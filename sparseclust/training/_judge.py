"""Training of a judge that says which fragments belong together."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from sparseclust._optional import require
from sparseclust.clustering import AgglomerativeClusterer, FragmentJudge, FragmentPairs
from sparseclust.clustering._judge import kind_of_rows
from sparseclust.pipeline import Prediction
from sparseclust.training._graph import met_graph

# A wrong answer costs with the voxels that it moves, up to here.
_LARGE = 200
# A class of fewer pairs has not enough to learn from.
_OWN = 1000
# Against trees that know single events by heart: each sees a part of columns and pairs, and no small leaves.
_BOOSTING = {
    "min_data_in_leaf": 80,
    "lambda_l2": 5.0,
    "feature_fraction": 0.3,
    "bagging_fraction": 0.4,
    "bagging_freq": 1,
    "max_bin": 127,
}
_Nodes = list[tuple[int, float, int]]


def judge_examples(
    predictions: Iterable[Prediction], clusterer: AgglomerativeClusterer, *, follow: bool = False
) -> Iterator[FragmentPairs]:
    """Collect the pairs of fragments that a judge has to learn from, event by event.

    Parameters
    ----------
    predictions : iterable of Prediction
        Of events that carry the truth, with edges; their labels play no part.
    clusterer : AgglomerativeClusterer
        Whose fragments these are, and for whose judge.
    follow : bool
        As for :meth:`~sparseclust.clustering.AgglomerativeClusterer.examples`.

    Yields
    ------
    FragmentPairs
        As :meth:`~sparseclust.clustering.AgglomerativeClusterer.examples`; put them together with
        :meth:`~sparseclust.clustering.FragmentPairs.concatenate`.

    Raises
    ------
    ValueError
        If an event carries no true instances, or the network scored no edges.
    """
    for number, prediction in enumerate(predictions):
        instance = prediction.event.instance
        if instance is None:
            raise ValueError(f"event {number} carries no true instances to learn from")
        rows, edges, affinity, voxels = met_graph(prediction)
        yield clusterer.examples(edges, affinity, instance[rows], **voxels, follow=follow)


def train_judge(
    examples: FragmentPairs,
    *,
    classes: Sequence[int],
    radii: Sequence[float],
    weight: npt.ArrayLike | None = None,
    trees: int = 800,
    leaves: int = 31,
    learning_rate: float = 0.03,
    forests: int = 1,
    seed: int = 0,
    report: Callable[[int, float], object] | None = None,
) -> FragmentJudge:
    """Train a judge on pairs of fragments of which it is known whether they belong together.

    Parameters
    ----------
    examples : FragmentPairs
        Of thousands of events, from :func:`judge_examples`.
    classes, radii
        Those of the judge that the examples were collected for.
    weight : (m,) float, optional
        How much each pair counts, by default 1: less than others those of events of which there are more than
        their share, so that the judge's probabilities are right.
    trees, leaves : int
        How many trees each forest has, and how many leaves each of them at most.
    learning_rate : float
        What part of what each tree says is believed.
    forests : int
        Of so many forests per class the judge is the mean; of several, each learns from half of the pairs.
    seed : int
        The same seed gives the same judge, on the same machine.
    report : callable, optional
        Called after each tree, with its number, from 0 on for each forest, and the mean loss.

    Returns
    -------
    FragmentJudge

    Raises
    ------
    ValueError
        If there is no example of one of the two answers, weights are no numbers above 0, or there is to be no
        forest.

    Notes
    -----
    Gradient boosting with LightGBM, for each class by itself. Those with fewer than 1000 pairs, or with one
    answer alone, have the trees that the pairs of all classes give. Binary cross-entropy, weighted with the
    root of the voxels of the smaller fragment, of 200 at most. 100,000 pairs take half a minute on two cores.

    References
    ----------
    Friedman, Annals of Statistics 29 (2001) 1189; Ke et al., NeurIPS 2017.

    Examples
    --------
    >>> import numpy as np
    >>> from sparseclust.clustering import FragmentPairs
    >>> from sparseclust.training import train_judge
    >>> rows = np.random.default_rng(0).uniform(size=(9999, 12))
    >>> examples = FragmentPairs(rows, rows[:, 10] > 0.5, np.ones(9999, int))
    >>> judge = train_judge(examples, classes=(), radii=(8.0,), trees=100)
    >>> judge(np.linspace(0, 1, 2)[:, None].repeat(12, axis=1)).round().tolist()
    [0.0, 1.0]
    """
    if len(np.unique(examples.same)) < 2:
        raise ValueError(
            "a judge learns from pairs that belong together and from others; of "
            f"{len(examples.same)} given {np.count_nonzero(examples.same)} do: do instances touch?"
        )
    counts = np.broadcast_to(np.asarray(1.0 if weight is None else weight, np.float64), examples.same.shape)
    if not (np.isfinite(counts).all() and (counts > 0).all()):
        raise ValueError("weight must be finite numbers above 0")
    if forests < 1:
        raise ValueError(f"forests must be at least 1, got {forests}")
    counts = counts * np.sqrt(np.minimum(examples.size, _LARGE))
    settings = {
        "objective": "binary",
        "num_leaves": leaves,
        "learning_rate": learning_rate,
        "seed": seed,
        "deterministic": True,
        "force_row_wise": True,
        "verbose": -1,
        **_BOOSTING,
    }
    kinds = kind_of_rows(examples.rows, len(classes))
    learned: dict[int | None, list[_Nodes]] = {}
    grown: list[tuple[int, _Nodes]] = []
    for kind in range(max(len(classes), 1)):
        own = kinds == kind
        alone = np.count_nonzero(own) >= _OWN and len(np.unique(examples.same[own])) == 2
        key = kind if alone else None
        if key not in learned:
            rows = np.flatnonzero(own) if alone else np.arange(len(own))
            learned[key] = []
            for half in [rows] if forests == 1 else _halves(examples.same, rows, forests, seed):
                found = _grow(examples.select(half), counts[half], settings, trees, report)
                learned[key] += [[(f, v if f >= 0 else v / forests, c) for f, v, c in t] for t in found]
        grown += [(kind, nodes) for nodes in learned[key]]
    return _planted(grown, width=examples.rows.shape[1], classes=tuple(classes), radii=tuple(radii))


def _planted(grown: Sequence[tuple[int, _Nodes]], **options: Any) -> FragmentJudge:
    """Make a judge of trees and the class of each."""
    roots = np.cumsum([0, *(len(nodes) for _, nodes in grown)])
    feature, value, child = (np.array(column) for column in zip(*(n for _, nodes in grown for n in nodes)))
    begin = np.repeat(roots[:-1], np.diff(roots))
    # Down to single precision: to the nearest could be the next higher number of a column.
    limit = value.astype(np.float32)
    lower = np.where(limit > value, np.nextafter(limit, np.float32(-np.inf)), limit)
    return FragmentJudge(
        feature.astype(np.int16),
        np.where(feature < 0, limit, lower),
        np.where(feature < 0, 0, child + begin).astype(np.int32),
        roots[:-1].astype(np.int32),
        np.array([kind for kind, _ in grown], np.int16),
        **options,
    )


def _halves(
    same: npt.NDArray[np.bool_], rows: npt.NDArray[np.int64], n: int, seed: int
) -> Iterator[npt.NDArray[np.int64]]:
    """Draw half of ``rows`` so many times, of either answer alike."""
    rng = np.random.default_rng(seed)
    for _ in range(n):
        of_answers = (rng.permutation(rows[same[rows] == answer]) for answer in (False, True))
        yield np.sort(np.concatenate([answer[: (len(answer) + 1) // 2] for answer in of_answers]))


def _grow(
    examples: FragmentPairs,
    weight: npt.NDArray[np.float64],
    settings: Mapping[str, Any],
    trees: int,
    report: Callable[[int, float], object] | None,
) -> list[_Nodes]:
    """Boost trees; of each, its nodes, the root first."""
    lightgbm = require("lightgbm", extra="train")
    rows = examples.rows.astype(np.float32, copy=False)  # in which a judge compares
    data = lightgbm.Dataset(rows, examples.same.astype(np.float32), weight=weight / weight.mean())
    watched: dict[str, Any] = {}
    if report is not None:
        watched["valid_sets"] = [data]
        watched["callbacks"] = [lambda state: report(state.iteration, state.evaluation_result_list[0][2])]
    booster = lightgbm.train(dict(settings), data, trees, **watched)
    return _trees(booster)


def _trees(booster: Any) -> list[_Nodes]:
    return [_nodes(tree["tree_structure"]) for tree in booster.dump_model()["tree_info"]]


def _nodes(root: Mapping[str, Any]) -> _Nodes:
    """Column, threshold or value, and first child of each node; the second child is the next one."""
    nodes: _Nodes = [(-1, 0.0, 0)]
    todo = [(0, root)]
    while todo:
        place, node = todo.pop()
        if "leaf_value" in node:
            nodes[place] = -1, node["leaf_value"], 0
            continue
        first = len(nodes)
        nodes[place] = node["split_feature"], node["threshold"], first
        nodes += [(-1, 0.0, 0)] * 2
        todo += [(first, node["left_child"]), (first + 1, node["right_child"])]
    return nodes
