"""The worst event of each class, truth beside prediction and DBSCAN: one picture per class.

Run ``python benchmarks/draw_failures.py FILE --model spice-small --output docs/images``, with labelled
events. Only the voxels of the class are drawn, and only where something went wrong: around the particle that
was found worst.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sparseclust.data import Event, SemanticClass, open_events
from sparseclust.pipeline import PARTICLE_CLASSES, Prediction, Predictor
from sparseclust.training import Scorer, dbscan_labels
from sparseclust.vis import plot_comparison


def worst(predictions: Sequence[Prediction], semantic: int) -> tuple[int, float, int]:
    """Event of the lowest SBD in a class, that score, and the particle found worst."""
    scorer = Scorer([semantic])
    for prediction in predictions:
        scorer.add(prediction.event, prediction.labels)
    table, particles = scorer.table(), scorer.particles()
    row = table[np.argmin(table["sbd"])]
    own = particles[particles["event"] == row["event"]]
    # Of particles found badly, the largest shows most.
    return (
        int(row["event"]),
        float(row["sbd"]),
        int(own["label"][np.argmin(own["best_dice"] - 1e-6 * own["size"])]),
    )


def cut_out(event: Event, semantic: int, instance: int, margin: int) -> np.ndarray:
    """Rows of a class in a box around an instance."""
    own = event.coords[event.instance == instance]
    low, high = own.min(axis=0) - margin, own.max(axis=0) + margin
    inside = ((event.coords >= low) & (event.coords <= high)).all(axis=1)
    return np.flatnonzero(inside & (event.semantic == semantic))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", help="labelled events")
    parser.add_argument("--model", default="spice-small")
    parser.add_argument("--label", default="fragment", help="true instance of a PILArNet file")
    parser.add_argument("--output", type=Path, default=Path())
    parser.add_argument("--margin", type=int, default=25, help="voxels around the particle")
    options = parser.parse_args()
    predictor = Predictor.from_pretrained(options.model)
    predictions = list(predictor.predict(open_events(options.file, label=options.label)))
    options.output.mkdir(parents=True, exist_ok=True)
    present = {c for p in predictions for c in p.event.semantic.tolist()}
    for semantic in sorted(present & set(PARTICLE_CLASSES)):
        number, score, instance = worst(predictions, semantic)
        event = predictions[number].event
        rows = cut_out(event, semantic, instance, options.margin)
        labels = {"sparseclust": predictions[number].labels[rows], "DBSCAN": dbscan_labels(event)[rows]}
        name = SemanticClass(semantic).name.lower()
        path = options.output / f"{Path(options.file).stem}_{name}.png"
        plot_comparison(event.select(rows), labels, backend="matplotlib").savefig(path, dpi=80)
        print(
            f"{path}: {name}, event {number}, SBD {score:.3f}, {len(rows)} voxels around particle {instance}"
        )


if __name__ == "__main__":
    main()
