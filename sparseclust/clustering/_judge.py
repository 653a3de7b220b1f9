"""Judges of pairs of fragments, and the pairs that they learn from."""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from sparseclust.clustering._fragments import PER_WHOLE
from sparseclust.clustering._kernels_trees import NODE, add_leaves, steps_to_leaves
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
    """Boosted trees that judge pairs of fragments: the sigmoid of the sum of one leaf of each tree.

    Every class has trees of its own, which judge the pairs most of whose voxels are of it.

    Parameters
    ----------
    feature : (n,) int16
        Of each node of all trees the column that it looks at; -1 for a leaf.
    value : (n,) float32
        The largest number of that column, in single precision, that goes to the first child; or what the leaf
        adds.
    child : (n,) int32
        First child of each node, as a number of a node; the second one is the next. 0 for a leaf.
    root : (t,) int32
        Where each tree begins. Every child comes after its parent.
    kind : (t,) int16
        Whose tree it is, as an index of ``classes``; 0 if there are none.
    width : int
        Columns of the rows that it learned from.
    classes : sequence of int
        Semantic classes that it tells apart.
    radii : sequence of float
        Around the contact, in voxels.

    Raises
    ------
    ValueError
        If the arrays make no trees.

    See Also
    --------
    sparseclust.training.train_judge : makes one.

    Examples
    --------
    One tree, which asks whether the first of two numbers is above 3:

    >>> import numpy as np
    >>> from sparseclust.clustering import FragmentJudge
    >>> judge = FragmentJudge([0, -1, -1], [3.0, -2.0, 2.0], [1, 0, 0], [0], [0], width=2)
    >>> judge(np.array([[3.0, 9.0], [3.5, 9.0]])).round(2).tolist()
    [0.12, 0.88]
    """

    feature: npt.NDArray[np.int16]
    value: npt.NDArray[np.float32]
    child: npt.NDArray[np.int32]
    root: npt.NDArray[np.int32]
    kind: npt.NDArray[np.int16]
    width: int
    classes: Sequence[int] = ()
    radii: Sequence[float] = (4.0, 8.0, 20.0, 60.0)
    _walk: tuple[npt.NDArray[Any], ...] = dataclasses.field(init=False, repr=False)

    def __post_init__(self) -> None:
        arrays = self.arrays()
        for name, dtype in _TYPES.items():
            object.__setattr__(self, name, np.ascontiguousarray(arrays[name], dtype))
        node = np.arange(len(self.feature))
        inner = self.feature >= 0
        if not (
            len(self.feature) == len(self.value) == len(self.child)
            and ((self.root >= 0) & (self.root < len(node))).all()
            and ((self.child > node) & (self.child < len(node) - 1))[inner].all()
            and (self.feature < self.width).all()
            and len(self.kind) == len(self.root)
            and ((self.kind >= 0) & (self.kind < max(len(self.classes), 1))).all()
        ):
            raise ValueError(
                "features, values and children must be of the same nodes, columns below width, every child "
                "after its parent, and every tree of one of the classes; got "
                f"{len(self.feature)}, {len(self.value)}, {len(self.child)} of them, {self.width} columns, "
                f"{len(self.root)} trees of {len(self.kind)} kinds and the classes {list(self.classes)}"
            )
        object.__setattr__(self, "_walk", self._compiled(inner))

    def _compiled(self, inner: npt.NDArray[np.bool_]) -> tuple[npt.NDArray[Any], ...]:
        """Arrange the trees for :func:`add_leaves`: those of each class one after the other."""
        nodes = np.zeros(len(inner), NODE)
        nodes["limit"] = np.where(inner, self.value, np.inf)
        nodes["step"] = np.where(inner, self.child - np.arange(len(inner)), 0)
        nodes["feature"] = np.where(inner, self.feature, 0)
        order = np.argsort(self.kind, kind="stable")
        root = self.root[order].astype(np.int64)
        splits = np.searchsorted(self.kind[order], np.arange(max(len(self.classes), 1) + 1))
        return nodes, self.value, root, steps_to_leaves(inner, self.child)[root], splits

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_walk"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        object.__setattr__(self, "_walk", self._compiled(self.feature >= 0))

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return the arrays that make the trees, by name."""
        return {name: getattr(self, name) for name in _TYPES}

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, FragmentJudge):
            return NotImplemented
        told = [(j.width, tuple(j.classes), tuple(j.radii)) for j in (self, other)]
        mine, others = self.arrays(), other.arrays()
        return told[0] == told[1] and all(np.array_equal(mine[name], others[name]) for name in mine)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        of = f"{len(self.root)} trees of {len(self.feature)} nodes, width={self.width}"
        return f"FragmentJudge({of}, classes={self.classes}, radii={self.radii})"

    def __call__(self, rows: FloatArray) -> FloatArray:
        """Return how likely each pair (m, k) is of one instance, (m,)."""
        if rows.ndim != 2 or rows.shape[1] != self.width:
            raise ValueError(
                f"rows must have shape (m, {self.width}) as those it learned from, got {rows.shape}"
            )
        log_odds = np.zeros(len(rows))
        kinds = kind_of_rows(rows, len(self.classes))
        # As they were learned from; and what differs by a rounding error comes to the same leaf.
        with np.errstate(over="ignore"):
            single = np.ascontiguousarray(rows, np.float32)
        add_leaves(single, kinds, *self._walk, log_odds)
        return np.asarray(1.0 / (1.0 + np.exp(-log_odds)))


_TYPES = {"feature": np.int16, "value": np.float32, "child": np.int32, "root": np.int32, "kind": np.int16}


def kind_of_rows(rows: FloatArray, n_kinds: int) -> IntArray:
    """Index of the class of most voxels of both fragments (m,); all 0 where none are told apart.

    A row begins with the log of the voxels, two numbers more, and the shares of classes, of one fragment and
    the other: :class:`~sparseclust.clustering._fragments.FragmentGraph`.
    """
    if not n_kinds:
        return np.zeros(len(rows), np.int64)
    sides = rows[:, : 2 * (PER_WHOLE + n_kinds)].reshape(len(rows), 2, PER_WHOLE + n_kinds)
    votes = np.rint(np.expm1(sides[..., :1].astype(np.float64)) * sides[..., PER_WHOLE:]).sum(axis=1)
    return np.asarray(votes.argmax(axis=1))


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

    def select(self, chosen: npt.NDArray[np.bool_ | np.int64]) -> "FragmentPairs":
        """Choose some pairs, by a mask or by their numbers."""
        return FragmentPairs(self.rows[chosen], self.same[chosen], self.size[chosen])

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
