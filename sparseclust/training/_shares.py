"""What a process contributes to a mean over the batch of all processes."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, distributed


def world_size() -> int:
    """Count the processes that train together."""
    together = distributed.is_available() and distributed.is_initialized()
    return distributed.get_world_size() if together else 1


def share_of_mean(weigh: Callable[..., Tensor], *arguments: Any) -> Tensor | float:
    """Factor that makes the mean over processes of local means the mean over everything.

    Parameters
    ----------
    weigh : callable
        ``weigh(*arguments)`` is how much this process weighs in that mean. Not called where there is one
        process.

    Returns
    -------
    () float64 tensor, or 1.0
        World size times weight, divided by the sum of the weights. All processes must call it.
    """
    n = world_size()
    if n == 1:
        return 1.0
    weight = weigh(*arguments).detach().double()
    total = weight.clone()
    distributed.all_reduce(total)
    return n * weight / total.clamp_min(torch.finfo(total.dtype).tiny)


def cluster_weight(instance: Tensor, group: Tensor, event: Tensor, loss: Any) -> Tensor:
    """Count what a loss of the embeddings averages over: events, clusters or voxels of groups with truth."""
    known, average = instance >= 0, getattr(loss, "average", "group")
    if average == "group":
        return _distinct(event[known])
    if average == "cluster":
        return _distinct(torch.stack([group, instance])[:, known], dim=1)
    return torch.isin(group, group[known]).sum()


def voxel_weight(semantic: Tensor, loss: Any) -> Tensor:
    """Count what a semantic loss averages over: voxels whose class is known, by the weight of the class."""
    known = semantic[semantic != getattr(loss, "ignore_index", -1)]
    weights = getattr(loss, "class_weights", None)
    return torch.tensor(len(known), device=semantic.device) if weights is None else weights[known].sum()


def edge_weight(edges: Tensor, instance: Tensor, group: Tensor | None, loss: Any) -> Tensor:
    """Count what a loss of edges averages over: groups with edges that count, or else these edges."""
    first, second = edges[:, (instance[edges] >= 0).all(0)]
    if group is not None:
        return _distinct(group[first])
    cut_weight = float(getattr(loss, "cut_weight", 1.0))
    return torch.where(instance[first] == instance[second], 1.0, cut_weight).sum()


def _distinct(values: Tensor, dim: int | None = None) -> Tensor:
    unique = torch.unique(values, dim=dim)
    return torch.tensor(unique.shape[0 if dim is None else dim], device=values.device)
