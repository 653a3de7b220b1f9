"""Fragments of an affinity graph, joined by a judge."""

import pickle

import numpy as np
import pytest
import scipy.sparse
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sparseclust.clustering import (
    AffinityGraphClusterer,
    AgglomerativeClusterer,
    FragmentJudge,
    FragmentPairs,
    _fragments,
    _reference,
    bridge_edges,
    connected_components,
    neighbour_edges,
)

RADII = (2.0, 5.0, 9.0)
STRONGEST = 10  # where the largest affinity is in a row, with two classes


class Stand:
    """A judge that looks at one number."""

    classes, radii = (0, 1), RADII

    def __init__(self, column=STRONGEST):
        self.column = column

    def __call__(self, rows):
        return rows[:, self.column]


def random_judge(seed=0, *, trees=60):
    """So many trees, three random splits deep, that hardly any two pairs are told the same."""
    rng = np.random.default_rng(seed)
    width = _fragments.row_length(len(RADII), 2)
    inner = np.arange(15) < 7
    feature = np.where(inner, rng.integers(0, width, (trees, 15)), -1)
    value = np.where(inner, rng.uniform(0, 2, (trees, 15)), rng.normal(0, 3 / trees**0.5, (trees, 15)))
    child = np.where(inner, 2 * np.arange(15) + 1 + 15 * np.arange(trees)[:, None], 0)
    roots, kind = 15 * np.arange(trees), np.arange(trees) % 2
    return FragmentJudge(feature.ravel(), value.ravel(), child.ravel(), roots, kind, width, (0, 1), RADII)


