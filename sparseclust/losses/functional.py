"""The terms of the losses: one cost per row, unreduced, so that the caller decides what is averaged.

References
----------
.. [1] D. Neven et al., "Instance Segmentation by Jointly Optimizing Spatial Embeddings and Clustering
   Bandwidth", arXiv:1906.11109.
.. [2] D. H. Koh et al., "Scalable, Proposal-free Instance Segmentation Network for 3D Pixel Clustering
   and Particle Trajectory Reconstruction in Liquid Argon Time Projection Chambers", arXiv:2007.03083.
"""

from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, huber_loss

__all__ = [
    "centroid_repulsion",
    "edge_bce",
    "focal",
    "kernel_exponent",
    "lovasz_hinge",
    "margin_smoothness",
    "mask_bce",
    "seediness",
    "segment_mean",
]

Distance = Literal["squared", "l1", "huber"]

MIN_MARGIN = 1e-6
_HUBER_DELTA = 0.1


def segment_mean(values: Tensor, index: Tensor, n: int) -> Tensor:
    """Mean of the rows that share an index.

    Parameters
    ----------
    values : (m, ...) float tensor
        Rows to average.
    index : (m,) int64 tensor
        Segment of each row, in ``[0, n)``.
    n : int
        Number of segments.

    Returns
    -------
    (n, ...) float tensor
        Mean of each segment; ``nan`` where a segment has no row.

    Examples
    --------
    >>> segment_mean(torch.tensor([1.0, 3.0, 5.0]), torch.tensor([0, 0, 1]), 2)
    tensor([2., 5.])
    """
    total = values.new_zeros((n, *values.shape[1:])).index_add(0, index, values)
    count = torch.bincount(index, minlength=n).to(values.dtype)
    return total / count.reshape(n, *[1] * (values.ndim - 1))


def kernel_exponent(embeddings: Tensor, centroids: Tensor, margins: Tensor) -> Tensor:
    r"""Exponent of the Gaussian kernel: :math:`z = \sum_a (e_a - \mu_a)^2 / 2 \sigma_a^2`, p = exp(-z).

    Parameters
    ----------
    embeddings : (..., d) float tensor
        Embedding of the voxel of each pair.
    centroids : (..., d) float tensor
        Centroid of the cluster of each pair.
    margins : (...,) or (..., d) float tensor
        Margin sigma of the cluster of each pair, one for all axes or one per axis.

    Returns
    -------
    (...,) float tensor
        z >= 0, never cut off: a member 20 sigma from its centroid is still pulled.

    Notes
    -----
    Margins are floored at 1e-6, which keeps z and its gradients finite in float32 up to distances of 1e4.

    References
    ----------
    [1]_, eq. 5 and 10.

    Examples
    --------
    >>> kernel_exponent(torch.tensor([[3.0, 4.0]]), torch.zeros(1, 2), torch.tensor([5.0]))
    tensor([0.5000])
    """
    sigma = margins.clamp_min(MIN_MARGIN)
    if sigma.ndim < embeddings.ndim:
        sigma = sigma.unsqueeze(-1)
    return 0.5 * ((embeddings - centroids) / sigma).square().sum(-1)


def mask_bce(z: Tensor, own: Tensor, *, eps: float = 1e-6) -> Tensor:
    r"""Binary cross-entropy of p = exp(-z) against membership, in log space.

    Parameters
    ----------
    z : (m,) float tensor
        Kernel exponents of (voxel, cluster) pairs.
    own : (m,) bool tensor
        Whether the voxel belongs to the cluster.
    eps : float
        Added to z in the foreign cost, whose pole at z = 0 it replaces by :math:`-\log \epsilon`.

    Returns
    -------
    (m,) float tensor
        z for own pairs, :math:`-\log(1 - e^{-(z + \epsilon)})` for foreign pairs.

    Notes
    -----
    The sign is that of a cross-entropy; the formula in the talk to [2]_ is printed without its minus.
    Adding ``eps`` instead of clamping leaves a push on foreign voxels however close they are: with respect
    to an embedding it peaks at :math:`1 / (\sigma \sqrt{2 \epsilon})` and vanishes only on the centroid.

    Examples
    --------
    >>> mask_bce(torch.tensor([2.0, 0.6931]), torch.tensor([True, False]))
    tensor([2.0000, 0.6932])
    """
    shifted = z + eps
    # log(1 - exp(-x)) loses its digits through expm1 for large x and through log1p for small x. Each branch
    # is fed inside its own range, because a gradient of nan in the branch not taken would poison the other.
    near = -torch.log(-torch.expm1(-shifted.clamp_max(1.0)))
    far = -torch.log1p(-torch.exp(-shifted.clamp_min(0.5)))
    return torch.where(own, z, torch.where(shifted < 0.7, near, far))


def focal(cost: Tensor, *, gamma: float = 2.0) -> Tensor:
    r"""Focal form of a cross-entropy c: :math:`(1 - p_t)^\gamma c` with :math:`p_t = e^{-c}`.

    Parameters
    ----------
    cost : (m,) float tensor
        Cross-entropies, not negative.
    gamma : float
        Focusing exponent, at least 1; 0 would give back ``cost``.

    Returns
    -------
    (m,) float tensor
        Costs in which what is nearly right weighs next to nothing.

    References
    ----------
    T.-Y. Lin et al., "Focal Loss for Dense Object Detection", arXiv:1708.02002, eq. 4.

    Examples
    --------
    >>> focal(torch.tensor([0.6931]))
    tensor([0.1733])
    """
    return (-torch.expm1(-cost)).pow(gamma) * cost


