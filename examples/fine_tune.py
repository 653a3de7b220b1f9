"""Train a network that comes with the library further, on a file of yours, and see whether that helped.

    python examples/fine_tune.py events.h5

The file is one of PILArNet, or of `sparseclust simulate`. `sparseclust train --start spice-small` does the
same from the command line.
"""

import sys
from pathlib import Path

import numpy as np

from sparseclust.data import RandomSymmetry, open_events, split_events
from sparseclust.metrics import summarize_scores
from sparseclust.pipeline import Predictor
from sparseclust.training import BudgetSchedule, EventDataModule, SpatialEmbeddingModule, evaluate, train


def main(
    path: str | Path,
    *,
    model: str | Path = "spice-small",
    output: str | Path = "runs/fine-tuned",
    minutes: float = 5.0,
) -> None:
    events = open_events(path)
    training, validation, test = split_events(events, [0.8, 0.1, 0.1], rng=np.random.default_rng(0))
    if not len(test):
        raise SystemExit(f"{path}: of {len(events)} events none can be held out; give at least 10")
    start = Predictor.from_pretrained(model)
    report("before", start, test)
    tuned = train(
        # A tenth of the rate of a fresh start: the weights are good already.
        SpatialEmbeddingModule(start.model, clusterer=start.clusterer, learning_rate=2e-4),
        EventDataModule(
            training,
            validation,
            inputs=start.inputs,
            classes=start.classes,
            batch_size=4,
            transform=RandomSymmetry(start.inputs.spatial_size),
        ),
        output=output,
        schedule=BudgetSchedule(max_minutes=minutes),
    )
    report("after", tuned, test)
    print(f"model: {Path(output) / 'model.pt'}")


def report(when: str, predictor: Predictor, events: object) -> None:
    scores = summarize_scores(evaluate(predictor.predict(events))["sparseclust"].table(), by=None)[0]
    print(f"{when:7} mean ARI {scores['ari']['mean']:.4f}, SBD {scores['sbd']['mean']:.4f}")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        raise SystemExit(__doc__)
    main(*sys.argv[1:])