def event(seed, *, n=90, ndim=3):
    """Random voxels, many of which touch, with their edges and bridges, of two classes."""
    rng = np.random.default_rng(seed)
    size = {1: 300, 2: 17, 3: 8, 4: 5}[ndim]
    coords = rng.permutation(np.unique(rng.integers(-size // 2, size - size // 2, (n, ndim)), axis=0))
    edges = neighbour_edges(coords)
    edges = np.concatenate([edges, bridge_edges(coords, connected_components(coords), radius=4.0)], axis=1)
    semantic = rng.integers(0, 2, len(coords))
    return {
        "edges": edges,
        "affinity": rng.random(edges.shape[1]),
        "coords": coords,
        "energy": rng.exponential(size=len(coords)),
        "semantic": semantic,
    }


def clusterer(**changes):
    return AgglomerativeClusterer(
        **({"judge": random_judge(), "fragment_threshold": 0.7, "min_size": 2} | changes)
    )


def same(a, b):
    return np.array_equal(a[:, None] == a, b[:, None] == b)


def meetings(e, fragment):
    """Every two fragments that meet, the larger one first, with their edges."""
    for a in range(fragment.max() + 1):
        for b in range(a + 1, fragment.max() + 1):
            ends = fragment[e["edges"]]
            between = (np.sort(ends, axis=0) == [[a], [b]]).all(axis=0) & (e["affinity"] >= 0.01)
            if between.any():
                sides = [np.flatnonzero(fragment == c) for c in (a, b)]
                larger = sorted(sides, key=lambda r: (len(r), e["energy"][r].sum()), reverse=True)
                yield (a, b), tuple(larger), np.flatnonzero(between)


def described(e, sides, between):
    return _reference.describe_pair(
        e["coords"].astype(float),
        e["energy"],
        e["semantic"],
        sides,
        e["edges"][:, between],
        e["affinity"][between],
        radii=RADII,
        near=_fragments.NEAR,
        n_kinds=2,
    )


@pytest.mark.parametrize("ndim", [1, 2, 3, 4])
@pytest.mark.parametrize("seed", range(5))
def test_descriptions_equal_the_reference(seed, ndim):
    e = event(seed, ndim=ndim)
    seen = []

    class Looking(Stand):
        def __call__(self, rows):
            seen.append(rows.copy())
            return np.zeros(len(rows))

    clusterer(judge=Looking(), threshold=1.0).fit_predict(**e)
    fragment = AffinityGraphClusterer(threshold=0.7, min_size=2).fit_predict(
        e["edges"], e["affinity"], n=len(e["coords"])
    )
    expected = [described(e, sides, between) for _, sides, between in meetings(e, fragment)]
    assert len(seen) == 1
    assert seen[0].shape == (len(expected), _fragments.row_length(3, 2))
    assert len(expected) > 3
    # The root of a width that is 0 but for rounding.
    np.testing.assert_allclose(seen[0], expected, atol=1e-7)


def slowly(e, judge, threshold, sure):
    """Judge all pairs, join those that are sure or else the best one, begin anew; thresholds per class."""
    fragment = AffinityGraphClusterer(threshold=0.7, min_size=2).fit_predict(
        e["edges"], e["affinity"], n=len(e["coords"])
    )
    while True:
        pairs = list(meetings(e, fragment))
        rows = np.array([described(e, sides, between) for _, sides, between in pairs])
        p = judge(rows) if pairs else np.zeros(0)
        limit = [
            max(threshold[np.bincount(e["semantic"][r]).argmax()] for r in sides) for _, sides, _ in pairs
        ]
        p[p < limit] = -1.0
        if p.max(initial=-1.0) < 0:
            return fragment
        joined = [a_b for (a_b, _, _), q in zip(pairs, p) if q >= min(p.max(), sure)]
        of = connected(joined, fragment.max() + 1)
        fragment = np.unique(of[fragment], return_inverse=True)[1]


def connected(pairs, n):
    pairs = np.array(pairs).T
    return scipy.sparse.csgraph.connected_components(
        scipy.sparse.coo_array((np.ones(pairs.shape[1]), pairs), shape=(n, n)), directed=False
    )[1]


@pytest.mark.parametrize("sure", [0.0, 0.6, 0.8, 1.0])
@pytest.mark.parametrize(
    "threshold", [dict.fromkeys(range(3), t) for t in (0.3, 0.5, 0.9)] + [{0: 0.3, 1: 0.9, 2: 0.5}]
)
@pytest.mark.parametrize("seed", range(6))
def test_joins_equal_the_reference(seed, threshold, sure):
    e = event(seed)
    judge = random_judge(seed)
    labels = clusterer(judge=judge, threshold=threshold, sure=sure).fit_predict(**e)
    assert same(labels, slowly(e, judge, threshold, sure))


@pytest.mark.parametrize(("sure", "asked"), [(0.8, [11]), (0.9, [11]), (1.0, [11, *[1] * 10])])
def test_of_pairs_that_are_sure_the_judge_is_asked_once(sure, asked):
    calls = []

    class Noting(Stand):
        def __call__(self, rows):
            calls.append(len(rows))
            return np.full(len(rows), 0.9)

    line = {"coords": np.arange(12)[:, None], "energy": np.ones(12), "semantic": np.zeros(12, int)}
    edges = np.array([np.arange(11), np.arange(1, 12)])
    one = clusterer(judge=Noting(), sure=sure, min_size=1).fit_predict(edges, np.full(11, 0.5), **line)
    assert not one.any()
    assert calls == asked


def test_how_sure_a_pair_is_does_not_depend_on_the_thresholds_of_others():
    """Once asked about a line of one class, also beside a voxel of a class with a higher threshold."""
    calls = []

    class Noting(Stand):
        def __call__(self, rows):
            calls.append(len(rows))
            return np.full(len(rows), 0.8)

    line = {"coords": np.arange(13)[:, None], "energy": np.ones(13), "semantic": np.arange(13) // 12}
    edges = np.array([np.arange(11), np.arange(1, 12)])
    one = clusterer(judge=Noting(), threshold={0: 0.3, 1: 0.9}, sure=0.6, min_size=1)
    assert one.fit_predict(edges, np.full(11, 0.5), **line).tolist() == [0] * 12 + [1]
    assert calls == [11]


@pytest.mark.parametrize("sure", [0.0, 0.5, 0.995])
@pytest.mark.parametrize("seed", range(4))
def test_a_scan_labels_as_each_threshold_does(seed, sure):
    e = event(seed)
    thresholds = [0.9, 0.0, 0.4, 0.4, 0.65, 1.0]
    found = clusterer(sure=sure).scan(e["edges"], e["affinity"], thresholds, **rest(e))
    for threshold, labels in zip(thresholds, found):
        assert np.array_equal(labels, clusterer(threshold=threshold, sure=sure).fit_predict(**e))
    assert clusterer(sure=sure).scan(e["edges"], e["affinity"], [], **rest(e)).shape == (0, len(labels))


def rest(e):
    return {name: e[name] for name in ("coords", "energy", "semantic")}


@pytest.mark.parametrize("seed", range(4))
def test_neither_order_nor_place_nor_orientation_matters(seed):
    e = event(seed)
    seen = []

    class Looking(FragmentJudge):
        def __call__(self, rows):
            seen.append(rows.copy())
            return super().__call__(rows)

    made = random_judge(seed)
    looking = Looking(**made.arrays(), width=made.width, classes=made.classes, radii=made.radii)
    labels = clusterer(judge=looking, threshold=0.8).fit_predict(**e)
    assert len(np.unique(labels)) > 2
    first = seen[0]
    seen.clear()
    rng = np.random.default_rng(seed)
    rows, order = rng.permutation(len(labels)), rng.permutation(e["edges"].shape[1])
    place = np.argsort(rows)
    moved = {name: e[name][rows] for name in ("coords", "energy", "semantic")}
    moved["coords"] = moved["coords"][:, [2, 0, 1]] * [1, -1, 1] + [-700, 10_000, 3]
    edges = place[e["edges"][::-1, order]]
    again = clusterer(judge=looking, threshold=0.8).fit_predict(edges, e["affinity"][order], **moved)
    assert same(again[place], labels)
    assert len(first) == len(seen[0]) > 10
    for row in first:
        assert np.abs(seen[0] - row).max(axis=1).min() < 1e-7


def test_events_do_not_see_each_other():
    parts = [event(seed) for seed in range(3)]
    apart = [clusterer().fit_predict(**e) for e in parts]
    splits = np.cumsum([0, *(len(e["coords"]) for e in parts)])
    together = {name: np.concatenate([e[name] for e in parts]) for name in ("coords", "energy", "semantic")}
    edges = np.concatenate([e["edges"] + begin for e, begin in zip(parts, splits)], axis=1)
    number = np.repeat([7, -3, 9], np.diff(splits))
    labels = clusterer().fit_predict(
        edges, np.concatenate([e["affinity"] for e in parts]), event=number, **together
    )
    for begin, end, own in zip(splits, splits[1:], apart):
        assert same(labels[begin:end], own)
    assert len(np.unique(labels)) == sum(len(np.unique(own)) for own in apart)
    with pytest.raises(ValueError, match="edges must stay within an event: 1 do not, first edge 0"):
        clusterer().fit_predict(
            [[0], [1]], [0.5], coords=[[0], [1]], energy=[1, 1], semantic=[0, 0], event=[0, 1]
        )


@pytest.mark.parametrize("spokes", [50, 400])
def test_judgements_grow_with_the_pairs_not_with_their_square(spokes):
    """A wheel: a hub, and rim pieces that meet it and the next one."""
    calls = []

    class Noting(Stand):
        def __call__(self, rows):
            calls.append(len(rows))
            return 0.5 + 0.4 * np.cos(100 * rows[:, 4])

    rim = np.arange(1, spokes + 1)
    edges = np.concatenate([np.stack([np.zeros_like(rim), rim]), np.stack([rim[:-1], rim[1:]])], axis=1)
    affinity = np.random.default_rng(0).uniform(0.05, 0.5, edges.shape[1])
    coords = np.stack([np.arange(spokes + 1), np.arange(spokes + 1) % 2, np.zeros(spokes + 1, int)], axis=1)
    same = {"coords": coords, "energy": np.ones(spokes + 1), "semantic": np.zeros(spokes + 1, int)}
    labels = clusterer(judge=Noting(), threshold=0.0, min_size=1).fit_predict(edges, affinity, **same)
    assert not labels.any()
    if spokes <= 100:  # every pair of what a join changes
        assert sum(calls) > 6 * edges.shape[1]
    else:
        assert sum(calls) < 30 * edges.shape[1] < spokes**2 / 2


def test_who_says_no_keeps_the_fragments_and_who_says_yes_joins_all_that_meets():
    e = event(0)
    fragments = AffinityGraphClusterer(threshold=0.7, min_size=2).fit_predict(
        e["edges"], e["affinity"], n=len(e["coords"])
    )
    never, always = Stand(), Stand()
    never.__class__ = type("Never", (Stand,), {"__call__": lambda self, rows: np.zeros(len(rows))})
    always.__class__ = type("Always", (Stand,), {"__call__": lambda self, rows: np.ones(len(rows))})
    assert np.array_equal(clusterer(judge=never).fit_predict(**e), fragments)
    strong = e["edges"][:, e["affinity"] >= 0.01]
    whole = AffinityGraphClusterer(threshold=0.0, min_size=1).fit_predict(
        strong, np.ones(strong.shape[1]), n=len(e["coords"])
    )
    assert same(clusterer(judge=always).fit_predict(**e), whole)


def test_thresholds_per_class_go_by_the_majority_and_the_higher_one():
    # Two fragments of three voxels in a row, with an edge of 0.6 between them.
    line = {"coords": np.arange(6)[:, None], "energy": np.ones(6)}
    graph = (np.array([np.arange(5), np.arange(1, 6)]), np.array([0.99, 0.99, 0.6, 0.99, 0.99]))
    limits = {0: 0.5, 1: 0.7}

    def pieces(semantic):
        found = clusterer(judge=Stand(), threshold=limits, min_size=1).fit_predict(
            *graph, semantic=semantic, **line
        )
        return found.max() + 1

    assert pieces([0, 0, 0, 0, 0, 0]) == 1
    assert pieces([1, 1, 1, 1, 1, 1]) == 2
    assert pieces([0, 1, 0, 0, 0, 1]) == 1  # mostly of class 0
    assert pieces([0, 0, 0, 1, 1, 0]) == 2
    with pytest.raises(ValueError, match=r"threshold has no value for the classes \[5\]"):
        pieces([0, 0, 0, 5, 5, 5])


@pytest.mark.parametrize("n", [0, 1])
def test_few_voxels(n):
    empty = np.zeros((2, 0), int), np.zeros(0)
    labels = clusterer().fit_predict(
        *empty, coords=np.zeros((n, 3), int), energy=np.ones(n), semantic=np.zeros(n, int)
    )
    assert labels.tolist() == [0] * n
    found = clusterer().scan(
        *empty, [0.1, 0.9], coords=np.zeros((n, 3), int), energy=np.ones(n), semantic=np.zeros(n, int)
    )
    assert found.tolist() == [[0] * n] * 2


def test_equal_voxels_and_energies_of_zero_or_below():
    labels = clusterer().fit_predict(
        [[0, 1, 2], [1, 2, 3]],
        [0.5, 0.5, 0.5],
        coords=[[0, 0], [0, 0], [0, 0], [0, 1]],
        energy=[0.0, -3.0, 0.0, 0.0],
        semantic=[0, 0, 0, 1],
    )
    assert len(labels) == 4


def test_tensors_and_any_layout():
    e = event(1)
    labels = clusterer().fit_predict(**e)
    tensors = {name: torch.from_numpy(values) for name, values in e.items()}
    found = clusterer().fit_predict(**tensors)
    assert isinstance(found, torch.Tensor)
    assert np.array_equal(found.numpy(), labels)
    frozen = {name: np.asfortranarray(values) for name, values in e.items()}
    for values in frozen.values():
        values.flags.writeable = False
    assert np.array_equal(clusterer().fit_predict(**frozen), labels)
    narrow = e | {"coords": e["coords"].astype(np.int16), "affinity": e["affinity"].astype(np.float32)}
    assert len(clusterer().fit_predict(**narrow)) == len(labels)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"energy": [1.0]}, r"energy must have shape \(\d+,\), one value per row"),
        ({"energy": np.nan}, "energy must be finite"),
        ({"affinity": 1.5}, "affinity must lie between 0 and 1"),
        ({"semantic": None}, r"the judge tells the classes \[0, 1\] apart.*pass semantic="),
        ({"edges": np.array([[0], [999]]), "affinity": [0.5]}, "edges must join rows 0 to"),
    ],
)
def test_wrong_input_is_told(change, message):
    e = event(0)
    for name, value in change.items():
        e[name] = np.full(len(e[name]), value) if isinstance(value, float) else value
    with pytest.raises(ValueError, match=message):
        clusterer().fit_predict(**e)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threshold": 1.5}, "threshold must lie between 0 and 1"),
        ({"sure": -0.5}, "sure must lie between 0 and 1"),
        ({"judge": Stand(column=slice(0, 2))}, "the judge must give .* one per pair"),
    ],
)
def test_wrong_options_are_told(options, message):
    with pytest.raises(ValueError, match=message):
        clusterer(**options).fit_predict(**event(0))


