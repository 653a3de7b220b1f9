"""The mask term, fused: cost and gradients of all pairs in a compiled sweep that keeps no pair."""

import importlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sparseclust._threads import in_threads
from sparseclust.losses import _triton

# The number of parts depends on the work alone, so that the number of threads changes no digit.
_PARTS = 8
_PAIRS_PER_PART = 1 << 17


@torch.library.custom_op("sparseclust::mask_pairs", mutates_args=(), device_types="cpu")
def mask_pairs(
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
    """Sum the weighted costs of all (voxel, cluster) pairs within a group.

    Parameters
    ----------
    embeddings : (n, d) float32 or float64 tensor
        Embedding of each voxel.
    centroids, margins : (K, d) tensors of the same type
        Of each cluster; the clusters of a group are consecutive, in the order of the groups.
    label, group : (n,) int64 tensors
        Cluster in [0, K), or K for none, and group in [0, G) of each voxel.
    group_clusters : (G,) int64 tensor
        Clusters of each group; they sum to K.
    own_weight, foreign_weight : (K,) tensors of the same type
        Weight of a pair with a voxel of this cluster, and with another. Constants: no gradient.
    term : {"bce", "focal", "lovasz"}
        Cross-entropy, its focal form with exponent 2, or the Lovasz hinge on 2p - 1 of each cluster, which
        is weighted by ``own_weight``.
    eps : float
        As in :func:`sparseclust.losses.functional.mask_bce`, at least 1e-9.

    Returns
    -------
    total : scalar tensor
        The sum; differentiable once by embeddings, centroids and margins.
    cost : (K,) tensor
        What each cluster contributes to it. Not differentiable, like the following.
    grad_embeddings, grad_centroids, grad_margins : tensors
        Gradients of the total.

    Notes
    -----
    A cross-entropy and its gradient are computed in the type of the embeddings and summed over up to 800
    voxels; the sums of a cluster over these are float64, and so is all of the Lovasz hinge. Foreign pairs
    with p < 2^-57 (focal: 2^-30) cost and push nothing. Errors of the hinge that differ by less than 2^-30
    come in either order. Beside the results, 8 bytes a voxel for the order of the rows, and O(K); for the
    Lovasz hinge 32 bytes more for each voxel of the largest group.
    """
    tensors = (embeddings, centroids, margins, label, group, group_clusters, own_weight, foreign_weight)
    arrays = [t.detach().contiguous().numpy() for t in tensors]
    grad_embeddings = torch.zeros(embeddings.shape, dtype=embeddings.dtype)
    sums = _sweep(arrays, term, eps, grad_embeddings.numpy())
    cost, grad_centroids, grad_margins = (torch.from_numpy(a).to(embeddings.dtype) for a in sums)
    total = torch.tensor(sums[0].sum(), dtype=embeddings.dtype)
    return total, cost, grad_embeddings, grad_centroids, -grad_margins / margins


@mask_pairs.register_fake
def _(
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
    return (
        embeddings.new_empty(()),
        embeddings.new_empty(own_weight.shape),
        embeddings.new_empty(embeddings.shape),
        embeddings.new_empty(centroids.shape),
        embeddings.new_empty(centroids.shape),
    )


mask_pairs.register_kernel("cuda", _triton.sweep)


def has_kernel(term: str, device: torch.device) -> bool:
    """Whether :func:`mask_pairs` can sum a term on a device."""
    return device.type == "cpu" or (device.type == "cuda" and term != "lovasz" and _triton.importable())


def _keep_gradients(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    ctx.mark_non_differentiable(*output[1:])
    ctx.save_for_backward(*output[2:])


def _scale_gradients(ctx: Any, grad_total: Tensor, *unused: Tensor | None) -> tuple[Tensor | None, ...]:
    if torch.is_grad_enabled():
        raise NotImplementedError(
            "the compiled mask term has no second derivative; call backward without create_graph, or set "
            "fused = False on the SpatialEmbeddingLoss"
        )
    return (*(grad_total * gradient for gradient in ctx.saved_tensors), *[None] * 7)


mask_pairs.register_autograd(_scale_gradients, setup_context=_keep_gradients)


def _sweep(arrays: Sequence[Any], term: str, eps: float, grad_embeddings: Any) -> list[Any]:
    """Cost, gradient by centroid, and gradient by margin times minus the margin, of each cluster."""
    embeddings, centroids, margins, label, group, count, *weights = arrays
    # These compile: not before they are needed.
    kernels = importlib.import_module("sparseclust.losses._kernels")
    lovasz = importlib.import_module("sparseclust.losses._kernels_lovasz")
    first = np.cumsum(count) - count
    order, splits = kernels.sort_rows(label, group, first, count)
    inverse = (np.sqrt(0.5 / kernels.LN2) / margins).astype(embeddings.dtype)
    clusters = (embeddings, centroids, inverse, order, splits, first, count)
    rows = kernels.tile_rows(embeddings.itemsize, eps)
    blocks = kernels.cut_blocks(splits, first, count, rows)
    tiles = kernels.cut_tiles(blocks, rows)
    if term == "lovasz":  # shared by groups, as every cluster of a group moves all its voxels
        work = count * np.bincount(group, minlength=len(count))
    else:
        group_of_tile = blocks[tiles[:-1], 0]
        work = count[group_of_tile] * np.add.reduceat(blocks[:, 2] - blocks[:, 1], tiles[:-1])
    edges = _cut(work)
    parts = len(edges) - 1
    sums = [np.zeros((parts, *a.shape)) for a in (weights[0], centroids, centroids)]

    def run(part: int) -> None:
        low, high = edges[part], edges[part + 1]
        cost, by_centroid, by_margin = (s[part] for s in sums)
        results = (grad_embeddings, by_centroid, by_margin, cost)
        if term == "lovasz":
            lovasz.lovasz_pairs(*clusters, weights[0], low, high, *results)
        else:
            axes = (0,) * embeddings.shape[1]
            how = (term == "focal", embeddings.dtype.type(eps), rows, blocks, tiles[low : high + 1])
            kernels.mask_pairs(axes, *clusters, *weights, *how, *results)

    in_threads(run, parts, torch.get_num_threads())
    return [s.sum(axis=0) for s in sums]


def _cut(work: Any) -> Any:
    """Cut a list of pieces of work into parts of about the same."""
    done = np.cumsum(work)
    total = int(done[-1]) if len(work) else 0
    parts = min(_PARTS, 1 + total // _PAIRS_PER_PART)
    edges = np.searchsorted(done, total * np.arange(parts + 1) // parts)
    edges[0], edges[-1] = 0, len(work)
    return edges
