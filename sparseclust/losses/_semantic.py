"""The semantic loss: the class of each voxel."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy


class SemanticLoss(nn.Module):
    """Cross-entropy of semantic logits with a weight for each class.

    Parameters
    ----------
    class_weights : sequence of floats, optional
        Weight of the voxels of each true class, not negative; by default all the same.
    ignore_index : int
        Class of voxels that do not count.

    Notes
    -----
    The loss is the weighted mean over voxels, sum(w * cost) / sum(w).

    Examples
    --------
    >>> import torch
    >>> logits, semantic = torch.tensor([[0.0, 0.0], [0.0, 2.0], [0.0, 0.0]]), torch.tensor([0, 1, -1])
    >>> terms = SemanticLoss(class_weights=[3.0, 1.0])(logits, semantic)
    >>> {name: round(value.item(), 3) for name, value in terms.items()}
    {'loss': 0.552, 'accuracy': 1.0}
    """

    def __init__(self, *, class_weights: Sequence[float] | None = None, ignore_index: int = -1) -> None:
        super().__init__()
        weights = None if class_weights is None else torch.tensor(class_weights, dtype=torch.float32)
        if weights is not None and not (weights.ndim == 1 and bool((weights >= 0).all())):
            raise ValueError(f"class_weights must be a list of numbers >= 0, got {class_weights}")
        self.register_buffer("class_weights", weights, persistent=False)
        self.class_weights: Tensor | None
        self.ignore_index = ignore_index

    def forward(self, logits: Tensor, semantic: Tensor) -> dict[str, Tensor]:
        """Compute the loss.

        Parameters
        ----------
        logits : (n, classes) float tensor
            Unnormalized log-probabilities.
        semantic : (n,) int64 tensor
            True class in ``[0, classes)``, or ``ignore_index``.

        Returns
        -------
        dict of str to scalar tensor
            ``"loss"``, a differentiable zero where no voxel counts, and the detached ``"accuracy"`` of the
            voxels that count, ``nan`` if there is none.

        Raises
        ------
        ValueError
            If shapes or the number of classes do not agree.
        """
        weights = self.class_weights
        if logits.ndim != 2 or tuple(semantic.shape) != (len(logits),):
            raise ValueError(
                "expected logits (n, classes) and semantic (n,), got "
                f"{tuple(logits.shape)} and {tuple(semantic.shape)}"
            )
        if weights is not None and len(weights) != logits.shape[1]:
            raise ValueError(f"expected {len(weights)} classes, one per weight, got {logits.shape[1]}")
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        known = semantic != self.ignore_index
        logits, semantic = logits[known], semantic[known]
        cost = cross_entropy(logits, semantic, reduction="none")
        weight = torch.ones_like(cost) if weights is None else weights[semantic].to(cost.dtype)
        loss = torch.dot(cost, weight) / weight.sum().clamp_min(torch.finfo(weight.dtype).tiny)
        accuracy = (logits.argmax(1) == semantic).to(cost.dtype).mean()
        return {"loss": loss, "accuracy": accuracy.detach()}
