"""How well a classifier of voxels finds the semantic classes: accuracy, and intersection over union of each.

Run: python benchmarks/classify_voxels.py FILE... [--model semantic-small] [--events 100] [--min-size N]
     [--views N]
"""

import argparse
import itertools

import numpy as np

from sparseclust.data import SemanticClass, open_events
from sparseclust.pipeline import SemanticClassifier


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", help="events with semantic classes")
    parser.add_argument("--model", default="semantic-small", help="default: semantic-small")
    parser.add_argument("--events", type=int, default=100, help="of each file (default: 100)")
    parser.add_argument("--min-size", type=int, help="smooth smaller specks; 1: none (default: the model's)")
    parser.add_argument("--views", type=int, default=1, help="symmetries to average over (default: 1)")
    options = parser.parse_args()
    classifier = SemanticClassifier.from_pretrained(
        options.model, min_size=options.min_size, views=options.views
    )
    k = len(SemanticClass)
    for file in options.files:
        counts = np.zeros((k, k), np.int64)
        events = list(itertools.islice(open_events(file), options.events))
        for event, found in zip(events, classifier.classify(events), strict=True):
            known = event.semantic >= 0
            np.add.at(counts, (event.semantic[known], found.semantic[known]), 1)
        hit = counts.diagonal()
        iou = hit / (counts.sum(0) + counts.sum(1) - hit)
        classes = ", ".join(f"{c.name.lower()} {iou[c]:.3f}" for c in SemanticClass)
        print(f"{file}: accuracy {hit.sum() / counts.sum():.4f}, mean IoU {iou.mean():.3f} ({classes})")


if __name__ == "__main__":
    main()
