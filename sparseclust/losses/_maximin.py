"""The maximin loss: the edges on which the partition hangs."""

import torch
from torch import Tensor, nn

from sparseclust._eager import eager
from sparseclust.losses import functional
from sparseclust.losses._edges import check_edges


class MaximinAffinityLoss(nn.Module):
    r"""Cross-entropy of the one edge on which it hangs whether two voxels end up together.

    Where pieces are joined along all edges above a threshold, two voxels end up together if the best path
    between them is above it: the path whose worst edge is highest. That worst edge, the maximin edge of the
    pair, is all that the partition knows of the pair. This loss averages over pairs of voxels the
    cross-entropy of their maximin edge against "same instance". One leak between two particles costs as much
    as the pairs that it joins, however many edges around it are right; a mean over edges hardly notices.

    Notes
    -----
    As in [2]_, pairs of one instance are judged by the edges within it, and pairs of two instances by the
    graph where each instance is whole: that finds a leak before all else is learnt.

    A pair of voxels of the instances a and b counts :math:`1 / (N \max(n_a, n_b))`, one within a counts
    :math:`1 / (N (n_a - 1) / 2)`, where N is the number of voxels with a known instance of the group and n
    those of the instances. So an instance in one piece counts its share of the voxels, and so does the
    smaller one of two that touch: what would be lost if they were joined. The loss is the sum over pairs that
    are connected, averaged over groups. Edges with an end that has no instance, and those between groups, do
    not count.

    The cost is O(m log m) of the m edges and O(p^2) of the pieces of instances that one cluster of touching
    voxels holds. The forests are found on the CPU; another device waits for them.

    References
    ----------
    .. [1] S. C. Turaga et al., "Maximin affinity learning of image segmentation", arXiv:0911.5372.
    .. [2] J. Funke et al., "Large Scale Image Segmentation with Structured Loss based Deep Learning for
       Connectome Reconstruction", arXiv:1709.02974.

    Examples
    --------
    Two tracks of two voxels, with two edges between them: the higher one decides all.

    >>> import torch
    >>> edges = torch.tensor([[0, 2, 0, 1], [1, 3, 2, 3]])
    >>> logits = torch.tensor([0.0, 0.0, -1.0, -2.0], requires_grad=True)
    >>> terms = MaximinAffinityLoss()(logits, edges, instance=torch.tensor([5, 5, 7, 7]))
    >>> {name: round(value.item(), 3) for name, value in terms.items()}
    {'loss': 0.85, 'join': 0.693, 'cut': 0.157}
    >>> terms["loss"].backward()
    >>> logits.grad
    tensor([-0.2500, -0.2500,  0.1345,  0.0000])
    """

    @eager  # the forests are compiled already, and how many edges decide depends on the logits
    def forward(
        self, logits: Tensor, edges: Tensor, *, instance: Tensor, group: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Compute the loss.

        Parameters
        ----------
        logits : (m,) float tensor
            Log-odds that the ends of an edge belong together.
        edges : (2, m) int64 tensor
            Rows of the two voxels of each edge.
        instance : (n,) int64 tensor
            True instance of each voxel, -1 for none.
        group : (n,) int64 tensor, optional
            What is partitioned together, such as a class of an event; without it all voxels are one group.
            The same instance in two groups is two.

        Returns
        -------
        dict of str to scalar tensor
            ``"loss"``, a differentiable zero where no edge counts, and its detached parts ``"join"``, from
            pairs of one instance, and ``"cut"``.

        Raises
        ------
        ValueError
            If shapes do not agree, or a logit is nan.
        """
        same, weight, groups = _decided(logits, edges, instance, group)
        known = weight > 0
        weight = weight[known].to(logits.device, torch.promote_types(logits.dtype, torch.float32))
        logits, same = logits[known.to(logits.device)].to(weight.dtype), same[known].to(logits.device)
        cost = functional.edge_bce(logits, same) * weight / max(groups, 1)
        loss = cost.sum()
        join = cost[same].sum().detach()
        return {"loss": loss, "join": join, "cut": loss.detach() - join}


def _decided(
    logits: Tensor, edges: Tensor, instance: Tensor, group: Tensor | None
) -> tuple[Tensor, Tensor, int]:
    """Find the edges within an instance, what hangs on each edge, and how many groups have edges."""
    # The compiled loops need numba, which takes a second to import.
    from sparseclust.losses import _kernels_maximin

    check_edges(logits, edges, instance=instance, group=group)
    if bool(logits.isnan().any()):
        raise ValueError("logits hold nan: the network diverged, or its input did")
    order = torch.argsort(logits.detach(), descending=True, stable=True).cpu()
    edges, instance = edges.cpu(), instance.cpu()
    group = torch.zeros_like(instance) if group is None else torch.unique(group.cpu(), return_inverse=True)[1]
    label, size = _particles(instance, group)
    group_size = torch.bincount(group[instance >= 0], minlength=len(group))
    first, second = edges
    counts = (label[edges] >= 0).all(0) & (group[first] == group[second]) & (first != second)
    weight = _kernels_maximin.decided(
        first.numpy(),
        second.numpy(),
        order[counts[order]].numpy(),
        label.numpy(),
        size.numpy(),
        group_size[group].numpy(),
    )
    groups = len(torch.unique(group[first[counts]]))
    return label[first] == label[second], torch.from_numpy(weight), groups


def _particles(instance: Tensor, group: Tensor) -> tuple[Tensor, Tensor]:
    """Give the instances of all groups numbers from 0, -1 for none, and count their voxels."""
    known = instance >= 0
    names, name = torch.unique(instance[known], return_inverse=True)
    _, compact = torch.unique(group[known] * len(names) + name, return_inverse=True)
    label = torch.full_like(instance, -1)
    label[known] = compact
    return label, torch.bincount(compact)
