"""Judges of pairs of fragments, and the pairs that they learn from."""

import dataclasses
import itertools
from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
from scipy import linalg

from sparseclust.clustering._validate import FloatArray, IntArray


class Judge(Protocol):
    """Says how likely two fragments that meet are of one instance.

    Attributes
    ----------
    classes : sequence of int
        Semantic classes that it tells apart.
    radii : sequence of float
        Around the contact, in voxels, rising: within each of them both fragments are described.
    """

    @property
    def classes(self) -> Sequence[int]: ...

    @property
    def radii(self) -> Sequence[float]: ...

    def __call__(self, rows: FloatArray) -> FloatArray:
        """Return a probability (m,) for each pair (m, k)."""


@dataclasses.dataclass(frozen=True, eq=False)
class FragmentJudge:
    """A small network that judges pairs of fragments: ``sigmoid(MLP((rows - mean) / scale))``.

    Parameters
    ----------
    mean, scale : (k,) float
        Of the rows that it was trained on.
    layers : sequence of (matrix (a, b), bias (b,))
        From ``k`` to 1, with ``max(x, 0)`` between them.
    classes : sequence of int
        Semantic classes that it tells apart.
    radii : sequence of float
        Around the contact, in voxels.

    See Also
    --------
    sparseclust.training.train_judge : makes one.

    Examples
    --------
    >>> import numpy as np
    >>> from sparseclust.clustering import FragmentJudge
    >>> judge = FragmentJudge(np.zeros(2), np.ones(2), [(np.array([[1.0], [-1.0]]), np.zeros(1))])
    >>> judge(np.array([[3.0, 3.0], [9.0, -9.0]])).round(2).tolist()
    [0.5, 1.0]
    """

    mean: FloatArray
    scale: FloatArray
    layers: Sequence[tuple[FloatArray, FloatArray]]
    classes: Sequence[int] = ()
    radii: Sequence[float] = (8.0, 20.0, 60.0)

    @classmethod
    def average(cls, judges: Sequence["FragmentJudge"]) -> "FragmentJudge":
        """Make one judge that gives the mean log-odds of several.

        Parameters
        ----------
        judges : sequence of FragmentJudge
            Of the same classes, radii and number of layers.

        Raises
        ------
        ValueError
            If there are none, or they differ in these.

        Notes
        -----
        What counts as far outside, see :meth:`__call__`, is that of the first judge for all of them. Costs as
        much as asking each, and more for the zeros between them.

        Examples
        --------
        >>> import numpy as np
        >>> from sparseclust.clustering import FragmentJudge
        >>> def judge(bias):
        ...     return FragmentJudge(np.zeros(1), np.ones(1), [(np.ones((1, 1)), np.array([bias]))])
        >>> mean = FragmentJudge.average([judge(-5.0), judge(5.0)])
        >>> mean(np.zeros((1, 1))).tolist()
        [0.5]
        """
        told = {(tuple(j.classes), tuple(j.radii), len(j.mean), len(j.layers)) for j in judges}
        if len(told) != 1 or not judges[0].layers:
            raise ValueError(
                f"judges must be of the same classes, radii and number of layers, got {list(judges)}"
            )
        first = judges[0]
        layers = []
        for number in range(len(first.layers)):
            matrices, biases = map(list, zip(*(j.layers[number] for j in judges)))
            if number == 0:  # that of each, behind the scaling of the first
                moved = [(first.mean - j.mean) / j.scale for j in judges]
                biases = [b + m @ w for b, m, w in zip(biases, moved, matrices)]
                matrices = [(first.scale / j.scale)[:, None] * w for j, w in zip(judges, matrices)]
                matrix = np.concatenate(matrices, axis=1)
            else:
                matrix = linalg.block_diag(*matrices)
            layers.append((matrix, np.concatenate(biases)))
        matrix, bias = layers[-1]
        layers[-1] = matrix.mean(axis=1, keepdims=True), bias.mean(keepdims=True)
        kept = [(m.astype(first.layers[0][0].dtype), b.astype(first.layers[0][1].dtype)) for m, b in layers]
        return cls(first.mean, first.scale, kept, first.classes, first.radii)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, FragmentJudge):
            return NotImplemented
        told = [(j.classes, j.radii, len(j.layers)) for j in (self, other)]
        if tuple(told[0]) != tuple(told[1]):
            return False
        arrays = ([j.mean, j.scale, *itertools.chain(*j.layers)] for j in (self, other))
        return all(map(np.array_equal, *arrays))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        widths = [len(self.mean), *(len(bias) for _, bias in self.layers)]
        return f"FragmentJudge({' -> '.join(map(str, widths))}, classes={self.classes}, radii={self.radii})"

    def __call__(self, rows: FloatArray) -> FloatArray:
        """Return how likely each pair (m, k) is of one instance, (m,)."""
        if rows.ndim != 2 or rows.shape[1] != len(self.mean):
            raise ValueError(
                f"rows must have shape (m, {len(self.mean)}) as those it learned from, got {rows.shape}"
            )
        # What lies far outside of all that it saw counts as the edge of it.
        x = np.clip((rows - self.mean) / self.scale, -5.0, 5.0)
        for number, (matrix, bias) in enumerate(self.layers):
            x = (np.maximum(x, 0.0) if number else x) @ matrix + bias
        return np.asarray(1.0 / (1.0 + np.exp(-x[:, 0])))


class FragmentPairs(NamedTuple):
    """Pairs of fragments, and whether they belong together.

    Attributes
    ----------
    rows : (m, k) float64
        What they look like, as a judge is given it.
    same : (m,) bool
        Both are of one instance.
    size : (m,) int64
        Voxels of the smaller one.
    """

    rows: FloatArray
    same: npt.NDArray[np.bool_]
    size: IntArray

    @classmethod
    def concatenate(cls, parts: Iterable["FragmentPairs"]) -> "FragmentPairs":
        """Put the pairs of several events together."""
        return cls(*(np.concatenate(values) for values in zip(*parts, strict=True)))


def ask(judge: Judge, rows: FloatArray) -> FloatArray:
    """Ask a judge, and see that it answered."""
    p = np.asarray(judge(rows), np.float64)
    if p.shape != (len(rows),) or np.isnan(p).any():
        raise ValueError(f"the judge must give {len(rows)} numbers, one per pair, and no NaN; it gave {p}")
    return p
