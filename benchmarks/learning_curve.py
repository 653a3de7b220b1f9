"""How good judges of fragments get that learn from more and more simulated events, beside the one in the box.

All learn from the edges of one network, with the settings of `sparseclust judge`, from pairs of fragments
that meet on the way of the judge in the box. Scored are other simulated events of the usual mix, each
judge with the thresholds of the model: ARI, mean over the events that hold the class, and in brackets its
difference from that of the judge that learned from most, with the error of that difference.

Run: python benchmarks/learning_curve.py [--events 500 1000 2000 4000] [--unseen 1000] [--model spice-small]
"""

import argparse
import dataclasses
from typing import Any

from sparseclust.clustering import AgglomerativeClusterer, FragmentPairs
from sparseclust.data import Event
from sparseclust.data.simulation import EventGenerator, SimulatedEvents
from sparseclust.pipeline import Predictor
from sparseclust.training import evaluate, judge_examples, train_judge

CLASSES = {0: "shower", 1: "track", 3: "delta"}  # of Michel electrons hardly any touch


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, nargs="+", default=[500, 1000, 2000, 4000])
    parser.add_argument("--unseen", type=int, default=1000, help="events to score (default: 1000)")
    parser.add_argument("--model", default="spice-small", help="one with a judge (default: spice-small)")
    options = parser.parse_args()
    predictor = Predictor.from_pretrained(options.model)
    shipped = predictor.clusterer
    if not isinstance(shipped, AgglomerativeClusterer):
        parser.error(f"{options.model} has no judge")
    sizes = sorted(options.events)
    seen = SimulatedEvents(sizes[-1], EventGenerator("pilarnet", rng=41))
    found = list(judge_examples(predictor.predict(seen), shipped, follow=True))
    unseen = list(SimulatedEvents(options.unseen, EventGenerator("pilarnet", rng=42)))
    tables = {"in the box": table_of(predictor, unseen)}
    for size in sizes:
        pairs = FragmentPairs.concatenate(found[:size])
        judge = train_judge(pairs, classes=shipped.judge.classes, radii=shipped.judge.radii)
        predictor.clusterer = dataclasses.replace(shipped, judge=judge)
        tables[f"{size:,} events, {len(pairs.same):,} pairs"] = table_of(predictor, unseen)
    show(tables)


def table_of(predictor: Predictor, events: list[Event]) -> Any:
    """Scores of every event and class, events in their order."""
    return evaluate(predictor.predict(events))["sparseclust"].table()


def show(tables: dict[str, Any]) -> None:
    """One row per judge."""
    width = max(map(len, tables)) + 2
    best = list(tables)[-1]
    print(" " * width + "".join(f"{name:>28}" for name in CLASSES.values()))
    for name, table in tables.items():
        cells = []
        for c in CLASSES:
            ari, most = (t["ari"][t["semantic"] == c] for t in (table, tables[best]))
            change = ari - most
            error = change.std() / len(change) ** 0.5
            cells.append(
                f"{ari.mean():.4f}" + (f" ({change.mean():+.4f} +- {error:.4f})" if name != best else "")
            )
        print(f"{name:{width}}" + "".join(f"{cell:>28}" for cell in cells))


if __name__ == "__main__":
    main()
