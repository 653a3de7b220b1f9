"""The optimizer of all trainings."""

import torch

from sparseclust.training._lightning import lightning


def adamw(
    module: lightning.LightningModule, *, learning_rate: float, weight_decay: float
) -> torch.optim.Optimizer:
    """AdamW on all that is trained; norms and biases do not decay."""
    trained = [p for p in module.parameters() if p.requires_grad]
    weights = [p for p in trained if p.ndim > 1]
    others = [p for p in trained if p.ndim <= 1]
    groups = [
        {"params": weights, "weight_decay": weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    # One kernel for all parameters, not several for each. In mixed precision Lightning refuses to clip the
    # gradients for it.
    return torch.optim.AdamW(groups, lr=learning_rate, fused=module.trainer.precision.endswith("-true"))
