"""The mask term on CUDA: two sweeps of Triton kernels over all pairs, which keep none."""

import contextlib
import functools
import importlib

import torch
from torch import Tensor

from sparseclust._optional import why_unavailable

_ROWS = 128
_PARTS = 8  # programs that share the voxels of a cluster; how many there are changes the last digits


@functools.cache
def importable() -> bool:
    """Whether Triton is there."""
    return why_unavailable("triton") is None


def sweep(
    embeddings: Tensor,
    centroids: Tensor,
    margins: Tensor,
    label: Tensor,
    group: Tensor,
    group_clusters: Tensor,
    own_weight: Tensor,
    foreign_weight: Tensor,
    term: str,
    eps: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Do as :func:`sparseclust.losses._fused.mask_pairs`, whose arguments these are, but for "lovasz"."""
    n, d = embeddings.shape
    clusters = len(centroids)
    grad = torch.zeros_like(embeddings)
    if n == 0 or clusters == 0:
        return embeddings.new_zeros(()), own_weight * 0, grad, centroids * 0, margins * 0
    kernels = importlib.import_module("sparseclust.losses._kernels_triton")
    order = torch.argsort(group, stable=True)
    rows, of_row, group = embeddings[order], label[order].int(), group[order]
    last = group_clusters.cumsum(0)
    low, high = ((last - group_clusters)[group].int(), last[group].int())
    size = torch.bincount(group, minlength=len(group_clusters))
    of_cluster = torch.arange(len(size), device=size.device).repeat_interleave(
        group_clusters, output_size=clusters
    )
    end = size.cumsum(0)[of_cluster]
    balls = [t.contiguous() for t in (centroids, margins, own_weight, foreign_weight)]
    partial = embeddings.new_empty(clusters, _PARTS, 1 + 2 * d)
    pushed = torch.empty_like(rows)
    how = {
        "FOCAL": term == "focal",
        "TERMS": 16 if embeddings.dtype == torch.float64 else 9,
        "D": d,
        "AXES": 1 << (d - 1).bit_length(),
        "ROWS": _ROWS,
    }
    with torch.cuda.device(embeddings.device) if embeddings.is_cuda else contextlib.nullcontext():
        blocks = (-(-n // _ROWS),)
        kernels.push_voxels[blocks](rows, of_row, low, high, *balls, pushed, n, eps, **how)
        begin = end - size[of_cluster]
        grid = (clusters, _PARTS)
        kernels.sum_clusters[grid](rows, of_row, begin, end, *balls, partial, eps, PARTS=_PARTS, **how)
    sums = partial.double().sum(1)
    total = sums[:, 0].sum().to(embeddings.dtype)
    cost, by_centroid, by_margin = (
        t.to(embeddings.dtype).contiguous() for t in (sums[:, 0], sums[:, 1 : 1 + d], sums[:, 1 + d :])
    )
    grad[order] = pushed
    return total, cost, grad, by_centroid, by_margin
