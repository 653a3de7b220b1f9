"""Keep the best model, and stop when none gets better."""

from collections.abc import Callable
from typing import Any

from sparseclust.training._lightning import lightning


class BestModel(lightning.Callback):
    """Keep the model of the best validation score, and stop after some validations without a better one.

    Parameters
    ----------
    keep : callable (step, score) -> None
        Called on the first rank for each new best model, while its weights are in place.
    patience : int
        Validations in a row without a better score that end the training.

    Attributes
    ----------
    score : float or None
        The best score so far.
    step : int
        Optimizer steps that led to it.

    Raises
    ------
    ValueError
        If ``patience`` is less than 1.
    """

    def __init__(self, keep: Callable[[int, float], None], *, patience: int) -> None:
        if patience < 1:
            raise ValueError(f"patience must be at least 1 validation, got {patience}")
        self.patience = patience
        self.score: float | None = None
        self.step = 0
        self._keep = keep
        self._waited = 0

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Do not go on where patience was at its end."""
        self._decide(trainer)

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        """Compare; an undefined score is no better than any other."""
        score = float(trainer.callback_metrics[pl_module.monitor])
        if score > (-1.0 if self.score is None else self.score):
            self.score, self.step, self._waited = score, trainer.global_step, 0
            if trainer.is_global_zero:
                self._keep(self.step, score)
        else:
            self._waited += 1
        self._decide(trainer)

    def _decide(self, trainer: Any) -> None:
        if self._waited >= self.patience:
            trainer.should_stop = True

    def state_dict(self) -> dict[str, Any]:
        """Keep the best score in the checkpoint."""
        return {"score": self.score, "step": self.step, "waited": self._waited}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take it up again."""
        self.score, self.step = state_dict["score"], state_dict["step"]
        self._waited = state_dict["waited"]
