"""The spatial-embedding loss: embeddings, margins and seediness against instances."""

from collections.abc import Mapping
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from sparseclust._eager import eager
from sparseclust.losses import functional
from sparseclust.losses._mask import Kernels, MaskTerm, mask_cost, mask_weights
from sparseclust.losses._partition import Average, Partition
from sparseclust.losses._repulsion import sum_of_repulsions

_ROWS = 1 << 16


class SpatialEmbeddingLoss(nn.Module):
    r"""Pull voxels to the centroid of their cluster, push those of other clusters out of its kernel.

    Parameters
    ----------
    mask_weight, seed_weight, smooth_weight, repulsion_weight : float
        Weights of the four terms in the sum. Terms of weight 0 are still reported.
    mask : {"bce", "focal", "lovasz"}, or mapping of these to floats
        Cost of the (voxel, cluster) pairs of a cluster: their mean cross-entropy, its focal form, or the
        Lovasz hinge on 2p - 1. A mapping gives the weights of a sum, such as ``{"bce": 1, "lovasz": 1}``.
    balance : bool
        Let own and foreign voxels weigh the same within each cluster, instead of by their number; not in
        the Lovasz hinge, which is balanced by nature.
    repulsion_distance : float
        Centroids closer than this repel each other, in embedding units.
    average : {"group", "cluster", "voxel"}
        Whether in the mean over groups each group counts the same (and each event, where ``event`` is
        given: the published way), or as many times as it has clusters, or voxels.
    seed : {"squared", "l1", "huber"}
        Distance of the seediness to its target.
    smooth : {"squared", "l1"}
        Distance of a margin to the mean of its cluster.

    Attributes
    ----------
    fused : bool
        Whether the mask term and the repulsion are compiled, True to begin with. False is slower, and
        differentiable more than once.

    Notes
    -----
    Let :math:`\mu_k, \sigma_k` be the mean embedding and mean margin of cluster k, attached to the graph,
    :math:`z_{ik} = |e_i - \mu_k|^2 / 2\sigma_k^2` and :math:`p_{ik} = e^{-z_{ik}}`. The terms of one group g
    with :math:`n_g` voxels and :math:`K_g` clusters are

    - mask: :math:`\frac{1}{K_g} \sum_k \frac{1}{n_g} \sum_{i \in g} \mathrm{BCE}(p_{ik}, [i \in k])`, or the
      mean over k of the Lovasz hinge of all voxels of g,
    - seed: :math:`\frac{1}{n_g} \sum_{i \in g} (s_i - p_{i k(i)})^2`, p detached, 0 where there is no k(i),
    - smooth: :math:`\frac{1}{K_g} \sum_k \frac{1}{n_k} \sum_{i \in k} |\sigma_i - \sigma_k|^2`,
    - repulsion: mean over pairs of centroids of :math:`\max(0, D - |\mu_k - \mu_l|)^2`, 0 for one cluster.

    They are averaged over the groups that hold at least one cluster; a group without truth counts for
    nothing. Nothing crosses a group, so a batch of groups costs the mean of the groups alone, and with
    ``event`` a batch of events the mean of the events alone.
    The weight 10 of the smoothness is that of the code published with [1]_. The Lovasz hinge is the choice
    of [2]_; its gradient fades like p, so on its own it leaves a member far from its centroid where it is.

    Time grows with the pairs :math:`\sum_g n_g K_g`, memory with the voxels. No table of pairs is stored:
    compiled sweeps, on CUDA by Triton where it is installed, make the mask term and its gradients, so that it
    can be differentiated once; elsewhere, and for the Lovasz hinge on CUDA, pairs are worked on in bounded
    chunks, and once more in the backward pass. bfloat16 and float16 are computed in float32.

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
        mask: MaskTerm | Mapping[MaskTerm, float] = "bce",
        balance: bool = False,
        repulsion_distance: float = 0.4,
        average: Average = "group",
        seed: functional.Distance = "squared",
        smooth: Literal["squared", "l1"] = "squared",
    ) -> None:
        super().__init__()
        self.mask = mask_weights(mask)
        _choice("average", average, get_args(Average))
        _choice("seed", seed, get_args(functional.Distance))
        _choice("smooth", smooth, ("squared", "l1"))
        self.weights = {
            "mask": mask_weight,
            "seed": seed_weight,
            "smooth": smooth_weight,
            "repulsion": repulsion_weight,
        }
        self.balance = balance
        self.repulsion_distance = repulsion_distance
        self.average = average
        self.seed = seed
        self.smooth = smooth
        self.fused = True

    @eager  # how many groups and clusters there are depends on the ids, and the sweeps are compiled already
    def forward(
        self,
        embeddings: Tensor,
        margins: Tensor,
        seediness: Tensor,
        *,
        instance: Tensor,
        group: Tensor,
        event: Tensor | None = None,
        semantic: Tensor | None = None,
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
        event : (n,) int64 tensor, optional
            Event of each voxel, for ``average="group"``: groups of an event are averaged before events are.
        semantic : (n,) int64 tensor, optional
            Semantic class of each voxel, the same within a group: asks for the terms of each class.

        Returns
        -------
        dict of str to scalar tensor
            ``"loss"``, and detached and unweighted ``"mask"``, ``"seed"``, ``"smooth"``, ``"repulsion"``;
            with ``semantic`` also ``"loss/1"``, ``"mask/1"`` and so on, the means over the groups of class 1.

        Raises
        ------
        ValueError
            If shapes do not agree, ids are not integers, or a group spans events or classes.
        """
        _check(embeddings, margins, seediness)
        _check_ids(len(embeddings), instance=instance, group=group, event=event, semantic=semantic)
        embeddings, margins, seediness = _widen(embeddings, margins, seediness)
        part = Partition.of(instance, group)
        weight = part.group_weight(self.average, event, embeddings.dtype)
        centroids, sigmas = part.means(embeddings), part.means(margins)
        kernels = self._kernels(centroids, sigmas, part, weight)
        shares = {
            "seed": self._seed(embeddings, kernels, seediness, part, weight),
            "smooth": self._smooth(margins, kernels, part),
            "repulsion": self._repulsion(centroids, part, weight),
        }
        mask, mask_share = self._mask(embeddings, kernels, part)
        terms = {"mask": mask, **{name: share.sum() for name, share in shares.items()}}
        loss = torch.stack([self.weights[name] * term for name, term in terms.items()]).sum()
        result = {"loss": loss, **{name: term.detach() for name, term in terms.items()}}
        if semantic is not None:
            of_group = part.of_groups(semantic, "semantic")
            result |= _per_class({"mask": mask_share, **shares}, self.weights, weight, of_group)
        return result

    def _kernels(self, centroids: Tensor, sigmas: Tensor, part: Partition, weight: Tensor) -> Kernels:
        """Weights of own and of foreign pairs sum to the weight of the cluster."""
        cluster_weight = (weight / part.group_clusters.clamp_min(1))[part.cluster_group]
        in_group = part.group_size[part.cluster_group]
        if not self.balance:
            each = cluster_weight / in_group
            return Kernels(centroids, sigmas, each, each, cluster_weight)
        own = torch.bincount(part.label, minlength=part.n_clusters + 1)[:-1]
        foreign = in_group - own
        share = torch.where(foreign > 0, cluster_weight / 2, cluster_weight)
        return Kernels(centroids, sigmas, share / own, share / foreign.clamp_min(1), cluster_weight)

    def _mask(self, embeddings: Tensor, kernels: Kernels, part: Partition) -> tuple[Tensor, Tensor]:
        """Compute the term, and what each group (G,) contributes to it."""
        parts = [mask_cost(term, embeddings, kernels, part, fused=self.fused) for term in self.mask]
        weights = list(self.mask.values())
        total = torch.stack([w * total for w, (total, _) in zip(weights, parts)]).sum()
        cost = torch.stack([w * cost for w, (_, cost) in zip(weights, parts)]).sum(0)
        return total, _over_groups(cost, part)

    def _seed(
        self, embeddings: Tensor, kernels: Kernels, seediness: Tensor, part: Partition, weight: Tensor
    ) -> Tensor:
        target = torch.zeros_like(seediness)
        with torch.no_grad():
            for low in range(0, len(target), _ROWS):
                rows = slice(low, low + _ROWS)
                of = [part.of_voxels(values, rows) for values in (kernels.centroids, kernels.margins)]
                p = torch.exp(-functional.kernel_exponent(embeddings[rows], *of))
                target[rows] = torch.where(part.label[rows] < part.n_clusters, p, 0)
        cost = functional.seediness(seediness, target, kind=self.seed)
        total = cost.new_zeros(len(weight)).index_add(0, part.group, cost)
        return total * (weight / part.group_size)

    def _smooth(self, margins: Tensor, kernels: Kernels, part: Partition) -> Tensor:
        cost = functional.margin_smoothness(margins, part.of_voxels(kernels.margins), kind=self.smooth)
        return _over_groups(part.means(cost) * kernels.weight, part)

    def _repulsion(self, centroids: Tensor, part: Partition, weight: Tensor) -> Tensor:
        if not self.weights["repulsion"]:
            centroids = centroids.detach()  # only reported
        fused = self.fused and centroids.device.type == "cpu"
        total = sum_of_repulsions(centroids, part, self.repulsion_distance, fused=fused)
        clusters = part.group_clusters
        return total * (2 * weight / (clusters * (clusters - 1)).clamp_min(1))


