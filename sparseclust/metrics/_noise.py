"""The one place where a label may mean "no cluster"."""

from typing import Literal

import numpy as np
import numpy.typing as npt

from sparseclust.metrics._labels import IntArray, as_labels


def relabel_noise(
    labels: npt.ArrayLike, *, how: Literal["singletons", "one_cluster"] = "singletons", noise: int = -1
) -> IntArray:
    """Turn the noise label into clusters that say what noise shall mean in a score.

    The scores take ``-1`` for a cluster like any other. Where it means "not assigned", decide here.

    Parameters
    ----------
    labels : (n,) integers
        Cluster of each point.
    how : {"singletons", "one_cluster"}
        Every noise point becomes a cluster of its own, or all of them together become one.
    noise : int
        The label that means noise.

    Returns
    -------
    (n,) int64
        A new array. New labels count up from one above the largest label, and from 0 at least.

    Raises
    ------
    TypeError, ValueError
        If ``labels`` is no (n,) array of whole numbers, or has no room for new labels in int64, or ``how`` is
        unknown.

    Notes
    -----
    To leave noise out altogether, drop the points from both partitions: ``keep = labels != -1``.

    Examples
    --------
    >>> from sparseclust.metrics import relabel_noise
    >>> relabel_noise([4, -1, 4, -1])
    array([4, 5, 4, 6])
    >>> relabel_noise([4, -1, 4, -1], how="one_cluster")
    array([4, 5, 4, 5])
    """
    if how not in ("singletons", "one_cluster"):
        raise ValueError(f'how must be "singletons" or "one_cluster", got {how!r}')
    relabelled = as_labels("labels", labels).copy()
    rows = np.flatnonzero(relabelled == noise)
    first = max(0, int(relabelled.max(initial=-1)) + 1)
    if first + len(rows) > 2**63 - 1:
        raise ValueError(
            f"no labels are left above {first - 1}; renumber first: np.unique(labels, return_inverse=True)[1]"
        )
    relabelled[rows] = first + np.arange(len(rows)) if how == "singletons" else first
    return relabelled
