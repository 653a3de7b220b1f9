"""The repulsion of centroids over all pairs of clusters of a group."""

import importlib
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from sparseclust.losses._pairs import sum_over_pairs
from sparseclust.losses._partition import Partition
from sparseclust.losses.functional import centroid_repulsion


def sum_of_repulsions(centroids: Tensor, part: Partition, distance: float, *, fused: bool) -> Tensor:
    """Sum (G,) over the pairs of clusters of each group; ``fused`` is for tensors on the CPU."""
    if fused:
        of_groups: Tensor = _Compiled.apply(centroids, part, distance)  # type: ignore[no-untyped-call]
        return of_groups
    of_cluster = part.cluster_group

    def term(first: Tensor, second: Tensor) -> Tensor:
        cost = centroid_repulsion(centroids[first], centroids[second], distance=distance)
        return cost.new_zeros(len(part.group_clusters)).index_add(0, of_cluster[first], cost)

    following = torch.arange(1, part.n_clusters + 1, device=centroids.device)
    remaining = (part.first_cluster + part.group_clusters)[of_cluster] - following
    total = sum_over_pairs(term, following, remaining)
    return centroids[:0].sum() * part.group_clusters if total is None else total


class _Compiled(torch.autograd.Function):
    """Sums and gradients in one sweep."""

    @staticmethod
    def forward(ctx: Any, centroids: Tensor, part: Partition, distance: float) -> Tensor:
        kernels = importlib.import_module(
            "sparseclust.losses._kernels"
        )  # compiles, so not before it is needed
        total, gradient = np.zeros(len(part.group_clusters)), np.zeros(centroids.shape)
        first, count = part.first_cluster.numpy(), part.group_clusters.numpy()
        kernels.repel(centroids.detach().contiguous().numpy(), first, count, distance, total, gradient)
        ctx.save_for_backward(torch.from_numpy(gradient).to(centroids.dtype), part.cluster_group)
        return torch.from_numpy(total).to(centroids.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_total: Tensor) -> tuple[Tensor | None, ...]:
        gradient, of_cluster = ctx.saved_tensors
        return gradient * grad_total[of_cluster].unsqueeze(1), None, None