def _over_groups(of_cluster: Tensor, part: Partition) -> Tensor:
    return of_cluster.new_zeros(len(part.group_size)).index_add(0, part.cluster_group, of_cluster)


def _per_class(
    shares: dict[str, Tensor], weights: dict[str, float], of_group: Tensor, semantic: Tensor
) -> dict[str, Tensor]:
    """Means over the groups of a class, which weigh ``of_group``, for each class that has truth."""
    known = of_group > 0
    classes, index = torch.unique(semantic[known], return_inverse=True)
    table = torch.stack([of_group, *(share.detach() for share in shares.values())])[:, known]
    total, *sums = table.new_zeros(len(table), len(classes)).index_add(1, index, table)
    means = {name: term / total for name, term in zip(shares, sums)}
    means["loss"] = torch.stack([weights[name] * mean for name, mean in means.items()]).sum(0)
    numbers = classes.tolist()
    return {f"{name}/{c}": value for name, mean in means.items() for c, value in zip(numbers, mean)}


def _widen(*tensors: Tensor) -> list[Tensor]:
    """Convert to their common type, at least float32."""
    dtype = torch.float32
    for tensor in tensors:
        dtype = torch.promote_types(dtype, tensor.dtype)
    return [tensor.to(dtype) for tensor in tensors]


