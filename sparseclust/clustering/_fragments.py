"""Fragments of an affinity graph, and what pairs of them look like where they meet."""

import itertools
import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from sparseclust._voxels import pack_keys, stable_order
from sparseclust.clustering import _kernels_fragments
from sparseclust.clustering._validate import FloatArray, IntArray

# Weaker edges are no evidence of a meeting.
WEAKEST = 0.01
# Around a contact, in voxels: what else lies there.
NEAR = np.array([3.0, 10.0])
# Of a whole fragment, beside the shares of classes: voxels, energy, root mean square of its voxels' energies.
PER_WHOLE = 3

Pair = tuple[int, int]


class Voxels(NamedTuple):
    """Checked voxels of one or more events.

    Attributes
    ----------
    coords : (n, ndim) int64
    energy : (n,) float64
    kind : (n,) int64
        Index of the class among those that are told apart, -1 for others.
    event : (n,) int64
    """

    coords: IntArray
    energy: FloatArray
    kind: IntArray
    event: IntArray


def row_length(n_radii: int, n_kinds: int) -> int:
    """Return how many numbers describe a pair."""
    k = _kernels_fragments
    per_radius = 2 * (k.PER_SIDE + k.PER_OTHERS) + k.BETWEEN + 4 * k.BESIDE
    return k.PER_MEETING + n_radii * per_radius + len(NEAR) + n_kinds + 2 * (PER_WHOLE + n_kinds)