@pytest.mark.parametrize("radii", [(), (3.0, 3.0), (0.0, 2.0), (np.inf,), (-1.0,)])
def test_radii_must_rise(radii):
    judge = Stand()
    judge.radii = radii
    with pytest.raises(ValueError, match="radii must be rising distances above 0 in voxels"):
        clusterer(judge=judge).fit_predict(**event(0))


def test_a_judge_refuses_rows_that_it_did_not_learn_from():
    with pytest.raises(ValueError, match=r"rows must have shape \(m, \d+\) as those it learned from"):
        random_judge()(np.zeros((3, 5)))


@pytest.mark.parametrize("seed", range(4))
def test_examples_join_what_belongs_together(seed):
    e = event(seed)
    instance = np.random.default_rng(seed).integers(0, 3, len(e["coords"]))
    found = clusterer(fragment_threshold=0.99, min_size=1).examples(
        e["edges"], e["affinity"], instance, **rest(e)
    )
    assert len(found.rows) == len(found.same) == len(found.size) > 10
    # Every fragment is one voxel at first: as many pairs as edges.
    assert np.count_nonzero(found.size == 1) >= len(np.unique(np.sort(e["edges"], axis=0), axis=1)[0]) / 2
    assert 0 < found.same.sum() < len(found.same)


