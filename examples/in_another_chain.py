"""Call the trained network from a chain of your own: dictionaries of arrays in, an array of labels out.

    python examples/in_another_chain.py

All that the chain has of this library is a function and a `Predictor`. Rows come in any order and stay
there.
"""

from collections.abc import Mapping

import numpy as np

from sparseclust.data import events_from_table
from sparseclust.data.simulation import EventGenerator
from sparseclust.metrics import score_events, summarize_scores
from sparseclust.pipeline import Predictor


def find_particles(voxels: Mapping[str, np.ndarray], predictor: Predictor) -> np.ndarray:
    """Return the particle of each voxel, a number within its event; -1 for none.

    ``voxels`` has columns "x", "y", "z", "energy" in MeV, "class" as in `SemanticClass`, and "event".
    """
    table = {**voxels, "row": np.arange(len(voxels["event"]))}
    events = events_from_table(table, event="event", semantic="class", extra=["row"])
    particle = np.full(len(table["row"]), -1)
    for prediction in predictor.predict(events):
        particle[prediction.event.extra["row"]] = prediction.labels
    return particle


def chain(n_events: int) -> dict[str, np.ndarray]:
    """Stand in for what runs before: voxels of some events, shuffled."""
    events = [EventGenerator("crowded", rng=3).event(i) for i in range(n_events)]
    columns = {
        "event": np.repeat(np.arange(n_events), [len(e) for e in events]),
        "energy": np.concatenate([e.energy for e in events]),
        "class": np.concatenate([e.semantic for e in events]),
        "truth": np.concatenate([e.instance for e in events]),
    }
    columns |= dict(zip("xyz", np.concatenate([e.coords for e in events]).T))
    order = np.random.default_rng(0).permutation(len(columns["event"]))
    return {name: values[order] for name, values in columns.items()}


def main(n_events: int = 10) -> None:
    predictor = Predictor.from_pretrained("spice-small")
    voxels = chain(n_events)
    particle = find_particles(voxels, predictor)
    known = voxels["truth"] >= 0
    columns = (voxels["truth"], particle, voxels["event"], voxels["class"])
    truth, found, event, semantic = (column[known] for column in columns)
    scores = summarize_scores(score_events(truth, found, event=event, semantic=semantic), by=None)[0]
    print(f"{len(particle)} voxels, mean ARI {scores['ari']['mean']:.3f}, SBD {scores['sbd']['mean']:.3f}")


if __name__ == "__main__":
    main()