class FragmentGraph:
    """Fragments, which of them meet, and what they look like there. Fragments can be joined.

    A fragment goes by a number below ``n``; when two are joined, by that of the larger one.
    """

    def __init__(
        self,
        voxels: Voxels,
        fragment: IntArray,
        edges: IntArray,
        affinity: FloatArray,
        *,
        radii: Sequence[float],
        n_kinds: int,
    ) -> None:
        n = int(fragment.max(initial=-1)) + 1
        self.fragment = fragment.copy()
        self._voxels = voxels
        first, second = fragment[edges]
        between = (first != second) & (affinity >= WEAKEST)
        self._edges, self._affinity = edges[:, between], affinity[between]
        self._radii = np.array(radii, np.float64)
        self._cells = _cells(voxels, self._edges, max(self._radii[-1], NEAR[-1]))
        self._places = voxels.coords.astype(np.float64)
        order = stable_order(fragment)
        self._size = np.bincount(fragment, minlength=n)
        # In parts, for it is rarely asked which these are.
        splits = itertools.pairwise([0, *np.cumsum(self._size).tolist()])
        self._rows = {a: [order[begin:end]] for a, (begin, end) in enumerate(splits)}
        self._energy = np.bincount(fragment, weights=voxels.energy, minlength=n)
        # What orders two of them, and cheap to look at one by one.
        self._rank = list(zip(self._size.tolist(), self._energy.tolist(), range(0, -n, -1)))
        self._squares = np.bincount(fragment, weights=np.square(voxels.energy), minlength=n)
        known = voxels.kind >= 0
        votes = fragment[known] * n_kinds + voxels.kind[known]
        self._votes = np.bincount(votes, minlength=n * n_kinds).reshape(n, n_kinds)
        self.meetings: dict[int, dict[int, IntArray]] = {number: {} for number in range(n)}
        for a, b, meeting in _meetings(fragment[self._edges]):
            self.meetings[a][b] = self.meetings[b][a] = meeting

    def pairs(self) -> list[Pair]:
        """Fragments that meet, the smaller number first."""
        return [(a, b) for a, others in self.meetings.items() for b in others if a < b]

    def size(self, a: int) -> int:
        """Return the number of voxels of a fragment."""
        size: int = self._rank[a][0]
        return size

    def rows(self, a: int) -> IntArray:
        """Voxels of a fragment."""
        if len(self._rows[a]) > 1:
            self._rows[a] = [np.concatenate(self._rows[a])]
        return self._rows[a][0]

    def strongest(self, a: int, b: int) -> float:
        """Return the largest affinity of the edges between two fragments that meet."""
        return float(self._affinity[self.meetings[a][b]].max())

    def describe(self, pairs: Sequence[Pair]) -> FloatArray:
        """One row per pair, the larger fragment first, so that the order of a pair does not matter."""
        ends = np.array([self.larger_first(*pair) for pair in pairs], np.int64).reshape(-1, 2)
        between = [self.meetings[a][b] for a, b in pairs]
        splits = np.cumsum([0, *map(len, between)])
        chosen = np.concatenate(between) if between else np.zeros(0, np.int64)
        v, n_kinds = self._voxels, self._votes.shape[1]
        out = np.empty((len(ends), row_length(len(self._radii), n_kinds)))
        wholes = 2 * (PER_WHOLE + n_kinds)
        out[:, :wholes] = self._wholes(ends.ravel()).reshape(-1, wholes)
        _kernels_fragments.describe_pairs(
            self._places,
            v.energy,
            v.kind,
            self.fragment,
            self._cells,
            ends,
            splits,
            self._edges[:, chosen],
            self._affinity[chosen],
            self._radii,
            NEAR,
            out[:, wholes:],
        )
        return out

    def join(self, a: int, b: int) -> int:
        """Make one fragment of two, and return its number."""
        a, b = self.larger_first(a, b)
        self.fragment[self.rows(b)] = a
        self._rows[a] += self._rows.pop(b)
        self._size[a] += self._size[b]
        self._energy[a] += self._energy[b]
        self._rank[a] = int(self._size[a]), float(self._energy[a]), -a
        self._squares[a] += self._squares[b]
        self._votes[a] += self._votes[b]
        mine = self.meetings[a]
        for other, between in self.meetings.pop(b).items():
            del self.meetings[other][b]
            if other != a:
                both = np.sort(np.concatenate([mine[other], between])) if other in mine else between
                mine[other] = self.meetings[other][a] = both
        return a

    def larger_first(self, a: int, b: int) -> Pair:
        """Order two fragments by voxels, then energy, then number."""
        return (a, b) if self._rank[a] > self._rank[b] else (b, a)

    def _wholes(self, numbers: IntArray) -> FloatArray:
        size, energy = self._size[numbers], self._energy[numbers]
        logs = np.log1p([size, energy, np.sqrt(self._squares[numbers] / size)])
        return np.column_stack([logs.T, self._votes[numbers] / size[:, None]])


def _cells(voxels: Voxels, edges: IntArray, radius: float) -> tuple[IntArray, IntArray, IntArray, IntArray]:
    """Sort rows by cells so large that ``radius`` around an edge's middle lies in its end's or beside it."""
    first, second = edges
    steps = np.square(voxels.coords[first] - voxels.coords[second]).sum(axis=1)
    edge = math.ceil(radius + math.sqrt(steps.max(initial=0)) / 2)
    table = np.column_stack([voxels.event, np.floor_divide(voxels.coords, edge)])
    keys, weights = pack_keys(table, pad=1)
    order = stable_order(keys)
    others = itertools.product((-1, 0, 1), repeat=voxels.coords.shape[1] - 1)
    shifts = [sum(o * int(w) for o, w in zip(offset, weights[1:])) - 1 for offset in others]
    return order, keys[order], keys, np.array(shifts, np.int64)


def _meetings(ends: IntArray) -> Iterable[tuple[int, int, IntArray]]:
    """Fragments with edges between them, and these; ``ends`` (2, m) are the fragments of each edge."""
    low, high = ends.min(axis=0), ends.max(axis=0)
    order = np.lexsort((high, low))
    new = np.flatnonzero((np.diff(low[order]) != 0) | (np.diff(high[order]) != 0)) + 1
    for edges in np.split(order, new) if len(order) else ():
        yield int(low[edges[0]]), int(high[edges[0]]), edges
