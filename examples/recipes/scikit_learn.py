"""The Gaussian-kernel clusterer as a scikit-learn estimator of plain points: pipelines, grids, `clone`.

    python examples/recipes/scikit_learn.py

A network gives every point a margin and a seediness; plain points have none. Here all share one margin, and
the seediness is the density around the point: clusters grow from where points are dense.
"""

import numpy as np
from scipy.spatial import KDTree
from sklearn.base import BaseEstimator, ClusterMixin
from sklearn.datasets import make_blobs
from sklearn.metrics import adjusted_rand_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import validate_data

from sparseclust.clustering import cluster_embeddings


class DenseKernels(ClusterMixin, BaseEstimator):
    """Clusters around dense points: `width` is the margin, `kernel_threshold` where a cluster ends."""

    def __init__(self, width: float = 0.5, kernel_threshold: float = 0.1) -> None:
        self.width = width
        self.kernel_threshold = kernel_threshold

    def fit(self, X: np.ndarray, y: None = None) -> "DenseKernels":
        points = validate_data(self, X, dtype=[np.float64, np.float32])
        near = KDTree(points).query_ball_point(points, self.width, return_length=True)
        self.labels_ = cluster_embeddings(
            points,
            np.full(len(points), self.width),
            near / near.max(),
            kernel_threshold=self.kernel_threshold,
            leftover="nearest",
        )
        return self


def main() -> float:
    points, truth = make_blobs(600, centers=4, cluster_std=0.8, random_state=3)
    pipeline = make_pipeline(StandardScaler(), DenseKernels())
    grid = GridSearchCV(
        pipeline,
        {"densekernels__width": [0.1, 0.2, 0.4, 0.8]},
        scoring=lambda model, X, y: adjusted_rand_score(y, model.fit_predict(X)),
    )
    grid.fit(points, truth)
    print(f"width {grid.best_params_['densekernels__width']}, adjusted Rand index {grid.best_score_:.3f}")
    return grid.best_score_


if __name__ == "__main__":
    main()
