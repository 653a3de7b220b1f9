"""Voxels as a graph of PyTorch Geometric: `pos`, `batch` and `edge_index` in, clusters out.

    python examples/recipes/pyg_graph.py

PyG lists every edge in both directions, we list a pair once; both count nodes through the batch, and `batch`
says which event a node belongs to. Nothing here needs PyG: its conventions are plain tensors.
"""

import torch
from torch import Tensor

from sparseclust.clustering import AffinityGraphClusterer
from sparseclust.data.simulation import EventGenerator
from sparseclust.sparse import SparseTensor


def edge_index_of(pos: Tensor, batch: Tensor) -> Tensor:
    """Connect the voxels of an event that touch: (2, 2m), both directions, sorted as PyG sorts them."""
    coords = torch.cat([batch[:, None], pos], dim=1).int()
    pairs = SparseTensor(torch.empty(len(pos), 0), coords).edges()
    edge_index = torch.cat([pairs, pairs.flip(0)], dim=1)
    return edge_index[:, torch.argsort(edge_index[0] * len(pos) + edge_index[1])]


def cluster(edge_index: Tensor, edge_weight: Tensor, num_nodes: int, **parameters: float) -> Tensor:
    """Cluster a graph whose edges say how likely they join one particle; the two directions are averaged."""
    first, second = edge_index.sort(dim=0).values
    keys, position = torch.unique(first * num_nodes + second, return_inverse=True)
    total = torch.zeros(len(keys)).index_add(0, position, edge_weight)
    pairs = torch.stack([keys // num_nodes, keys % num_nodes])
    affinity = total / position.bincount(minlength=len(keys))
    return AffinityGraphClusterer(**parameters).fit_predict(pairs, affinity, n=num_nodes)


def main(n_events: int = 2) -> Tensor:
    events = [EventGenerator("pilarnet", spatial_size=192, rng=1).event(i) for i in range(n_events)]
    pos = torch.cat([torch.from_numpy(event.coords) for event in events])
    batch = torch.arange(n_events).repeat_interleave(torch.tensor([len(event) for event in events]))
    kind = torch.cat([torch.from_numpy(event.semantic) for event in events])
    edge_index = edge_index_of(pos, batch)
    same = (kind[edge_index[0]] == kind[edge_index[1]]).float()  # where your edge network's scores go
    labels = cluster(edge_index, same, len(pos), min_size=1)
    print(f"{len(pos)} voxels, {edge_index.shape[1]} edges, {labels.max() + 1} clusters")
    return labels


if __name__ == "__main__":
    main()