def test_examples_on_the_own_way_are_those_that_the_clusterer_judged():
    e = event(2)
    judged = []

    class Noting(Stand):
        def __call__(self, rows):
            judged.append(rows.copy())
            return rows[:, STRONGEST]

    noting = clusterer(judge=Noting(), threshold=0.4)
    noting.fit_predict(**e)
    expected = np.concatenate(judged)
    instance = np.where(np.arange(len(e["coords"])) < 40, -1, 1)
    everything = noting.examples(e["edges"], e["affinity"], np.ones_like(instance), **rest(e), follow=True)
    assert np.array_equal(everything.rows, expected)
    assert everything.same.all()
    known = noting.examples(e["edges"], e["affinity"], instance, **rest(e), follow=True)
    assert 0 < len(known.rows) < len(expected)
    both = FragmentPairs.concatenate([everything, known])
    assert {len(values) for values in both} == {len(expected) + len(known.rows)}


@pytest.mark.parametrize("seed", range(3))
def test_a_judge_is_the_sum_of_its_leaves(seed):
    judge = random_judge(seed, trees=9)
    rows = np.random.default_rng(seed).uniform(0, 2, (50, judge.width))
    rows[0, :] = judge.value[0]  # what equals a threshold goes to the first child

    def leaf(row, node):
        while judge.feature[node] >= 0:
            larger = row[judge.feature[node]] > judge.value[node]
            node = judge.child[node] + (1 if larger else 0)
        return float(judge.value[node])

    # Voxels of a fragment and their shares of both classes, of the larger one, then of the smaller one.
    rows[:, [0, 3, 4]], rows[:, [5, 8, 9]] = [np.log1p(9), 0.5, 0.5], [np.log1p(4), 0.0, 1.0]
    rows[::2, 8:10] = 1.0, 0.0
    log_odds = [
        sum(leaf(row, root) for root in judge.root[judge.kind == number % 2])
        for number, row in enumerate(rows)
    ]
    np.testing.assert_allclose(judge(rows), 1 / (1 + np.exp(-np.array(log_odds))), rtol=1e-12)
    assert np.ptp(log_odds) > 1
    assert judge == random_judge(seed, trees=9)
    assert judge != random_judge(seed, trees=8)


