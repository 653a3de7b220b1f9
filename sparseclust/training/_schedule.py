"""A learning-rate schedule for a budget of steps, of minutes, or of both."""

import math
import time
from typing import Any

from sparseclust.training._lightning import lightning


class BudgetSchedule(lightning.Callback):
    """Warm up, then anneal the learning rate along a half cosine that ends when the budget ends.

    Parameters
    ----------
    max_steps : int, optional
        Budget in optimizer steps.
    max_minutes : float, optional
        Budget in minutes of training, counted over all runs of a resumed training.
    warmup : float
        Fraction of the budget over which the rate rises linearly from zero.
    final : float
        Last learning rate relative to the peak.

    Raises
    ------
    ValueError
        If there is no budget.

    Notes
    -----
    With a budget of minutes the number of steps depends on the machine, so two runs differ; a budget of steps
    is reproducible. With both, whichever is spent faster sets the pace.
    """

    def __init__(
        self,
        *,
        max_steps: int | None = None,
        max_minutes: float | None = None,
        warmup: float = 0.05,
        final: float = 0.01,
    ) -> None:
        if max_steps is None and max_minutes is None:
            raise ValueError("a schedule needs a budget: give max_steps, max_minutes or both")
        if (max_steps is not None and max_steps < 1) or (max_minutes is not None and max_minutes <= 0):
            raise ValueError(
                f"a budget must be positive, got max_steps={max_steps}, max_minutes={max_minutes}"
            )
        self.max_steps = max_steps
        self.max_minutes = max_minutes
        self.warmup = warmup
        self.final = final
        self.seconds = 0.0
        self._mark = 0.0

    def progress(self, step: int) -> float:
        """Fraction of the budget spent after ``step`` optimizer steps, 0 to 1."""
        by_steps = step / self.max_steps if self.max_steps else 0.0
        by_time = self.seconds / (60 * self.max_minutes) if self.max_minutes else 0.0
        return min(1.0, max(by_steps, by_time))

    def factor(self, progress: float) -> float:
        """Learning rate relative to its peak."""
        if progress < self.warmup:
            return progress / self.warmup
        phase = (progress - self.warmup) / (1 - self.warmup)
        return self.final + (1 - self.final) * 0.5 * (1 + math.cos(math.pi * phase))

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Remember each group's peak rate and start the clock."""
        for group in trainer.optimizers[0].param_groups:
            group.setdefault("peak_lr", group["lr"])
        self._mark = time.monotonic()

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """Set the rate for this step."""
        # The first step of a warm-up would have rate zero: look one step ahead.
        factor = self.factor(max(self.progress(trainer.global_step + 1), 1e-3))
        for group in trainer.optimizers[0].param_groups:
            group["lr"] = group["peak_lr"] * factor

    def on_train_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Advance the clock, and stop when the budget is spent."""
        now = time.monotonic()
        # The clock of the first process counts, or one would stop while others go on.
        self.seconds = trainer.strategy.broadcast(self.seconds + now - self._mark)
        self._mark = now
        if self.progress(trainer.global_step) >= 1.0:
            trainer.should_stop = True

    def state_dict(self) -> dict[str, Any]:
        """Keep the time spent in the checkpoint."""
        return {"seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take it up again."""
        self.seconds = state_dict["seconds"]
