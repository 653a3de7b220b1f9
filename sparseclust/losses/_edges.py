"""The edge loss: whether two neighbouring voxels belong to one instance."""

from typing import Literal, get_args

import torch
from torch import Tensor, nn

from sparseclust.losses import functional

EdgeTerm = Literal["bce", "focal", "lovasz"]


class EdgeAffinityLoss(nn.Module):
    """Weighted cross-entropy of edge logits against "both ends lie in one instance".

    Parameters
    ----------
    cut_weight : float
        Weight of an edge between two instances, relative to 1 for an edge within one. Such edges are rare.
        The Lovasz hinge has no use for it.
    kind : {"bce", "focal", "lovasz"}
        Cost of the edges: cross-entropy, its focal form, or the Lovasz hinge on the logits of "cut", a
        surrogate of 1 - intersection over union of the edges between instances.

    Notes
    -----
    The loss is the weighted mean over edges, sum(w * cost) / sum(w). Edges with an end that has no instance
    do not count. With ``event`` it is that of each event, averaged over the events where an edge counts.

    Any pairs of voxels of one group may be edges: touching ones, as an
    :class:`~sparseclust.heads.EdgeAffinityHead` scores them, or distant ones that teach the features about
    pieces which do not touch.

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

    def forward(
        self, logits: Tensor, edges: Tensor, *, instance: Tensor, event: Tensor | None = None
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
        event : (n,) int64 tensor, optional
            Event of each voxel; without it all edges are those of one event.

        Returns
        -------
        dict of str to scalar tensor
            ``"loss"``, a differentiable zero where no edge counts, and the detached mean cost of the two
            kinds of edges, ``"join"`` and ``"cut"``, ``nan`` where there is none. For the Lovasz hinge
            this cost is the cross-entropy, as single edges have no other.

        Raises
        ------
        ValueError
            If shapes do not agree.
        """
        check_edges(logits, edges, instance=instance, event=event)
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        known = (instance[edges] >= 0).all(0)
        logits, edges = logits[known], edges[:, known]
        same = instance[edges[0]] == instance[edges[1]]
        of_edge = torch.zeros_like(edges[0]) if event is None else event[edges[0]]
        cost = functional.edge_bce(logits, same)
        if self.kind == "focal":
            cost = functional.focal(cost)
        return {
            "loss": self._mean_over_events(logits, cost, same, of_edge),
            "join": cost[same].mean().detach(),
            "cut": cost[~same].mean().detach(),
        }

    def _mean_over_events(self, logits: Tensor, cost: Tensor, same: Tensor, event: Tensor) -> Tensor:
        events, index = torch.unique(event, return_inverse=True)
        if self.kind == "lovasz":
            loss = functional.lovasz_hinge(-logits, ~same, index, len(events))
        else:
            weight = torch.where(same, cost.new_ones(()), cost.new_tensor(self.cut_weight))
            total = cost.new_zeros((2, len(events))).index_add(1, index, torch.stack([cost * weight, weight]))
            loss = total[0] / total[1]
        return loss.sum() / max(len(events), 1)


def check_edges(logits: Tensor, edges: Tensor, *, instance: Tensor, **ids: Tensor | None) -> None:
    """Raise ValueError if the shapes of edges, and of ids per voxel, do not agree."""
    if logits.ndim != 1 or tuple(edges.shape) != (2, len(logits)):
        raise ValueError(
            f"expected logits (m,) and edges (2, m), got {tuple(logits.shape)} and {tuple(edges.shape)}"
        )
    for name, values in {"instance": instance, **ids}.items():
        if values is not None and values.shape != instance.flatten().shape:
            raise ValueError(f"{name} must have shape (n,), one per voxel, got {tuple(values.shape)}")
