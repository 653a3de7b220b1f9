"""A progress bar over the budget: Lightning's own count batches of one epoch."""

import sys
from typing import Any

from sparseclust._optional import require
from sparseclust.training._lightning import lightning
from sparseclust.training._schedule import BudgetSchedule

_FORMAT = "{desc} {percentage:3.0f}% |{bar}| {elapsed} spent, {remaining} left{postfix}"


class BudgetProgressBar(lightning.callbacks.ProgressBar):
    """Show how much of the budget is spent, the loss, and the last validation scores.

    Parameters
    ----------
    schedule : BudgetSchedule
        Knows the budget.
    """

    def __init__(self, schedule: BudgetSchedule) -> None:
        super().__init__()
        self.schedule = schedule
        self._bar: Any = None

    def disable(self) -> None:
        """Lightning calls this on all ranks but the first."""
        self._enabled = False

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Open the bar where the budget stands."""
        self._bar = require("tqdm", extra="train").tqdm(
            total=1.0,
            # What an earlier run has done took none of this one's time.
            initial=self.schedule.progress(trainer.global_step),
            desc="train",
            bar_format=_FORMAT,
            disable=not getattr(self, "_enabled", True),
            # In the log of a batch job, a line a minute is enough.
            mininterval=0.1 if sys.stderr.isatty() else 60.0,
        )
        self._update(trainer)

    def on_train_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Advance the bar."""
        self._update(trainer)

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        """Show the new scores."""
        self._update(trainer)

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Close the bar."""
        self._close()

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """Close the bar, so that what follows starts on a line of its own."""
        self._close()

    def _update(self, trainer: Any) -> None:
        if self._bar is not None:
            shown = {k: float(v) for k, v in trainer.progress_bar_metrics.items()}
            self._bar.set_postfix(step=trainer.global_step, **shown, refresh=False)
            self._bar.update(self.schedule.progress(trainer.global_step) - self._bar.n)

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