@pytest.mark.parametrize("radius", [0.5, 2.0, 7.0, 30.0])
def test_what_lies_near_is_counted_whatever_the_radii(radius):
    edges, affinity = np.array([[0], [1]]), np.array([0.5])
    for x in [*range(-14, 0), *range(2, 16)]:
        n = 3
        voxels = _fragments.Voxels(
            np.array([[0], [1], [x]]), np.ones(n), np.full(n, -1, np.int64), np.zeros(n, np.int64)
        )
        graph = _fragments.FragmentGraph(voxels, np.arange(n), edges, affinity, radii=[radius], n_kinds=0)
        [row] = graph.describe([(0, 1)])
        near = abs(x - 0.5) <= _fragments.NEAR
        np.testing.assert_allclose(row[-len(near) :], np.log1p(near.astype(np.float64)))


def test_a_judge_can_be_sent():
    judge = random_judge()
    again = pickle.loads(pickle.dumps(judge))
    assert again == judge
    rows = np.random.default_rng(0).uniform(0, 2, (9, judge.width))
    assert np.array_equal(again(rows), judge(rows))


def walk(judge, row, kind):
    """Sum of the leaves of one row, step by step."""
    total = 0.0
    for root, of in zip(judge.root, judge.kind):
        node = root
        while judge.feature[node] >= 0:
            node = judge.child[node] + (1 if row[judge.feature[node]] > judge.value[node] else 0)
        total += float(judge.value[node]) if of == kind else 0.0
    return total


