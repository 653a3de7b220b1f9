"""The input rules, in one place: what counts as an array of labels, and labels as compact codes."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]

_INT64 = np.iinfo(np.int64)


def as_labels(name: str, values: npt.ArrayLike) -> IntArray:
    """Check one label array and return it as int64, without a copy where it already is.

    Accepted are integers and booleans of any width, and floats that are whole numbers which their type
    holds exactly. Everything else is an error: a guess would be a wrong score that nobody notices.
    """
    if np.ma.is_masked(values):
        raise ValueError(
            f"{name} has masked entries; drop them from all arrays ({name}[~mask]) or fill them with a label"
        )
    labels = np.asarray(values)
    if labels.ndim != 1:
        raise ValueError(f"{name} must have shape (n,), got {labels.shape}; a column (n, 1) needs .ravel()")
    if labels.size == 0:
        return np.zeros(0, np.int64)
    if labels.dtype.kind == "f":
        _check_whole(name, labels)
    elif labels.dtype.kind not in "iub":
        raise TypeError(
            f"{name} must be integers, got dtype {labels.dtype}; other labels can be numbered: "
            f"np.unique({name}, return_inverse=True)[1]"
        )
    elif labels.dtype.kind == "u" and int(labels.max()) > _INT64.max:
        raise ValueError(
            f"{name} must fit int64, got {labels.max()}; np.unique({name}, return_inverse=True)[1] renumbers"
        )
    return labels.astype(np.int64, copy=False)


def _check_whole(name: str, labels: npt.NDArray[Any]) -> None:
    bad = np.flatnonzero(~np.isfinite(labels) | (labels != np.floor(labels)))
    if len(bad):
        raise ValueError(
            f"{name} must be integers: {len(bad)} values are not, the first is {labels[bad[0]]} in row "
            f"{bad[0]}; drop these rows or give them a label"
        )
    exact = 2 ** min(np.finfo(labels.dtype).nmant + 1, 63)
    if np.abs(labels).max() >= exact:
        raise ValueError(
            f"{name} has values beyond {exact}, where {labels.dtype} no longer tells integers apart; "
            "read the labels as integers from the start"
        )


def as_rows(**arrays: npt.ArrayLike) -> list[IntArray]:
    """Check several label arrays that describe the same points."""
    labels = [as_labels(name, values) for name, values in arrays.items()]
    if len({len(row) for row in labels}) > 1:
        found = ", ".join(f"{name} {len(row)}" for name, row in zip(arrays, labels))
        raise ValueError(f"the label arrays must have one entry per point, got lengths: {found}")
    return labels


class Names(NamedTuple):
    """What codes from 0 to ``span - 1`` stand for: ``values[code]``, or ``lowest + code`` without values."""

    span: int
    lowest: int
    values: IntArray | None

    def decode(self, codes: IntArray) -> IntArray:
        """Return the labels of some codes."""
        return codes + self.lowest if self.values is None else self.values[codes]


def encode(labels: IntArray) -> tuple[IntArray, Names]:
    """Replace labels by codes in the same order: distance from the lowest if they lie close, rank if not.

    In the first case some codes may be unused.
    """
    if len(labels) == 0:
        return labels, Names(0, 0, None)
    lowest = int(labels.min())
    span = int(labels.max()) - lowest + 1
    if span <= 4 * len(labels) + 1024:
        return labels - lowest if lowest else labels, Names(span, lowest, None)
    values, codes = np.unique(labels, return_inverse=True)
    return codes, Names(len(values), 0, values)
