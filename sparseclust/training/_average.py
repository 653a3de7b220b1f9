"""A moving average of the weights, which is what is validated and kept."""

from typing import Any

import torch

from sparseclust.training._lightning import lightning


class WeightAverage(lightning.callbacks.WeightAveraging):
    """Average the weights over training, exponentially; validation and the trained model use the average.

    Parameters
    ----------
    decay : float
        What the average keeps of itself in one step, at least 0 and less than 1. After n steps it is at most
        (1 + n) / (10 + n): the average follows the last tenth of a short training, and of a warm-up.

    Raises
    ------
    ValueError
        If ``decay`` is out of range.

    Notes
    -----
    Running means and variances of norms are averaged like weights, counters are taken over. Checkpoints hold
    both sets of weights. This callback stands behind those that look at the averaged weights when a
    validation ends, and before those that save checkpoints.
    """

    def __init__(self, decay: float = 0.999) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"decay must be at least 0 and less than 1, got {decay}")
        super().__init__(multi_avg_fn=self._follow)
        self.decay = decay
        self._in_use = False

    def _follow(
        self, averages: list[torch.Tensor], currents: list[torch.Tensor], n: torch.Tensor | int
    ) -> None:
        """Move tensors of one type towards those of this step; counters are taken over."""
        if averages[0].is_floating_point():
            keep = min(self.decay, (1 + int(n)) / (10 + int(n)))
            torch._foreach_lerp_(averages, currents, 1 - keep)
        else:
            torch._foreach_copy_(averages, currents)

    def on_validation_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        """Put the averaged weights in."""
        super().on_validation_epoch_start(trainer, pl_module)
        self._in_use = True

    def on_validation_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Leave them there: the scores of the validation come later, and who keeps the best model waits."""

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        """Take them out again."""
        if self._in_use:
            super().on_validation_epoch_end(trainer, pl_module)
        self._in_use = False

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """Likewise, or a checkpoint would mistake the average for the weights of the last step."""
        self.on_validation_end(trainer, pl_module)

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Wait: the last checkpoint needs the weights of the last step."""

    def on_fit_end(self, trainer: Any, pl_module: Any) -> None:
        """Put the average in for good."""
        super().on_train_end(trainer, pl_module)