@settings(deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 30), st.integers(1, 12))
def test_trees_of_any_shape_equal_a_walk(seed, trees, splits):
    rng = np.random.default_rng(seed)
    feature, value, child, root = [], [], [], []
    for _ in range(trees):
        root.append(len(feature))
        leaves = [len(feature)]
        feature, value, child = [*feature, -1], [*value, rng.normal()], [*child, 0]
        for _ in range(rng.integers(0, splits + 1)):
            node = leaves.pop(rng.integers(len(leaves)))
            feature[node], value[node], child[node] = (
                rng.integers(5),
                rng.choice([-0.5, 0.0, 0.5]),
                len(feature),
            )
            leaves += [len(feature), len(feature) + 1]
            feature, value, child = [*feature, -1, -1], [*value, *rng.normal(size=2)], [*child, 0, 0]
    width = 2 * (_fragments.PER_WHOLE + 2)
    kind = rng.integers(0, 2, trees)
    judge = FragmentJudge(feature, value, child, root, kind, width, (0, 1), RADII)
    rows = rng.choice([-np.inf, -0.5, 0.0, 0.25, 0.5, 3.0, np.inf, np.nan], (6, width))
    rows[:, [0, width // 2]] = np.log1p([3, 2])  # voxels of each side, and the shares of both classes
    rows[:, _fragments.PER_WHOLE] = own = rng.integers(0, 2, 6)
    rows[:, [_fragments.PER_WHOLE + 1, -2, -1]] = np.stack([1 - own, own, 1 - own], axis=1)
    expected = [1 / (1 + np.exp(-walk(judge, row, int(not of)))) for row, of in zip(rows, own)]
    np.testing.assert_allclose(judge(rows), expected, rtol=1e-12)


@pytest.mark.parametrize(
    "change",
    [
        {"value": [0.5, 0.0]},  # one too few
        {"feature": [2, -1, -1]},  # of two columns
        {"child": [2, 0, 0]},  # the second child would lie outside
        {"child": [0, 0, 0]},  # its own child
        {"root": [3]},
        {"kind": [1]},  # of one class
        {"kind": [0, 0]},
    ],
)
def test_what_makes_no_trees_is_refused(change):
    tree = {"feature": [0, -1, -1], "value": [0.5, -1.0, 1.0], "child": [1, 0, 0], "root": [0], "kind": [0]}
    assert FragmentJudge(**tree, width=2)(np.array([[0.4, 0.0], [0.6, 0.0]])).round().tolist() == [0, 1]
    with pytest.raises(ValueError, match="features, values and children must be of the same nodes"):
        FragmentJudge(**(tree | change), width=2)


def test_pairs_can_be_chosen():
    e = event(0)
    instance = np.random.default_rng(0).integers(0, 3, len(e["coords"]))
    found = clusterer(min_size=1).examples(e["edges"], e["affinity"], instance, **rest(e))
    chosen = found.select(found.same)
    assert 0 < len(chosen.rows) == len(chosen.size) == found.same.sum() < len(found.same)
    assert chosen.same.all()
    assert np.array_equal(found.select(np.flatnonzero(found.same)).rows, chosen.rows)
