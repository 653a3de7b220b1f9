"""The checkpoint that a training goes on from."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from sparseclust.training._lightning import lightning

_SETTINGS = "sparseclust"
_NO_SETTINGS: Mapping[str, Any] = {}


class ResumePoint(lightning.Callback):
    """Keep one checkpoint to resume from: after each validation, at the end, and when training is stopped.

    Parameters
    ----------
    path : path
        The file, replaced in one step, so that it is complete at any moment.
    settings : mapping, optional
        What has to be the same when the training is resumed; see :func:`check_checkpoint`.

    Raises
    ------
    OSError
        In training, if the file cannot be written. The one before stays as it is.

    Notes
    -----
    An error leaves the last checkpoint alone: it may have spoilt the weights. A KeyboardInterrupt or a
    SIGTERM saves, if it comes between two steps.
    """

    def __init__(self, path: str | Path, settings: Mapping[str, Any] = _NO_SETTINGS) -> None:
        self.path = Path(path)
        self.settings = dict(settings)
        self._between_steps = False
        self._validated = 0

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """Note that weights and statistics are about to change, not all at once."""
        self._between_steps = False

    def on_train_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Note that they fit together."""
        self._between_steps = True

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        """Save."""
        self._validated = trainer.global_step
        self._save(trainer)

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Save."""
        self._save(trainer)

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """Save what has been done since, unless it cannot be trusted."""
        if self._between_steps and not isinstance(exception, Exception):
            self._save(trainer)

    def on_save_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        """Describe the moment as the one between two steps.

        Lightning goes on differently after each of the moments of a step, and not always with all that was
        left to do.
        """
        every = trainer.val_check_interval
        batches = trainer.global_step * trainer.accumulate_grad_batches
        boundary = batches % every == 0
        due = boundary and self._validated != trainer.global_step
        loops = checkpoint["loops"]["fit_loop"]
        loops["epoch_progress"] = _twice(_progress(ready=1, started=1))
        loops["epoch_loop.state_dict"] = {"_batches_that_stepped": trainer.global_step - boundary}
        loops["epoch_loop.batch_progress"] = {**_twice(_progress(*[batches] * 4)), "is_last_batch": False}
        loops["epoch_loop.val_loop.batch_progress"] = {
            "total": _progress(ready=int(due), started=int(due)),
            "current": _progress(),
            "is_last_batch": False,
        }
        checkpoint[_SETTINGS] = self.settings

    def _save(self, trainer: Any) -> None:
        temporary = self.path.with_name(f".{self.path.name}.tmp")
        try:
            trainer.save_checkpoint(temporary)  # every rank takes part, rank 0 writes
            if trainer.is_global_zero:
                temporary.replace(self.path)
        except OSError as error:
            raise OSError(
                error.errno,
                f"the checkpoint cannot be written ({os.strerror(error.errno or 0)}), "
                "the one before it is intact",
                str(self.path),
            ) from error
        finally:
            if trainer.is_global_zero:
                temporary.unlink(missing_ok=True)


def check_checkpoint(path: Path, settings: Mapping[str, Any]) -> None:
    """Refuse a file that is no checkpoint of this training, before any of it is used.

    Parameters
    ----------
    path : Path
    settings : mapping
        As :class:`ResumePoint` got them.

    Raises
    ------
    FileNotFoundError
        If there is none.
    ValueError
        If it is damaged, holds more than numbers (pickled code is not run), or was written with other
        settings.
    """
    if not path.is_file():
        raise FileNotFoundError(f"nothing to resume: {path} does not exist; train without resume first")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises RuntimeError, UnpicklingError, EOFError, KeyError, ...
        raise ValueError(
            f"{path}: not a checkpoint, a damaged one, or one with code in it, which is not run "
            f"({type(error).__name__})"
        ) from error
    if not isinstance(content, dict) or not isinstance(content.get(_SETTINGS), dict):
        raise ValueError(f"{path}: not a checkpoint that this version of `sparseclust train` has written")
    told = content[_SETTINGS]
    wrong = sorted(name for name in {**told, **settings} if told.get(name) != settings.get(name))
    if wrong:
        differences = ", ".join(f"{n} {told.get(n)!r} there, {settings.get(n)!r} here" for n in wrong)
        raise ValueError(f"{path}: checkpoint of another training: {differences}")


def _progress(ready: int = 0, started: int = 0, processed: int = 0, completed: int = 0) -> dict[str, int]:
    return {"ready": ready, "started": started, "processed": processed, "completed": completed}


def _twice(progress: dict[str, int]) -> dict[str, Any]:
    return {"total": dict(progress), "current": dict(progress)}
