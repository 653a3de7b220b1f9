"""Train a small network on simulated events, score it on others beside DBSCAN, draw the worst: two minutes.

    python examples/train_on_simulation.py

The same for longer, from the command line: `sparseclust simulate`, `train`, `evaluate --report`.
"""

from pathlib import Path

import numpy as np

from sparseclust.clustering import AffinityGraphClusterer
from sparseclust.data import RandomSymmetry, SemanticClass, VoxelInputs, split_events
from sparseclust.data.simulation import EventGenerator
from sparseclust.models import edge_spice
from sparseclust.training import (
    BudgetSchedule,
    EventDataModule,
    SpatialEmbeddingModule,
    dbscan_labels,
    evaluate,
    train,
)
from sparseclust.vis import plot_comparison

SIZE = 256  # voxels along each side, of 3 mm


def main(output: str | Path = "runs/example", *, minutes: float = 1.0, n_events: int = 400) -> None:
    generator = EventGenerator("crowded", rng=1, spatial_size=SIZE)
    events = [generator.event() for _ in range(n_events)]
    training, validation, test = split_events(events, [0.8, 0.1, 0.1])
    inputs = VoxelInputs(SIZE, n_classes=4)  # of each voxel: energy, place, and which class it is of
    model = edge_spice(inputs.channels(ndim=3), spatial_size=SIZE, base_channels=8, depth=4)
    predictor = train(
        SpatialEmbeddingModule(model, clusterer=AffinityGraphClusterer(threshold=0.7), learning_rate=4e-3),
        EventDataModule(training, validation, inputs=inputs, batch_size=4, transform=RandomSymmetry(SIZE)),
        output=output,
        overwrite=True,
        schedule=BudgetSchedule(max_minutes=minutes),
    )
    predictions = list(predictor.predict(test))
    for name, scorer in evaluate(predictions).items():
        scores = scorer.table()
        tracks = scores[scores["semantic"] == SemanticClass.TRACK]
        print(f"{name:11} tracks: mean ARI {tracks['ari'].mean():.3f}, SBD {tracks['sbd'].mean():.3f}")
        if name == "sparseclust":
            worst = predictions[tracks["event"][np.argmin(tracks["sbd"])]]
    labels = {"sparseclust": worst.labels, "DBSCAN": dbscan_labels(worst.event)}
    page = Path(output) / "worst.html"
    plot_comparison(worst.event, labels).write_html(page)
    print(f"the worst event: {page}")


if __name__ == "__main__":
    main()
