"""Clusters from a network's embeddings alone, as published: seeds and Gaussian kernels, no edges.

Thresholds are tuned on simulated events of the usual and of the crowded mix; once as they come, and once with
repairs by connectivity.
Run: python benchmarks/embeddings_alone.py FILE... [--model spice-small] [--events 100] [--tune 20]
"""

import argparse
import itertools

from sparseclust.clustering import GaussianKernelClusterer
from sparseclust.data import SemanticClass, open_events
from sparseclust.data.simulation import EventGenerator
from sparseclust.pipeline import PARTICLE_CLASSES, Predictor
from sparseclust.training import evaluate, tune_thresholds, with_thresholds

MIXES = ("pilarnet", "crowded")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", help="labelled events")
    parser.add_argument("--model", default="spice-small", help="with embeddings (default: spice-small)")
    parser.add_argument("--events", type=int, default=100, help="of each file (default: 100)")
    parser.add_argument("--tune", type=int, default=20, help="simulated events per mix (default: 20)")
    options = parser.parse_args()
    trained = Predictor.from_pretrained(options.model)
    simulated = [EventGenerator(m, rng=9).event(2 * 10**6 + i) for m in MIXES for i in range(options.tune)]
    print("ARI / SBD, mean over events that hold the class\n")
    print("| | file | " + " | ".join(SemanticClass(c).name.lower() for c in PARTICLE_CLASSES) + " |")
    print("|" + "---|" * (2 + len(PARTICLE_CLASSES)))
    for refine in (False, True):
        clusterer = GaussianKernelClusterer(leftover="nearest")
        predictor = Predictor(trained.model, clusterer, inputs=trained.inputs, refine=refine)
        scan = tune_thresholds(predictor.predict(simulated), clusterer=clusterer, refine=refine)
        predictor.clusterer = with_thresholds(clusterer, scan)
        for file in options.files:
            events = itertools.islice(open_events(file), options.events)
            table = evaluate(predictor.predict(events))["sparseclust"].table()
            cells = (table[table["semantic"] == c] for c in PARTICLE_CLASSES)
            scores = (f"{rows['ari'].mean():.3f} / {rows['sbd'].mean():.3f}" for rows in cells)
            name = "with repairs" if refine else "as they come"
            print(f"| {name} | {file} | " + " | ".join(scores) + " |", flush=True)


if __name__ == "__main__":
    main()
