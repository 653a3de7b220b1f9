"""The definitions, written down as they are read: exact, slow, for tests and for doubt.

Clusters are sets of points. Nothing here is shared with the fast path.
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from fractions import Fraction


def clusters(labels: Sequence[int]) -> list[set[int]]:
    """Collect the points of each label, in ascending order of the labels."""
    return [{i for i, other in enumerate(labels) if other == label} for label in sorted(set(labels))]


def adjusted_rand_score(true: Sequence[int], pred: Sequence[int]) -> Fraction:
    """Count the pairs of points one by one."""
    pairs = list(itertools.combinations(range(len(true)), 2))
    in_true = sum(true[i] == true[j] for i, j in pairs)
    in_pred = sum(pred[i] == pred[j] for i, j in pairs)
    together = sum(true[i] == true[j] and pred[i] == pred[j] for i, j in pairs)
    chance = Fraction(in_true * in_pred, max(1, len(pairs)))
    most = Fraction(in_true + in_pred, 2)
    return Fraction(1) if most == chance else (together - chance) / (most - chance)


def efficiency(true: Sequence[int], pred: Sequence[int]) -> Fraction:
    """Mean over true clusters of the largest fraction in one predicted cluster."""
    fractions = [max(Fraction(len(t & p), len(t)) for p in clusters(pred)) for t in clusters(true)]
    return sum(fractions, Fraction(0)) / len(fractions)


def purity(true: Sequence[int], pred: Sequence[int]) -> Fraction:
    """Mean over predicted clusters of the largest fraction in one true cluster."""
    return efficiency(pred, true)


def best_dice(true: Sequence[int], pred: Sequence[int]) -> Fraction:
    """Mean over true clusters of the largest Dice coefficient."""
    dice = [max(Fraction(2 * len(t & p), len(t) + len(p)) for p in clusters(pred)) for t in clusters(true)]
    return sum(dice, Fraction(0)) / len(dice)


def mutual_information(true: Sequence[int], pred: Sequence[int]) -> float:
    """I(true; pred) in nats."""
    n = len(true)
    cells = [(len(t & p), len(t), len(p)) for t in clusters(true) for p in clusters(pred) if t & p]
    return math.fsum(k / n * math.log(Fraction(k * n, a * b)) for k, a, b in cells)


def expected_mutual_information(true: Sequence[int], pred: Sequence[int]) -> float:
    """E[I] in nats, from exact hypergeometric probabilities."""
    n = len(true)
    return math.fsum(
        float(Fraction(math.comb(a, k) * math.comb(n - a, b - k), math.comb(n, b)))
        * (k / n * math.log(Fraction(k * n, a * b)))
        for a in map(len, clusters(true))
        for b in map(len, clusters(pred))
        for k in range(max(1, a + b - n), min(a, b) + 1)
    )


def match_instances(true: Sequence[int], pred: Sequence[int], threshold: float) -> tuple[int, Fraction]:
    """Return the number of pairs, and the sum of IoU, of the best of all one-to-one matchings."""
    sides = clusters(true), clusters(pred)
    iou = [[Fraction(len(t & p), len(t | p)) for p in sides[1]] for t in sides[0]]
    return max(_matchings(iou, threshold, 0, frozenset()))


def _matchings(
    iou: list[list[Fraction]], threshold: float, row: int, used: frozenset[int]
) -> Iterator[tuple[int, Fraction]]:
    if row == len(iou):
        yield 0, Fraction(0)
        return
    yield from _matchings(iou, threshold, row + 1, used)
    for column, value in enumerate(iou[row]):
        # rounded like any IoU: 3/5 is not larger than 0.6, although the float 0.6 is a little less
        if float(value) > threshold and column not in used:
            for pairs, total in _matchings(iou, threshold, row + 1, used | {column}):
                yield pairs + 1, total + value
