"""The edge loss: whether two neighbouring voxels belong to one instance."""

from typing import Literal, get_args

import torch
from torch import Tensor, nn

from sparseclust.losses import functional

EdgeTerm = Literal["bce", "focal"]


class EdgeAffinityLoss(nn.Module):
    """Weighted cross-entropy of edge logits against "both ends lie in one instance".

    Parameters
    ----------
    cut_weight : float
        Weight of an edge between two instances, relative to 1 for an edge within one. Such edges are rare.
    kind : {"bce", "focal"}
        Cost of an edge.

    Notes
    -----
    The loss is the weighted mean over edges, sum(w * cost) / sum(w). Edges with an end that has no instance
    do not count.

    Examples
    --------
    >>> import torch
    >>> edges = torch.tensor([[0, 1], [1, 2]])
    >>> logits, instance = torch.tensor([0.0, -2.0]), torch.tensor([4, 4, 9])
    >>> terms = EdgeAffinityLoss(cut_weight=3.0)(logits, edges, instance=instance)
    >>> {name: round(value.item(), 3) for name, value in terms.items()}
    {'loss': 0.268, 'join': 0.693, 'cut': 0.127}
    """

    def __init__(self, *, cut_weight: float = 6.0, kind: EdgeTerm = "bce") -> None:
        super().__init__()
        if not cut_weight > 0:
            raise ValueError(f"cut_weight must be positive, got {cut_weight}")
        if kind not in get_args(EdgeTerm):
            raise ValueError(f"kind must be one of {get_args(EdgeTerm)}, got {kind!r}")
        self.cut_weight = cut_weight
        self.kind = kind

    def forward(self, logits: Tensor, edges: Tensor, *, instance: Tensor) -> dict[str, Tensor]:
        """Compute the loss.

        Parameters
        ----------
        logits : (m,) float tensor
            Log-odds that the ends of an edge belong together.
        edges : (2, m) int64 tensor
            Rows of the two voxels of each edge.
        instance : (n,) int64 tensor
            True instance of each voxel, -1 for none.

        Returns
        -------
        dict of str to scalar tensor
            ``"loss"``, a differentiable zero where no edge counts, and the detached mean cost of the two
            kinds of edges, ``"join"`` and ``"cut"``, ``nan`` where there is none.

        Raises
        ------
        ValueError
            If shapes do not agree.
        """
        if logits.ndim != 1 or tuple(edges.shape) != (2, len(logits)):
            raise ValueError(
                f"expected logits (m,) and edges (2, m), got {tuple(logits.shape)} and {tuple(edges.shape)}"
            )
        if instance.ndim != 1:
            raise ValueError(f"instance must have shape (n,), one per voxel, got {tuple(instance.shape)}")
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        one, other = instance[edges[0]], instance[edges[1]]
        known = (one >= 0) & (other >= 0)
        same = (one == other)[known]
        cost = functional.edge_bce(logits[known], same)
        if self.kind == "focal":
            cost = functional.focal(cost)
        weight = torch.where(same, cost.new_ones(()), cost.new_tensor(self.cut_weight))
        loss = torch.dot(cost, weight) / weight.sum().clamp_min(torch.finfo(weight.dtype).tiny)
        return {"loss": loss, "join": cost[same].mean().detach(), "cut": cost[~same].mean().detach()}
