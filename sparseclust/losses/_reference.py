"""The spatial-embedding loss written as its formulas, with loops: what the fast path is compared to."""

import torch
from torch import Tensor


def spatial_embedding_terms(
    embeddings: Tensor,
    margins: Tensor,
    seediness: Tensor,
    *,
    instance: Tensor,
    group: Tensor,
    balance: bool = False,
    repulsion_distance: float = 0.4,
    eps: float = 1e-6,
) -> dict[str, Tensor]:
    """Unweighted terms, attached to the graph; see :class:`sparseclust.losses.SpatialEmbeddingLoss`."""
    per_group = []
    for g in torch.unique(group).tolist():
        rows = group == g
        if (instance[rows] >= 0).any():
            per_group.append(
                _group_terms(
                    embeddings[rows],
                    margins[rows],
                    seediness[rows],
                    instance[rows],
                    balance=balance,
                    repulsion_distance=repulsion_distance,
                    eps=eps,
                )
            )
    names = ("mask", "seed", "smooth", "repulsion")
    if not per_group:
        return {name: embeddings.sum() * 0 for name in names}
    return {
        name: sum((terms[name] for terms in per_group), torch.zeros(())) / len(per_group) for name in names
    }


def _group_terms(
    e: Tensor, m: Tensor, s: Tensor, instance: Tensor, *, balance: bool, repulsion_distance: float, eps: float
) -> dict[str, Tensor]:
    ids = [k for k in torch.unique(instance).tolist() if k >= 0]
    centroids, mask, smooth = [], [], []
    target = torch.zeros_like(s)
    for k in ids:
        own = instance == k
        mu, sigma = e[own].mean(0), m[own].mean(0)
        z = ((e - mu) ** 2 / (2 * sigma**2)).sum(1)
        cost = torch.where(own, z, -torch.log(-torch.expm1(-(z + eps))))
        if balance and not own.all():
            mask.append((cost[own].mean() + cost[~own].mean()) / 2)
        else:
            mask.append(cost.mean())
        smooth.append(((m[own] - sigma) ** 2).reshape(int(own.sum()), -1).sum(1).mean())
        target[own] = torch.exp(-z).detach()[own]
        centroids.append(mu)
    hinges = [
        torch.clamp(repulsion_distance - torch.linalg.vector_norm(a - b), min=0) ** 2
        for i, a in enumerate(centroids)
        for b in centroids[i + 1 :]
    ]
    return {
        "mask": torch.stack(mask).mean(),
        "seed": ((s - target) ** 2).mean(),
        "smooth": torch.stack(smooth).mean(),
        "repulsion": torch.stack(hinges).mean() if hinges else e.sum() * 0,
    }
