"""Find particles in the planes of a wire chamber: a network in two dimensions, trained for a minute.

    python examples/wire_planes.py

Nothing but `ndim=2` differs from three dimensions. The three planes of an event are three images here:
which particles of two planes are the same one is for a later stage to say.
"""

import math
from pathlib import Path

from sparseclust.clustering import AffinityGraphClusterer
from sparseclust.data import Event, VoxelInputs, split_events
from sparseclust.data.simulation import EventGenerator, project_event
from sparseclust.metrics import summarize_scores
from sparseclust.models import edge_spice
from sparseclust.training import BudgetSchedule, EventDataModule, SpatialEmbeddingModule, evaluate, train
from sparseclust.vis import plot_comparison

SIZE = 256
ANGLES = (-math.pi / 3, 0.0, math.pi / 3)


def planes(n_events: int) -> list[Event]:
    generator = EventGenerator("crowded", rng=1, spatial_size=SIZE)
    events = [generator.event() for _ in range(n_events)]
    return [project_event(event, angle=angle) for event in events for angle in ANGLES]


def main(output: str | Path = "runs/planes", *, minutes: float = 1.0, n_events: int = 200) -> None:
    training, validation, test = split_events(planes(n_events), [0.8, 0.1, 0.1])
    inputs = VoxelInputs(SIZE, n_classes=4)
    model = edge_spice(inputs.channels(ndim=2), spatial_size=SIZE, base_channels=8, depth=4, ndim=2)
    predictor = train(
        SpatialEmbeddingModule(model, clusterer=AffinityGraphClusterer(threshold=0.7), learning_rate=4e-3),
        EventDataModule(training, validation, inputs=inputs, batch_size=8),
        output=output,
        overwrite=True,
        schedule=BudgetSchedule(max_minutes=minutes),
    )
    predictions = list(predictor.predict(test))
    for name, scorer in evaluate(predictions).items():
        mean = summarize_scores(scorer.table(), by=None)[0]
        print(f"{name:11} mean ARI {mean['ari']['mean']:.3f}, SBD {mean['sbd']['mean']:.3f}")
    labels = {"sparseclust": predictions[0].labels}
    picture = Path(output) / "plane.png"
    plot_comparison(predictions[0].event, labels, backend="matplotlib").savefig(picture)
    print(f"picture: {picture}")


if __name__ == "__main__":
    main()
