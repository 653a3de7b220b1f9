"""Ctrl-C that waits for the end of a step."""

import signal
import threading
from pathlib import Path
from typing import Any

from sparseclust.training._lightning import lightning


class InterruptBetweenSteps(lightning.Callback):
    """Raise the KeyboardInterrupt of a Ctrl-C between two steps; a second Ctrl-C raises it at once.

    In the middle of a step it may arrive inside compiled code, which makes another exception of it, or none.
    """

    def __init__(self) -> None:
        self._wanted = False

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        """Take over Ctrl-C, where this thread may."""
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, self._remember)

    def on_train_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Stop here if it was asked for, in any process."""
        if trainer.strategy.reduce_boolean_decision(self._wanted, all=False):
            raise KeyboardInterrupt

    def on_validation_batch_end(
        self,
        trainer: Any,
        pl_module: Any,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Stop here, unless other processes validate too, which are at another event."""
        if self._wanted and trainer.world_size == 1:
            raise KeyboardInterrupt

    def _remember(self, number: int, frame: Any) -> None:
        self._wanted = True
        signal.signal(signal.SIGINT, signal.default_int_handler)


def fit(trainer: Any, module: Any, data: Any, checkpoint: Path | None) -> None:
    """``trainer.fit``, with Ctrl-C as KeyboardInterrupt: Lightning turns it into an exit of the process."""
    handler = signal.getsignal(signal.SIGINT)
    try:
        trainer.fit(module, datamodule=data, ckpt_path=checkpoint, weights_only=True)
    except SystemExit as error:
        raise KeyboardInterrupt from error
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, handler)
