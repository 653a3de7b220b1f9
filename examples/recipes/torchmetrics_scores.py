"""Score particles with torchmetrics: our partition scores beside one of its own.

    python examples/recipes/torchmetrics_scores.py

`PartitionMetric` is a `torchmetrics.Metric`: it adds up over batches and processes, and stands in a
`MetricCollection`. It wants the event of every voxel, as nothing may be compared across events; torchmetrics'
own clustering scores take one partition at a time.
"""

import torch
from torch import Tensor
from torchmetrics import MeanMetric, MetricCollection
from torchmetrics.functional.clustering import adjusted_rand_score

from sparseclust.data.simulation import EventGenerator
from sparseclust.training import PartitionMetric, dbscan_labels


def main(n_events: int = 6) -> dict[str, Tensor]:
    generator = EventGenerator("pilarnet", spatial_size=192, rng=1)
    metrics = MetricCollection(
        {
            "all": PartitionMetric(),
            "of": PartitionMetric(by="semantic"),
            "per particle": PartitionMetric(weight="cluster"),
        }
    )
    theirs = MeanMetric(nan_strategy="ignore")
    for number in range(n_events):
        event = generator.event()
        rows = event.instance >= 0
        columns = (event.instance, dbscan_labels(event), event.semantic)
        true, found, semantic = (torch.from_numpy(column[rows]) for column in columns)
        metrics.update(true, found, torch.full_like(true, number), semantic)
        for c in semantic.unique():
            theirs.update(adjusted_rand_score(found[semantic == c], true[semantic == c]))
    scores = metrics.compute() | {"torchmetrics ari": theirs.compute()}
    for name, value in scores.items():
        print(f"{name:24} {value:.4f}")
    return scores


if __name__ == "__main__":
    main()
