"""The spatial-embedding loss: embeddings, margins and seediness against instances."""

from typing import Literal, get_args

import torch
from torch import Tensor, nn

from sparseclust.losses import functional
from sparseclust.losses._pairs import MAX_PAIRS, sum_over_pairs
from sparseclust.losses._partition import Partition

MaskTerm = Literal["bce", "focal"]


class SpatialEmbeddingLoss(nn.Module):
    r"""Pull voxels to the centroid of their cluster, push those of other clusters out of its kernel.

    Parameters
    ----------
    mask_weight, seed_weight, smooth_weight, repulsion_weight : float
        Weights of the four terms in the sum. Terms of weight 0 are still reported.
    mask : {"bce", "focal"}
        Cost of a (voxel, cluster) pair.
    balance : bool
        Let own and foreign voxels weigh the same within each cluster, instead of by their number.
    repulsion_distance : float
        Centroids closer than this repel each other, in embedding units.

    Notes
    -----
    Let :math:`\mu_k, \sigma_k` be the mean embedding and mean margin of cluster k, attached to the graph,
    :math:`z_{ik} = |e_i - \mu_k|^2 / 2\sigma_k^2` and :math:`p_{ik} = e^{-z_{ik}}`. The terms of one group g
    with :math:`n_g` voxels and :math:`K_g` clusters are

    - mask: :math:`\frac{1}{K_g} \sum_k \frac{1}{n_g} \sum_{i \in g} \mathrm{BCE}(p_{ik}, [i \in k])`,
    - seed: :math:`\frac{1}{n_g} \sum_{i \in g} (s_i - p_{i k(i)})^2`, p detached, 0 where there is no k(i),
    - smooth: :math:`\frac{1}{K_g} \sum_k \frac{1}{n_k} \sum_{i \in k} |\sigma_i - \sigma_k|^2`,
    - repulsion: mean over pairs of centroids of :math:`\max(0, D - |\mu_k - \mu_l|)^2`, 0 for one cluster.

    They are averaged over the groups that hold at least one cluster; a group without truth counts for
    nothing. Nothing crosses a group, so a batch of groups costs the mean of the groups alone.
    The weight 10 of the smoothness is that of the code published with [1]_.

    Time grows with the pairs :math:`\sum_g n_g K_g`, memory with the voxels, plus a bounded chunk of pairs.
    bfloat16 and float16 are computed in float32.

    References
    ----------
    .. [1] D. Neven et al., arXiv:1906.11109, eq. 5-11.
    .. [2] D. H. Koh et al., arXiv:2007.03083.

    Examples
    --------
    >>> import torch
    >>> embeddings = torch.tensor([[0.0], [1.0]], requires_grad=True)
    >>> loss = SpatialEmbeddingLoss(smooth_weight=0.0)
    >>> instance, group = torch.tensor([0, 1]), torch.tensor([7, 7])
    >>> terms = loss(embeddings, torch.ones(2), torch.ones(2), instance=instance, group=group)
    >>> {name: round(value.item(), 3) for name, value in terms.items()}
    {'loss': 0.466, 'mask': 0.466, 'seed': 0.0, 'smooth': 0.0, 'repulsion': 0.0}
    """

    def __init__(
        self,
        *,
        mask_weight: float = 1.0,
        seed_weight: float = 1.0,
        smooth_weight: float = 10.0,
        repulsion_weight: float = 0.0,
        mask: MaskTerm = "bce",
        balance: bool = False,
        repulsion_distance: float = 0.4,
    ) -> None:
        super().__init__()
        if mask not in get_args(MaskTerm):
            raise ValueError(f"mask must be one of {get_args(MaskTerm)}, got {mask!r}")
        self.weights = {
            "mask": mask_weight,
            "seed": seed_weight,
            "smooth": smooth_weight,
            "repulsion": repulsion_weight,
        }
        self.mask = mask
        self.balance = balance
        self.repulsion_distance = repulsion_distance
        self.max_pairs = MAX_PAIRS

    def forward(
        self, embeddings: Tensor, margins: Tensor, seediness: Tensor, *, instance: Tensor, group: Tensor
    ) -> dict[str, Tensor]:
        """Compute the loss.

        Parameters
        ----------
        embeddings : (n, d) float tensor
            Position of each voxel in embedding space.
        margins : (n,) or (n, d) float tensor
            Margin sigma of each voxel, for all axes or per axis.
        seediness : (n,) float tensor
            Seediness of each voxel.
        instance : (n,) int64 tensor
            True instance, -1 for none. Ids need to be unique only within a group.
        group : (n,) int64 tensor
            Opaque id of what a voxel is clustered with, usually event x semantic class.

        Returns
        -------
        dict of str to scalar tensor
            ``"loss"``, and detached and unweighted ``"mask"``, ``"seed"``, ``"smooth"``, ``"repulsion"``.

        Raises
        ------
        ValueError
            If shapes do not agree or ids are not integers.
        """
        _check(embeddings, margins, seediness, instance, group)
        embeddings, margins, seediness = _widen(embeddings, margins, seediness)
        part = Partition.of(instance, group)
        centroids = functional.segment_mean(embeddings[part.members], part.cluster, part.n_clusters)
        sigmas = functional.segment_mean(margins[part.members], part.cluster, part.n_clusters)
        terms = {
            "mask": self._mask(embeddings, centroids, sigmas, part),
            "seed": _seed(embeddings, centroids, sigmas, seediness, part),
            "smooth": _smooth(margins, sigmas, part),
            "repulsion": self._repulsion(centroids, part),
        }
        loss = torch.stack([self.weights[name] * term for name, term in terms.items()]).sum()
        return {"loss": loss, **{name: term.detach() for name, term in terms.items()}}

    def _mask(self, embeddings: Tensor, centroids: Tensor, sigmas: Tensor, part: Partition) -> Tensor:
        label = torch.full_like(part.group, -1).index_copy(0, part.members, part.cluster)
        own_weight, foreign_weight = self._pair_weights(part, embeddings.dtype)

        def term(voxel: Tensor, cluster: Tensor) -> Tensor:
            own = label[voxel] == cluster
            z = functional.kernel_exponent(embeddings[voxel], centroids[cluster], sigmas[cluster])
            cost = functional.mask_bce(z, own)
            if self.mask == "focal":
                cost = functional.focal(cost)
            return torch.dot(cost, torch.where(own, own_weight[cluster], foreign_weight[cluster]))

        first, count = part.first_cluster[part.group], part.group_clusters[part.group]
        total = sum_over_pairs(term, first, count, max_pairs=self.max_pairs)
        return embeddings[:0].sum() if total is None else total

    def _pair_weights(self, part: Partition, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Weights (K,) of own and of foreign pairs; they sum to the weight of the cluster."""
        cluster_weight = part.cluster_weight(dtype)
        in_group = part.group_size[part.cluster_group]
        if not self.balance:
            return cluster_weight / in_group, cluster_weight / in_group
        own = torch.bincount(part.cluster, minlength=part.n_clusters)
        foreign = in_group - own
        share = torch.where(foreign > 0, cluster_weight / 2, cluster_weight)
        return share / own, share / foreign.clamp_min(1)

    def _repulsion(self, centroids: Tensor, part: Partition) -> Tensor:
        clusters = part.group_clusters
        weight = part.group_weight(centroids.dtype) / (clusters * (clusters - 1)).clamp_min(1)

        def term(first: Tensor, second: Tensor) -> Tensor:
            apart = first != second
            first, second = first[apart], second[apart]
            cost = functional.centroid_repulsion(
                centroids[first], centroids[second], distance=self.repulsion_distance
            )
            return torch.dot(cost, weight[part.cluster_group[first]])

        of_cluster = part.cluster_group
        total = sum_over_pairs(
            term, part.first_cluster[of_cluster], clusters[of_cluster], max_pairs=self.max_pairs
        )
        return centroids[:0].sum() if total is None else total


def _seed(
    embeddings: Tensor, centroids: Tensor, sigmas: Tensor, seediness: Tensor, part: Partition
) -> Tensor:
    with torch.no_grad():
        z = functional.kernel_exponent(
            embeddings[part.members], centroids[part.cluster], sigmas[part.cluster]
        )
        target = torch.zeros_like(seediness).index_copy(0, part.members, torch.exp(-z))
    return torch.dot(functional.seediness(seediness, target), part.voxel_weight(seediness.dtype))


def _smooth(margins: Tensor, sigmas: Tensor, part: Partition) -> Tensor:
    cost = functional.margin_smoothness(margins[part.members], sigmas[part.cluster])
    variance = functional.segment_mean(cost, part.cluster, part.n_clusters)
    return torch.dot(variance, part.cluster_weight(margins.dtype))


def _widen(*tensors: Tensor) -> list[Tensor]:
    """Convert to their common type, at least float32."""
    dtype = torch.float32
    for tensor in tensors:
        dtype = torch.promote_types(dtype, tensor.dtype)
    return [tensor.to(dtype) for tensor in tensors]


def _check(embeddings: Tensor, margins: Tensor, seediness: Tensor, instance: Tensor, group: Tensor) -> None:
    if embeddings.ndim != 2:
        raise ValueError(f"embeddings must have shape (n, d), got {tuple(embeddings.shape)}")
    n, d = embeddings.shape
    if tuple(margins.shape) not in {(n,), (n, 1), (n, d)}:
        raise ValueError(f"margins must have shape ({n},) or ({n}, {d}), got {tuple(margins.shape)}")
    for name, tensor in (("seediness", seediness), ("instance", instance), ("group", group)):
        if tuple(tensor.shape) != (n,):
            raise ValueError(
                f"{name} must have shape ({n},), one per row of embeddings, got {tuple(tensor.shape)}"
            )
    for name, tensor in (("embeddings", embeddings), ("margins", margins), ("seediness", seediness)):
        if not tensor.is_floating_point():
            raise ValueError(f"{name} must be floating point, got {tensor.dtype}")
    for name, tensor in (("instance", instance), ("group", group)):
        if tensor.is_floating_point() or tensor.is_complex() or tensor.dtype == torch.bool:
            raise ValueError(f"{name} must be integers, got {tensor.dtype}; use .long()")
