"""What each part of the trained chain contributes: ARI and SBD, beside DBSCAN and the best possible.

Run ``python benchmarks/compare_partitions.py FILE... --model spice-small``, with labelled events. Every row
labels the same events in the same classes:

- DBSCAN: connected components, the baseline;
- touching edges: the network's scores of touching voxels alone;
- and bridges: also those of the gaps between pieces;
- additive: all edges between two pieces have a say;
- as shipped: with the model's own clusterer, a judge that joins fragments;
- 8 views: scores averaged over symmetries of the volume (--views 8);
- fragments: those of the model, joined by the truth, what no judge can exceed;
- true cuts, true cuts and bridges: the same graphs with the true answers, what no network can exceed.
"""

import argparse
import itertools
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sparseclust.clustering import AffinityGraphClusterer, AgglomerativeClusterer
from sparseclust.data import Event, open_events
from sparseclust.pipeline import Predictor
from sparseclust.training import Scorer, dbscan_labels

CLASSES = ("shower", "track", "Michel", "delta")


class Graph(NamedTuple):
    """An event, the pairs of its voxels that are scored, and how."""

    event: Event
    edges: npt.NDArray[np.int64]
    affinity: npt.NDArray[np.float64]

    def judged(self, clusterer: AgglomerativeClusterer) -> object:
        """Cluster by the scores and a judge."""
        event = self.event
        voxels = {"coords": event.coords, "energy": event.energy, "semantic": event.semantic}
        return clusterer.fit_predict(self.edges, self.affinity, **voxels)

    def labels(self, clusterer: AffinityGraphClusterer, *, bridges: bool, true: bool = False) -> object:
        """Cluster, with or without bridges, by the scores or by the truth."""
        first, second = self.edges
        coords, instance = self.event.coords, self.event.instance
        assert instance is not None
        used = bridges | (np.abs(coords[first] - coords[second]).max(axis=1) <= 1)
        affinity = (instance[first] == instance[second]).astype(float) if true else self.affinity
        return clusterer.fit_predict(
            self.edges[:, used], affinity[used], n=len(self.event), semantic=self.event.semantic
        )


def graphs(predictor: Predictor, events: list[Event]) -> list[Graph]:
    """Edges of each event and their scores."""
    return [
        Graph(p.event, p.edges, p.affinity.astype(float))
        for p in predictor.predict(events)
        if p.edges is not None and p.affinity is not None
    ]


def rows(predictor: Predictor, events: list[Event], views: int) -> Iterator[tuple[str, str]]:
    """Names and scores of all methods."""
    own = predictor.clusterer
    assert isinstance(own, AgglomerativeClusterer)
    fragments = AffinityGraphClusterer(threshold=own.fragment_threshold, min_size=own.min_size)
    single, additive = (
        AffinityGraphClusterer(threshold=0.7),
        AffinityGraphClusterer(threshold=0.5, linkage="additive"),
    )
    once = graphs(predictor, events)
    methods: dict[str, Callable[[Graph], object]] = {
        "DBSCAN": lambda g: dbscan_labels(g.event),
        "touching edges": lambda g: g.labels(single, bridges=False),
        "and bridges": lambda g: g.labels(single, bridges=True),
        "additive": lambda g: g.labels(additive, bridges=True),
        "as shipped": lambda g: g.judged(own),
        "fragments": lambda g: majority(g.labels(fragments, bridges=True), g.event),
    }
    for name, method in methods.items():
        yield name, scores(once, method)
    if views > 1:
        predictor.views = views
        yield f"{views} views", scores(graphs(predictor, events), methods["as shipped"])
        predictor.views = 1
    oracle = AffinityGraphClusterer(threshold=0.5, min_size=1)
    yield "true cuts", scores(once, lambda g: g.labels(oracle, bridges=False, true=True))
    yield "true cuts and bridges", scores(once, lambda g: g.labels(oracle, bridges=True, true=True))


def majority(labels: object, event: Event) -> object:
    """Give each cluster the instance of most of its voxels."""
    assert event.instance is not None
    pairs, counts = np.unique(np.stack([labels, event.instance]), axis=1, return_counts=True)  # type: ignore[call-overload]
    order = np.lexsort((counts, pairs[0]))
    found = dict(zip(*pairs[:, order].tolist()))  # the last of a cluster is its most frequent
    return np.array([found[label] for label in np.asarray(labels).tolist()])


def scores(found: list[Graph], method: Callable[[Graph], object]) -> str:
    """Mean ARI / SBD per class, over the events that hold it."""
    scorer = Scorer()
    for graph in found:
        scorer.add(graph.event, method(graph))  # type: ignore[arg-type]
    table = scorer.table()
    cells = []
    for c in range(len(CLASSES)):
        of_class = table[table["semantic"] == c]
        cells.append(f"{of_class['ari'].mean():.3f} {of_class['sbd'].mean():.3f}" if len(of_class) else "-")
    return "".join(f"{cell:>14}" for cell in cells)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", nargs="+", help="labelled events")
    parser.add_argument("--model", default="spice-small", help="a model that scores edges")
    parser.add_argument("--events", type=int, help="so many of each file")
    parser.add_argument("--views", type=int, default=1, help="symmetries of the volume")
    options = parser.parse_args()
    predictor = Predictor.from_pretrained(options.model)
    for name in options.files:
        source = open_events(name, spatial_size=predictor.inputs.spatial_size)
        events = [
            event.select(np.isin(event.semantic, predictor.classes))
            for event in itertools.islice(iter(source), options.events)
        ]
        print(
            f"{name}: {len(events)} events; mean ARI and SBD\n{'':24}" + "".join(f"{c:>14}" for c in CLASSES)
        )
        for method, line in rows(predictor, events, options.views):
            print(f"{method:24}{line}", flush=True)


if __name__ == "__main__":
    main()
