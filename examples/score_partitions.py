"""Score two partitions that stand in a CSV file: a row per point, a column of labels for each partition.

    python examples/score_partitions.py points.csv truth found [event]

Labels may be numbers or names. With a column of event ids, labels mean something within an event only:
every event is scored by itself, and the means over events are printed with their errors.
"""

import sys
from pathlib import Path

import numpy as np

from sparseclust.metrics import bootstrap, score_events, score_partition


def main(path: str | Path, truth: str, found: str, event: str | None = None) -> None:
    table = np.genfromtxt(path, delimiter=",", names=True, dtype=None, encoding="utf-8", ndmin=1)
    absent = {truth, found, event or truth} - set(table.dtype.names)
    if absent:
        raise SystemExit(f"{path}: no column {', '.join(absent)}; there are: {', '.join(table.dtype.names)}")
    labels_true, labels_pred = numbered(table[truth]), numbered(table[found])
    if event is None:
        for name, value in score_partition(labels_true, labels_pred)._asdict().items():
            print(f"{name:14} {value:.6g}")
        return
    scores = score_events(labels_true, labels_pred, event=numbered(table[event]))
    error = bootstrap(scores, rng=np.random.default_rng(0))
    print(f"events     {len(scores)}")
    for name in ("ari", "purity", "efficiency", "sbd"):
        print(f"{name:10} {error[name]['mean']:.4f} +- {error[name]['std']:.4f}")


def numbered(column: np.ndarray) -> np.ndarray:
    """Labels of any type as integers."""
    return np.unique(column, return_inverse=True)[1]


if __name__ == "__main__":
    if len(sys.argv) < 4:
        raise SystemExit(__doc__)
    main(*sys.argv[1:])
