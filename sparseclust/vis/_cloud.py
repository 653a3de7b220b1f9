"""The embedding space as it is drawn: positions, and the kernel around each instance."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sparseclust.vis._colours import IntArray, ranked_slots, spread
from sparseclust.vis._points import read_labels, read_rows

FloatArray = npt.NDArray[np.float64]
_ARC = np.linspace(0, 2 * np.pi, 41)


@dataclass(frozen=True)
class Cloud:
    """Points of the embedding space, ready to draw."""

    at: FloatArray  # (n, 2 or 3)
    labels: IntArray  # (n,)
    places: IntArray  # (n,) in the palette
    semantic: IntArray | None  # (n,)
    seediness: FloatArray | None  # (n,)
    rings: dict[int, FloatArray]  # by place in the palette: (m, 2 or 3), closed curves with nan between
    axes: list[str]
    title: str

    def sizes(self, marker_size: float) -> FloatArray:
        """Diameter (n,): from 0.4 to 1.6 times the given one, by seediness."""
        if self.seediness is None:
            return np.full(len(self.at), marker_size)
        scale: FloatArray = 0.4 + 1.2 * np.clip(np.nan_to_num(self.seediness), 0, 1)
        return marker_size * scale


def read_cloud(
    embeddings: Any,
    margins: Any,
    seediness: Any,
    labels: Any,
    semantic: Any,
    kernel_threshold: float,
    title: str | None,
) -> Cloud:
    """Check the arguments of :func:`plot_embeddings` and work out what it draws."""
    x = np.asarray(embeddings, np.float64)
    if x.ndim != 2 or x.shape[1] < 2:
        raise ValueError(f"embeddings must have shape (n, d) with d >= 2, got {x.shape}")
    n, d = x.shape
    keep = np.isfinite(x).all(axis=1)
    instance = read_labels("labels", labels, n)
    instance = np.full(n, -1, np.int64) if instance is None else instance
    classes = read_labels("semantic", semantic, n)
    seeds = None if seediness is None else read_rows("seediness", seediness, n).astype(np.float64)[keep]
    basis, axes, note = _view(x[keep])
    at = x[keep] @ basis
    (places,) = spread(at, [ranked_slots(instance[keep])])
    rings = {}
    if margins is not None:
        sigma = _margins(margins, n, d)[keep]
        rings = _rings(at, sigma, seeds, instance[keep], places, basis, kernel_threshold)
    return Cloud(
        at=at,
        labels=instance[keep],
        places=places,
        semantic=None if classes is None else classes[keep],
        seediness=seeds,
        rings=rings,
        axes=axes,
        title=", ".join(filter(None, (title, note))),
    )


def _margins(margins: Any, n: int, d: int) -> FloatArray:
    sigma = np.asarray(margins, np.float64)
    if sigma.shape not in {(n,), (n, 1), (n, d)}:
        raise ValueError(f"margins must have shape ({n},), ({n}, 1) or ({n}, {d}), got {sigma.shape}")
    return np.broadcast_to(sigma if sigma.ndim == 2 else sigma[:, None], (n, d))


def _view(x: FloatArray) -> tuple[FloatArray, list[str], str]:
    """Directions (d, 2 or 3) to show, the names of the axes, and what the title says about it."""
    d = x.shape[1]
    if d <= 3:
        return np.eye(d), [f"embedding {a}" for a in range(d)], ""
    centred = x - x.mean(axis=0) if len(x) else x
    values, vectors = np.linalg.eigh(centred.T @ centred)
    basis = vectors[:, :-4:-1]
    # Eigenvectors come with either sign: the largest component is made positive.
    basis = basis * np.sign(basis[np.abs(basis).argmax(axis=0), range(3)])
    part = values[-3:].sum() / values.sum() if values.sum() > 0 else 1.0
    names = [f"principal component {a}" for a in (1, 2, 3)]
    return basis, names, f"{d} dimensions: first 3 principal components, {part:.0%} of the variance"


def _rings(
    at: FloatArray,
    sigma: FloatArray,
    seediness: FloatArray | None,
    labels: IntArray,
    places: IntArray,
    basis: FloatArray,
    threshold: float,
) -> dict[int, FloatArray]:
    """Draw closed curves around each instance, gathered by colour."""
    curves: dict[int, list[FloatArray]] = {}
    gap = np.full((1, basis.shape[1]), np.nan)
    for rows in _instances(labels):
        if seediness is None:
            centre, width = at[rows].mean(axis=0), sigma[rows].mean(axis=0)
        else:
            seed = rows[np.nan_to_num(seediness[rows], nan=-np.inf).argmax()]
            centre, width = at[seed], sigma[seed]
        # The projection of a Gaussian has the projected covariance; its square root makes the ellipse.
        values, vectors = np.linalg.eigh(basis.T @ (np.nan_to_num(width)[:, None] ** 2 * basis))
        ellipse = vectors * np.sqrt(-2 * math.log(threshold) * np.clip(values, 0, None))
        for circle in _circles(basis.shape[1]):
            curves.setdefault(int(places[rows[0]]), []).extend((centre + circle @ ellipse.T, gap))
    return {place: np.concatenate(parts) for place, parts in sorted(curves.items())}


def _instances(labels: IntArray) -> Iterator[IntArray]:
    """Rows of each instance, in the order of their labels."""
    order = np.argsort(labels, kind="stable")
    order = order[labels[order] >= 0]
    cuts = np.flatnonzero(np.diff(labels[order])) + 1
    yield from (rows for rows in np.split(order, cuts) if len(rows))


def _circles(ndim: int) -> Iterator[FloatArray]:
    """Yield a unit circle in each plane of two axes."""
    for a, b in ((0, 1), (0, 2), (1, 2))[: 3 if ndim == 3 else 1]:
        circle = np.zeros((len(_ARC), ndim))
        circle[:, a], circle[:, b] = np.cos(_ARC), np.sin(_ARC)
        yield circle
