"""What each repair does to a network's clusters: mean ARI and SBD per class on simulated events.

Run ``python benchmarks/bench_repairs.py --model model.pt``, with a model of ``sparseclust train`` or
``sparseclust demo``. The events come from the library's own generator, with numbers that no training uses.
Clusters are those of the Gaussian kernels (per event and class; --leftover says where points go that no seed
covers), without and with each repair, beside DBSCAN and, where the model has edges, the affinity graph.
"""

import argparse
import functools
from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np
import torch

from sparseclust.clustering import (
    AffinityGraphClusterer,
    absorb_fragments,
    cluster_embeddings,
    connected_components,
    dbscan_voxels,
    merge_touching,
    refine,
    split_disconnected,
)
from sparseclust.data import VoxelDataset, collate_events, open_events
from sparseclust.data.simulation import EventGenerator, SimulatedEvents
from sparseclust.metrics import score_events, summarize_scores
from sparseclust.pipeline import Predictor, edges_within, network_outputs

CLASSES = ("shower", "track", "Michel", "delta")
UNSEEN = 2_000_000

Outputs = Mapping[str, Any]
Leftover = Literal["noise", "nearest"]


def outputs(predictor: Predictor, events: Any, n: int) -> list[Outputs]:
    """Run the network on each event; return its outputs as arrays, beside voxels and truth."""
    found = []
    dataset = VoxelDataset(events)
    for i in range(min(n, len(events))):
        batch = collate_events([dataset[i]], inputs=predictor.inputs)
        with torch.inference_mode():
            out = network_outputs(predictor.model.eval(), batch)
        if "edges" in out:
            out["edges"], logits = edges_within(out["edges"], out["affinity"], batch.group)
            out["affinity"] = torch.sigmoid(logits)
        arrays = {name: value.cpu().numpy() for name, value in out.items()}
        truth = {"semantic": batch.semantic.numpy(), "instance": batch.instance.numpy()}
        found.append({"coords": batch.tensor.coords.numpy()[:, 1:], **arrays, **truth})
    return found


def methods(
    seed_threshold: float, min_size: int, affinity: float, leftover: Leftover
) -> dict[str, Callable[[Outputs], Any]]:
    """Every way to label an event that is compared."""

    def kernels(o: Outputs, group: Any = None) -> Any:
        return cluster_embeddings(
            o["embeddings"],
            o["margins"],
            o["seediness"],
            group=o["semantic"] if group is None else group,
            seed_threshold=seed_threshold,
            leftover=leftover,
        )

    def by_component(o: Outputs) -> Any:
        return kernels(o, connected_components(o["coords"], group=o["semantic"]))

    def repaired(repair: Callable[..., Any], start: Callable[[Outputs], Any], **options: Any) -> Any:
        return lambda o: repair(
            start(o), o["coords"], o["embeddings"], o["margins"], group=o["semantic"], **options
        )

    def split(o: Outputs) -> Any:
        return split_disconnected(kernels(o), o["coords"], group=o["semantic"])

    absorb = functools.partial(repaired, absorb_fragments, min_size=min_size)
    merge = functools.partial(repaired, merge_touching, affinity=affinity)
    return {
        "DBSCAN": lambda o: dbscan_voxels(o["coords"], group=o["semantic"]),
        "kernels": kernels,
        "kernels in components": by_component,
        "split": split,
        "absorb": absorb(kernels),
        "merge": merge(kernels),
        "split, absorb": absorb(split),
        "split, merge": merge(split),
        "split, merge, absorb": absorb(merge(split)),
        "refine": repaired(refine, kernels, min_size=min_size, affinity=affinity),
        "components, absorb, merge": merge(absorb(by_component)),
        "edge graph": lambda o: AffinityGraphClusterer(threshold=0.7).fit_predict(
            o["edges"], o["affinity"], n=len(o["coords"])
        ),
    }


def scores(events: list[Outputs], method: Callable[[Outputs], Any]) -> str:
    """Mean ARI and SBD per class."""
    labels = [method(o) for o in events]
    table = score_events(
        np.concatenate([o["instance"] for o in events]),
        np.concatenate(labels),
        event=np.repeat(np.arange(len(events)), [len(found) for found in labels]),
        semantic=np.concatenate([o["semantic"] for o in events]),
    )
    summary = {int(row["semantic"]): row for row in summarize_scores(table)}
    cells = [
        f"{summary[c]['ari']['mean']:.3f} {summary[c]['sbd']['mean']:.3f}" if c in summary else "    -     -"
        for c in range(len(CLASSES))
    ]
    return "   ".join(cells)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--model", required=True, help="model.pt of `sparseclust train` or `sparseclust demo`"
    )
    parser.add_argument("--events", type=int, default=40, help="per mix")
    parser.add_argument("--files", nargs="*", help="labelled event files, instead of simulated ones")
    parser.add_argument("--seed_threshold", type=float, default=0.5)
    parser.add_argument("--leftover", choices=("noise", "nearest"), default="nearest")
    parser.add_argument("--min_size", type=int, nargs="+", default=[5])
    parser.add_argument("--affinity", type=float, nargs="+", default=[0.3])
    options = parser.parse_args()
    predictor = Predictor.from_pretrained(options.model)
    size = predictor.inputs.spatial_size
    sources = {name: open_events(name) for name in options.files or []} or {
        mix: SimulatedEvents(options.events, EventGenerator(mix, spatial_size=size, rng=1), first=UNSEEN)
        for mix in ("pilarnet", "crowded")
    }
    for name, source in sources.items():
        events = outputs(predictor, source, options.events)
        print(f"{name}, {len(events)} events; ARI SBD of " + ", ".join(CLASSES))
        for min_size in options.min_size:
            for affinity in options.affinity:
                print(f"  min_size {min_size}, affinity {affinity}")
                for method, label in methods(
                    options.seed_threshold, min_size, affinity, options.leftover
                ).items():
                    if method != "edge graph" or "edges" in events[0]:
                        print(f"    {method:28}{scores(events, label)}", flush=True)


if __name__ == "__main__":
    main()
