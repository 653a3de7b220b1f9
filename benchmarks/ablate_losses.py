"""Train one network with one choice changed at a time, and compare the scores on unseen events.

Every variant gets the same events, initial weights, order and steps. Variants of "edges" cluster by scored
edges, the others by Gaussian kernels. Differences mean something only beside the spread over several
``--seeds``, and only at budgets at which the scores have settled.
Run: python benchmarks/ablate_losses.py [--steps 800] [--events 600] [--seeds 0 1 2] [--only baseline lovasz]
"""

import argparse
import tempfile
import warnings
from typing import Any

import numpy as np
import torch

from sparseclust.clustering import AffinityGraphClusterer, GaussianKernelClusterer
from sparseclust.data import Event, RandomSymmetry, SemanticClass, VoxelInputs
from sparseclust.data.simulation import EventGenerator, SimulatedEvents
from sparseclust.heads import EmbeddingHead
from sparseclust.losses import EdgeAffinityLoss, SpatialEmbeddingLoss
from sparseclust.metrics import summarize_scores
from sparseclust.models import create_model
from sparseclust.training import (
    BudgetSchedule,
    EventDataModule,
    SpatialEmbeddingModule,
    evaluate,
    train,
)

EMBEDDINGS: dict[str, dict[str, Any]] = {
    "baseline": {},
    "focal": {"mask": "focal"},
    "lovasz": {"mask": "lovasz"},
    "bce+lovasz": {"mask": {"bce": 1.0, "lovasz": 1.0}},
    "balanced bce": {"balance": True},
    "average over clusters": {"average": "cluster"},
    "average over voxels": {"average": "voxel"},
    "seed l1": {"seed": "l1"},
    "seed huber": {"seed": "huber"},
    "smooth l1": {"smooth": "l1"},
    "smooth weight 1": {"smooth_weight": 1.0},
    "repulsion": {"repulsion_weight": 1.0},
}
NETWORKS: dict[str, dict[str, Any]] = {
    "margins per axis": {"margin_dim": 3},
    "embedding of 6 axes": {"embedding_dim": 6},
}
EDGES: dict[str, dict[str, Any]] = {
    "edges bce": {},
    "edges focal": {"kind": "focal"},
    "edges lovasz": {"kind": "lovasz"},
    "edges cut weight 1": {"cut_weight": 1.0},
    "edges and maximin": {"maximin_weight": 1.0},
}
VARIANTS = [*EMBEDDINGS, *NETWORKS, *EDGES]
CLASSES = (SemanticClass.SHOWER, SemanticClass.TRACK, SemanticClass.MICHEL, SemanticClass.DELTA)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=800, help="of 4 events, each (default: 800)")
    parser.add_argument("--events", type=int, default=600, help="to train on (default: 600)")
    parser.add_argument("--test-events", type=int, default=60, help="to score (default: 60)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="of weights and order (default: 0)")
    parser.add_argument("--only", nargs="+", choices=VARIANTS, help="by default all")
    arguments = parser.parse_args()
    generator = EventGenerator("crowded", rng=1)
    events = list(SimulatedEvents(arguments.events, generator))
    unseen = list(SimulatedEvents(arguments.test_events, generator, first=10**6))
    print(f"{arguments.steps} steps of 4 events each, {arguments.events} simulated events, crowded mix;")
    print(
        f"ARI / SBD: means over {arguments.test_events} unseen events, then over seeds (standard deviation)\n"
    )
    names = ["variant", *(c.name.lower() for c in CLASSES)]
    print("| " + " | ".join(names) + " |\n|" + "---|" * len(names))
    for variant in arguments.only or VARIANTS:
        runs = [run(variant, events, unseen, arguments.steps, seed) for seed in arguments.seeds]
        scores = np.array(runs)  # (seeds, classes, 2)
        cells = [f"{cell(scores[:, c, 0])} / {cell(scores[:, c, 1])}" for c in range(len(CLASSES))]
        print(f"| {variant} | " + " | ".join(cells) + " |", flush=True)


def run(variant: str, events: list[Event], unseen: list[Event], steps: int, seed: int) -> np.ndarray:
    """Train one variant; ARI and SBD of each class (classes, 2)."""
    inputs = VoxelInputs(768, n_classes=4)
    torch.manual_seed(seed)
    edges = variant in EDGES
    options = dict(EDGES.get(variant, {}))
    model = build("edge_spice" if edges else "spice", inputs.channels(ndim=3), **NETWORKS.get(variant, {}))
    module = SpatialEmbeddingModule(
        model,
        loss=SpatialEmbeddingLoss(**EMBEDDINGS.get(variant, {})),
        maximin_weight=options.pop("maximin_weight", 0.0),
        edge_loss=EdgeAffinityLoss(**options),
        clusterer=AffinityGraphClusterer(threshold=0.7)
        if edges
        else GaussianKernelClusterer(seed_threshold=0.5),
        learning_rate=2e-3,
    )
    transform = RandomSymmetry(768)
    data = EventDataModule(events, unseen[:1], inputs=inputs, batch_size=4, transform=transform, seed=seed)
    schedule = BudgetSchedule(max_steps=steps)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        predictor = train(module, data, output=folder, schedule=schedule, accelerator="auto")
    table = evaluate(predictor.predict(unseen))["sparseclust"].table()
    rows = {int(row["semantic"]): row for row in summarize_scores(table, by="semantic", weight="event")}
    scores = [[rows[c][s]["mean"] if c in rows else np.nan for s in ("ari", "sbd")] for c in CLASSES]
    return np.array(scores)


def build(name: str, in_channels: int, *, embedding_dim: int = 3, margin_dim: int = 1) -> torch.nn.Module:
    size = {"spatial_size": 768, "base_channels": 8, "depth": 5}
    model = create_model(name, in_channels=in_channels, margin_dim=margin_dim, **size)
    if embedding_dim != 3:
        head = EmbeddingHead(8, spatial_size=768, dim=embedding_dim)
        model.branches["embedding"].heads["embeddings"] = head
        # Its arguments do not make this network, so they must not be written into its file.
        model.config = None
    return model


def cell(values: np.ndarray) -> str:
    spread = f" ({values.std(ddof=1):.3f})" if len(values) > 1 else ""
    return f"{values.mean():.3f}{spread}"


if __name__ == "__main__":
    main()
