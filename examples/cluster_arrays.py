"""Cluster embeddings of your own, from any network: a file of arrays in, a label for every row out.

    python examples/cluster_arrays.py arrays.npz labels.npy

The arrays are "embeddings" (n, d); "margins" (n,) or (n, d), the size of a row's cluster in the units of
the embeddings; "seediness" (n,) from 0 to 1, how well the row stands for its cluster; and, where clusters
must not cross them, "event" and "semantic" (n,). With embeddings alone every row gets MARGIN, which you
choose, and rows with many neighbours within it become seeds.
"""

import sys
from pathlib import Path

import numpy as np
from scipy.spatial import KDTree

from sparseclust.clustering import GaussianKernelClusterer

MARGIN = 0.1


def main(source: str | Path, target: str | Path) -> None:
    with np.load(source) as arrays:
        columns = dict(arrays)
    n = len(columns["embeddings"])
    group = {name: columns.get(name, np.zeros(n, np.int64)) for name in ("event", "semantic")}
    seed_threshold = 0.5
    if "seediness" not in columns:
        columns |= stand_ins(columns["embeddings"], *group.values())
        seed_threshold = 0.0  # every row may be a seed
    clusterer = GaussianKernelClusterer(seed_threshold, leftover="nearest")
    points = (columns[name] for name in ("embeddings", "margins", "seediness"))
    labels = clusterer.fit_predict(*points, **group)
    np.save(target, labels)
    print(f"{n} rows, {labels.max(initial=-1) + 1} clusters, {np.sum(labels < 0)} rows in none")
    largest = np.argsort(-clusterer.instances_["size"], kind="stable")[:5]
    for label, cluster in zip(largest, clusterer.instances_[largest]):
        print(f"cluster {label}: {cluster['size']} rows, mean kernel {cluster['kernel']:.2f}")


def stand_ins(embeddings: np.ndarray, *groups: np.ndarray) -> dict[str, np.ndarray]:
    """Margins and seediness of a network that gives neither."""
    apart = 10 * MARGIN * np.column_stack(groups)
    tree = KDTree(np.hstack([embeddings, apart]))
    neighbours = tree.query_ball_point(tree.data, MARGIN, return_length=True)
    return {"margins": np.full(len(embeddings), MARGIN), "seediness": neighbours / neighbours.max()}


if __name__ == "__main__":
    if len(sys.argv) < 3:
        raise SystemExit(__doc__)
    main(*sys.argv[1:])
