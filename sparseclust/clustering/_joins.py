"""The order in which fragments of an affinity graph are judged and joined."""

import heapq
import math
from collections.abc import Callable, Iterable, Iterator, Sequence

from sparseclust.clustering._fragments import FragmentGraph, Pair
from sparseclust.clustering._validate import FloatArray

# So many meetings of a fragment are judged anew whenever it changes; more of them when it has grown so much.
_MANY = 100
_GROWN = 1.1


def joins(
    graph: FragmentGraph, judged: Callable[[Sequence[Pair]], FloatArray], sure: float
) -> Iterator[float]:
    """Join all pairs that are sure, else the most probable one, judge those of the new fragments, and so on.

    Yields the probability of each pair before it is joined; pairs of minus infinity never are. Where a
    fragment meets very many, the pairs that a join leaves as they are wait until it has grown: else the
    judgements would grow with the square of the fragments.
    """
    heap: list[tuple[float, int, int]] = []
    current: dict[Pair, float] = {}
    judged_at: dict[int, int] = {}
    due = dict.fromkeys(graph.pairs())
    while due or heap:
        if due and not (heap and -heap[0][0] >= sure):
            pairs = [(a, b) for a, b in due if b in graph.meetings.get(a, ())]  # none that was joined since
            due.clear()
            for pair, p in zip(pairs, judged(pairs).tolist() if pairs else ()):
                if p > -math.inf:
                    current[pair] = p
                    heapq.heappush(heap, (-p, *pair))
            continue
        p, a, b = heapq.heappop(heap)
        if current.get((a, b)) != -p:
            continue  # one of them has changed since
        yield -p
        larger, smaller = graph.larger_first(a, b)
        theirs = {other: current.pop(_pair(smaller, other), -math.inf) for other in graph.meetings[smaller]}
        del theirs[larger]
        graph.join(larger, smaller)
        others: Iterable[int] = graph.meetings[larger]
        if len(graph.meetings[larger]) > _MANY and graph.size(larger) < _GROWN * judged_at.get(larger, 0):
            others = theirs
        else:
            judged_at[larger] = graph.size(larger)
        for other in others:
            pair = _pair(larger, other)
            before = max(current.pop(pair, -math.inf), theirs.get(other, -math.inf))
            if before < sure:
                due[pair] = None
            else:  # it stands, whatever else was joined
                current[pair] = before
                heapq.heappush(heap, (-before, *pair))


def join_all(graph: FragmentGraph, judged: Callable[[Sequence[Pair]], FloatArray], sure: float) -> None:
    """Join all that is to be joined; see :func:`joins`."""
    for _ in joins(graph, judged, sure):
        pass


def _pair(a: int, b: int) -> Pair:
    return (a, b) if a < b else (b, a)