def _choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{name} must be one of {choices}, got {value!r}")


def _check(embeddings: Tensor, margins: Tensor, seediness: Tensor) -> None:
    if embeddings.ndim != 2:
        raise ValueError(f"embeddings must have shape (n, d), got {tuple(embeddings.shape)}")
    n, d = embeddings.shape
    if tuple(margins.shape) not in {(n,), (n, 1), (n, d)}:
        raise ValueError(f"margins must have shape ({n},) or ({n}, {d}), got {tuple(margins.shape)}")
    _check_rows("seediness", seediness, n)
    for name, tensor in (("embeddings", embeddings), ("margins", margins), ("seediness", seediness)):
        if not tensor.is_floating_point():
            raise ValueError(f"{name} must be floating point, got {tensor.dtype}")


def _check_ids(n: int, **ids: Tensor | None) -> None:
    for name, tensor in ids.items():
        if tensor is not None:
            _check_rows(name, tensor, n)
            if tensor.is_floating_point() or tensor.is_complex() or tensor.dtype == torch.bool:
                raise ValueError(f"{name} must be integers, got {tensor.dtype}; use .long()")


def _check_rows(name: str, tensor: Tensor, n: int) -> None:
    if tuple(tensor.shape) != (n,):
        raise ValueError(
            f"{name} must have shape ({n},), one per row of embeddings, got {tuple(tensor.shape)}"
        )