def lovasz_hinge(scores: Tensor, own: Tensor, index: Tensor, n: int) -> Tensor:
    r"""Lovasz hinge of each segment: a convex surrogate of 1 - intersection over union.

    Parameters
    ----------
    scores : (m,) float tensor
        Scores whose sign is the prediction: :math:`2p - 1` of the kernel in [1]_, or a logit.
    own : (m,) bool tensor
        Truth.
    index : (m,) int64 tensor
        Segment of each row, in ``[0, n)``: its cluster.
    n : int
        Number of segments.

    Returns
    -------
    (n,) float tensor
        Loss of each segment, 0 where a segment has no row.

    Notes
    -----
    With the hinge errors :math:`\max(0, 1 \mp x)` of a segment in falling order, the loss is their sum
    weighted by how much 1 - IoU grows as each becomes a mistake. A segment without an own row pays its
    largest error. Time m log m, memory some 100 bytes a row. Where errors are equal, so that the loss has
    a corner, the gradient depends on the order of the rows.

    References
    ----------
    .. [1] D. H. Koh et al., arXiv:2007.03083.
    .. [2] M. Berman et al., "The Lovasz-Softmax loss", arXiv:1705.08790, algorithm 1.

    Examples
    --------
    >>> own, cluster = torch.tensor([True, True, False]), torch.tensor([0, 0, 0])
    >>> lovasz_hinge(torch.tensor([1.0, -0.5, -1.0]), own, cluster, 1)
    tensor([0.7500])
    """
    error = 1 - torch.where(own, scores, -scores)
    with torch.no_grad():
        order = torch.argsort(error, descending=True, stable=True)
        order = order[torch.argsort(index[order], stable=True)]
        segment, hit = index[order], own[order].long()
        size = torch.bincount(index, minlength=n)
        start = size.cumsum(0) - size
        members = torch.bincount(index[own], minlength=n)
        hits = hit.cumsum(0) - (members.cumsum(0) - members)[segment]
        position = torch.arange(len(order), device=order.device) - start[segment]
        union = (members[segment] + position + 1 - hits).to(error.dtype)
        missing = (members[segment] - hits).to(error.dtype)
        step = torch.where(hit > 0, 1 / union, missing / (union * (union - 1)))
        step = step.nan_to_num(nan=1.0)  # 0 / 0: the first row of a segment without an own one
    return error.new_zeros(n).index_add(0, segment, error[order].clamp_min(0) * step)


def seediness(predicted: Tensor, kernel: Tensor, *, kind: Distance = "squared") -> Tensor:
    """Distance of the seediness to the kernel value of the own cluster.

    Parameters
    ----------
    predicted : (n,) float tensor
        Seediness of each voxel.
    kernel : (n,) float tensor
        p of each voxel under the kernel of its own cluster, 0 for background. It is detached here: seediness
        learns what the embedding does, and does not bend it.
    kind : {"squared", "l1", "huber"}
        Square of the difference, as in [1]_; its absolute value, as in the code published with [2]_; or half
        its square up to 0.1 and the line that continues it.

    Returns
    -------
    (n,) float tensor

    References
    ----------
    [1]_, eq. 11.

    Examples
    --------
    >>> seediness(torch.tensor([0.5]), torch.tensor([1.0]))
    tensor([0.2500])
    """
    kernel = kernel.detach().to(predicted.dtype)
    if kind == "huber":
        return huber_loss(predicted, kernel, reduction="none", delta=_HUBER_DELTA)
    difference = predicted - kernel
    return difference.abs() if kind == "l1" else difference.square()


def margin_smoothness(margins: Tensor, mean: Tensor, *, kind: Literal["squared", "l1"] = "squared") -> Tensor:
    """Distance of each margin to the mean margin of its cluster.

    Parameters
    ----------
    margins : (n,) or (n, d) float tensor
        Margin of each voxel.
    mean : (n,) or (n, d) float tensor
        Mean margin of the voxel's cluster.
    kind : {"squared", "l1"}
        Square of the difference, as in [1]_, or its absolute value, as in later published code.

    Returns
    -------
    (n,) float tensor
        Summed over axes; the mean of the squares over a cluster is the variance of the margins.

    References
    ----------
    [1]_, eq. 9.

    Examples
    --------
    >>> margin_smoothness(torch.tensor([1.0, 3.0]), torch.tensor([2.0, 2.0]))
    tensor([1., 1.])
    """
    difference = margins - mean
    cost = difference.abs() if kind == "l1" else difference.square()
    return cost.sum(1) if cost.ndim > 1 else cost


def centroid_repulsion(first: Tensor, second: Tensor, *, distance: float = 0.4) -> Tensor:
    """Squared hinge on the distance between two centroids.

    Parameters
    ----------
    first, second : (m, d) float tensors
        Centroids of each pair.
    distance : float
        Distance from which on two centroids leave each other alone.

    Returns
    -------
    (m,) float tensor
        ``max(0, distance - |first - second|) ** 2``.

    Notes
    -----
    Two centroids in the same place have no direction to part in: their gradient is zero.

    Examples
    --------
    >>> centroid_repulsion(torch.zeros(1, 2), torch.tensor([[0.3, 0.0]]), distance=0.5)
    tensor([0.0400])
    """
    gap: Tensor = torch.linalg.vector_norm(first - second, dim=-1)
    return (distance - gap).clamp_min(0).square()


def edge_bce(logits: Tensor, same: Tensor) -> Tensor:
    """Binary cross-entropy of edge logits against "both ends lie in one instance".

    Parameters
    ----------
    logits : (m,) float tensor
        Log-odds that the two ends belong together.
    same : (m,) bool tensor
        Whether they do.

    Returns
    -------
    (m,) float tensor

    Examples
    --------
    >>> edge_bce(torch.tensor([0.0]), torch.tensor([True]))
    tensor([0.6931])
    """
    return binary_cross_entropy_with_logits(logits, same.to(logits.dtype), reduction="none")
