"""Stop before a loss that is no number spoils the weights."""

from typing import Any

import torch

from sparseclust.training._lightning import lightning


class FiniteLoss(lightning.Callback):
    """Raise a ValueError where the loss is not finite, before anything is made of it."""

    def on_before_backward(self, trainer: Any, pl_module: Any, loss: torch.Tensor) -> None:
        """Look at the loss."""
        if not torch.isfinite(loss):
            raise ValueError(
                f"the loss is {float(loss.detach())} after {trainer.global_step} steps; the last checkpoint "
                "is from before: resume from it, or start again with a lower learning rate"
            )
