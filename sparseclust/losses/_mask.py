"""The mask term over all (voxel, cluster) pairs within a group, without a table of the pairs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from sparseclust.losses import functional
from sparseclust.losses._fused import has_kernel, mask_pairs
from sparseclust.losses._pairs import sum_over_pairs
from sparseclust.losses._partition import Partition

MaskTerm = Literal["bce", "focal", "lovasz"]

_EPS = 1e-6
_FAR = 40.0  # exp(-40) < 2^-57: such a foreign pair moves neither a sum nor a rank


@dataclass(frozen=True)
class Kernels:
    """The Gaussian kernel of each cluster, and what its pairs weigh."""

    centroids: Tensor  # (K, d)
    margins: Tensor  # (K,) or (K, d)
    own_weight: Tensor  # (K,)
    foreign_weight: Tensor  # (K,)
    weight: Tensor  # (K,) of the cluster as a whole


def mask_weights(mask: MaskTerm | Mapping[MaskTerm, float]) -> dict[MaskTerm, float]:
    """Weight of each kind of cost.

    Raises
    ------
    ValueError
        If there is none, or an unknown one.
    """
    weights = dict(mask) if isinstance(mask, Mapping) else {mask: 1.0}
    if not weights or not set(weights) <= set(get_args(MaskTerm)):
        raise ValueError(
            f"mask must be one of {get_args(MaskTerm)}, or a mapping of some to weights, got {mask!r}"
        )
    return weights


def mask_cost(
    term: MaskTerm,
    embeddings: Tensor,
    kernels: Kernels,
    part: Partition,
    *,
    fused: bool,
    max_pairs: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Sum of the weighted costs, and what each cluster (K,) contributes to it, detached."""
    if fused and has_kernel(term, embeddings.device):
        return _fused(term, embeddings, kernels, part)
    if term == "lovasz":
        cost = _lovasz(embeddings, kernels, part, max_pairs)
    else:
        cost = _chunked(term, embeddings, kernels, part, max_pairs)
    return cost.sum(), cost.detach()


def _fused(term: MaskTerm, embeddings: Tensor, kernels: Kernels, part: Partition) -> tuple[Tensor, Tensor]:
    margins = kernels.margins.clamp_min(functional.MIN_MARGIN)
    margins = margins if margins.ndim == 2 else margins.unsqueeze(1)
    total, cost, *_ = mask_pairs(
        embeddings,
        kernels.centroids,
        margins.expand_as(kernels.centroids),
        part.label,
        part.group,
        part.group_clusters,
        kernels.weight if term == "lovasz" else kernels.own_weight,
        kernels.foreign_weight,
        term,
        _EPS,
    )
    return total, cost


def _chunked(
    term: MaskTerm, embeddings: Tensor, kernels: Kernels, part: Partition, max_pairs: int | None
) -> Tensor:
    label = part.label

    def chunk(voxel: Tensor, cluster: Tensor) -> Tensor:
        own = label[voxel] == cluster
        cost = functional.mask_bce(_exponent(embeddings, voxel, kernels, cluster), own, eps=_EPS)
        if term == "focal":
            cost = functional.focal(cost)
        cost = cost * torch.where(own, kernels.own_weight[cluster], kernels.foreign_weight[cluster])
        return cost.new_zeros(part.n_clusters).index_add(0, cluster, cost)

    first, count = part.first_cluster[part.group], part.group_clusters[part.group]
    total = sum_over_pairs(chunk, first, count, max_pairs=max_pairs)
    return embeddings[:0].sum().expand(part.n_clusters) if total is None else total


def _lovasz(embeddings: Tensor, kernels: Kernels, part: Partition, max_pairs: int | None) -> Tensor:
    label, order = part.label, torch.argsort(part.group, stable=True)

    def chunk(cluster: Tensor, position: Tensor) -> Tensor:
        voxel = order[position]
        own = label[voxel] == cluster
        z = _exponent(embeddings, voxel, kernels, cluster)
        near = own | ~(z > _FAR)
        scores = 2 * torch.exp(-z[near]) - 1
        return functional.lovasz_hinge(scores, own[near], cluster[near], part.n_clusters) * kernels.weight

    first = part.group_size.cumsum(0) - part.group_size
    group = part.cluster_group
    total = sum_over_pairs(chunk, first[group], part.group_size[group], max_pairs=max_pairs)
    return embeddings[:0].sum().expand(part.n_clusters) if total is None else total


def _exponent(embeddings: Tensor, voxel: Tensor, kernels: Kernels, cluster: Tensor) -> Tensor:
    return functional.kernel_exponent(embeddings[voxel], kernels.centroids[cluster], kernels.margins[cluster])
