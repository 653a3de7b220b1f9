"""The losses written as their formulas, with loops: what the fast paths are compared to."""

import torch
from torch import Tensor
from torch.nn.functional import huber_loss

NAMES = ("mask", "seed", "smooth", "repulsion")


def spatial_embedding_terms(
    embeddings: Tensor,
    margins: Tensor,
    seediness: Tensor,
    *,
    instance: Tensor,
    group: Tensor,
    event: Tensor | None = None,
    mask: str = "bce",
    balance: bool = False,
    repulsion_distance: float = 0.4,
    average: str = "group",
    seed: str = "squared",
    smooth: str = "squared",
    eps: float = 1e-6,
) -> dict[str, Tensor]:
    """Unweighted terms, attached to the graph; see :class:`sparseclust.losses.SpatialEmbeddingLoss`."""
    per_group, events, weights = [], [], []
    for g in torch.unique(group).tolist():
        rows = group == g
        if not (instance[rows] >= 0).any():
            continue
        truth = instance[rows]
        terms = _of_voxels(embeddings[rows], margins[rows], seediness[rows], truth, seed, smooth)
        terms["mask"] = mask_cost(embeddings[rows], margins[rows], truth, mask=mask, balance=balance, eps=eps)
        terms["repulsion"] = _repulsion(embeddings[rows], truth, repulsion_distance)
        per_group.append(terms)
        events.append(0 if event is None else int(event[rows][0]))
        clusters = len(set(truth.tolist()) - {-1})
        weights.append({"group": 1.0, "cluster": clusters, "voxel": len(truth)}[average])
    if average == "group":
        weights = [1 / events.count(e) for e in events]
    zero = embeddings.sum() * 0
    return {
        name: sum((w * terms[name] for w, terms in zip(weights, per_group)), zero) / max(sum(weights), 1e-30)
        for name in NAMES
    }


def mask_cost(
    e: Tensor, m: Tensor, instance: Tensor, *, mask: str = "bce", balance: bool = False, eps: float = 1e-6
) -> Tensor:
    """Mask term of one group, cluster by cluster."""
    costs = []
    for own in _clusters(instance):
        z = _kernel_exponent(e, m, own)
        if mask == "lovasz":
            costs.append(lovasz_hinge(2 * torch.exp(-z) - 1, own))
            continue
        cost = torch.where(own, z, -torch.log(-torch.expm1(-(z + eps))))
        if mask == "focal":
            cost = (1 - torch.exp(-cost)) ** 2 * cost
        if balance and not own.all():
            costs.append((cost[own].mean() + cost[~own].mean()) / 2)
        else:
            costs.append(cost.mean())
    return torch.stack(costs).mean()


def lovasz_hinge(scores: Tensor, own: Tensor) -> Tensor:
    """Lovasz hinge of one segment: errors in falling order, each times the growth of 1 - IoU."""
    errors = torch.where(own, 1 - scores, 1 + scores)
    total, previous = scores.sum() * 0, 0.0
    mistaken = torch.zeros_like(own)
    for i in torch.argsort(errors, descending=True, stable=True).tolist():
        mistaken[i] = True
        jaccard = 1 - int((own & ~mistaken).sum()) / int((own | mistaken).sum())
        total = total + errors[i].clamp_min(0) * (jaccard - previous)
        previous = jaccard
    return total


def _clusters(instance: Tensor) -> list[Tensor]:
    return [instance == k for k in torch.unique(instance).tolist() if k >= 0]


def _kernel_exponent(e: Tensor, m: Tensor, own: Tensor) -> Tensor:
    return ((e - e[own].mean(0)) ** 2 / (2 * m[own].mean(0) ** 2)).sum(1)


def _of_voxels(
    e: Tensor, m: Tensor, s: Tensor, instance: Tensor, seed: str, smooth: str
) -> dict[str, Tensor]:
    target, spread = torch.zeros_like(s), []
    for own in _clusters(instance):
        target[own] = torch.exp(-_kernel_exponent(e, m, own)).detach()[own]
        difference = (m[own] - m[own].mean(0)).reshape(int(own.sum()), -1)
        spread.append((difference.abs() if smooth == "l1" else difference**2).sum(1).mean())
    costs = {
        "squared": (s - target) ** 2,
        "l1": (s - target).abs(),
        "huber": huber_loss(s, target, reduction="none", delta=0.1),
    }
    return {"seed": costs[seed].mean(), "smooth": torch.stack(spread).mean()}


def _repulsion(e: Tensor, instance: Tensor, distance: float) -> Tensor:
    centroids = [e[own].mean(0) for own in _clusters(instance)]
    hinges = [
        torch.clamp(distance - torch.linalg.vector_norm(a - b), min=0) ** 2
        for i, a in enumerate(centroids)
        for b in centroids[i + 1 :]
    ]
    return torch.stack(hinges).mean() if hinges else e.sum() * 0


def maximin_loss(logits: Tensor, edges: Tensor, instance: Tensor, group: Tensor) -> Tensor:
    """Sum over all pairs, one path search each; see :class:`sparseclust.losses.MaximinAffinityLoss`."""
    groups = []
    for g in torch.unique(group).tolist():
        rows = [i for i in range(len(instance)) if group[i] == g and instance[i] >= 0]
        own = [e for e, (a, b) in enumerate(edges.T.tolist()) if a in rows and b in rows and a != b]
        if not own:
            continue
        size = {c: sum(int(instance[i]) == c for i in rows) for c in instance[rows].tolist()}
        total = logits.sum() * 0
        for n, i in enumerate(rows):
            for j in rows[:n]:
                a, b = int(instance[i]), int(instance[j])
                best = _maximin_edge(logits, edges, instance, own, i, j)
                if best is None:
                    continue
                pairs = max(size[a], size[b]) if a != b else (size[a] - 1) / 2
                cost = torch.nn.functional.softplus(logits[best] if a != b else -logits[best])
                total = total + cost / (pairs * len(rows))
        groups.append(total)
    return sum(groups, logits.sum() * 0) / max(len(groups), 1)


def _maximin_edge(
    logits: Tensor, edges: Tensor, instance: Tensor, own: list[int], i: int, j: int
) -> int | None:
    """Find the lowest edge on the highest path, within the instance or between whole instances."""
    within = [e for e in own if instance[edges[0, e]] == instance[edges[1, e]]]
    across = [e for e in own if e not in within]
    free = [] if instance[i] == instance[j] else within
    paid = within if instance[i] == instance[j] else across
    for bound in sorted(paid, key=lambda e: -float(logits[e].detach())):
        reached, usable = {i}, free + [e for e in paid if logits[e] >= logits[bound]]
        while True:
            more = {v for e in usable for v in edges[:, e].tolist() if reached & set(edges[:, e].tolist())}
            if more <= reached:
                break
            reached |= more
        if j in reached:
            return bound
    return None
