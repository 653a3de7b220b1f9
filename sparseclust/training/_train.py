"""One training from events to a model file."""

import signal
import threading
import warnings
from pathlib import Path
from typing import Any

from sparseclust.clustering import GaussianKernelClusterer
from sparseclust.pipeline import Predictor
from sparseclust.training._average import WeightAverage
from sparseclust.training._best import BestModel
from sparseclust.training._data import EventDataModule
from sparseclust.training._lightning import lightning
from sparseclust.training._module import SpatialEmbeddingModule
from sparseclust.training._progress import BudgetProgressBar
from sparseclust.training._schedule import BudgetSchedule
from sparseclust.training._start import start_from

LAST = "last.ckpt"
MODEL = "model.pt"


class ResumePoint(lightning.Callback):
    """Keep one checkpoint to resume from: after each validation, at the end, and on any interruption.

    Parameters
    ----------
    path : path
        The file, replaced in one step, so that it is complete at any moment.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        """Save."""
        self._save(trainer)

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Save."""
        self._save(trainer)

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """Save, unless training had not begun."""
        if trainer.global_step > 0:
            self._save(trainer)

    def _save(self, trainer: Any) -> None:
        temporary = self.path.with_name(f".{self.path.name}.tmp")
        trainer.save_checkpoint(temporary)  # every rank takes part, rank 0 writes
        if trainer.is_global_zero:
            temporary.replace(self.path)


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
        """Stop here if it was asked for."""
        self._stop()

    def on_validation_batch_end(
        self,
        trainer: Any,
        pl_module: Any,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Likewise."""
        self._stop()

    def _remember(self, number: int, frame: Any) -> None:
        self._wanted = True
        signal.signal(signal.SIGINT, signal.default_int_handler)

    def _stop(self) -> None:
        if self._wanted:
            raise KeyboardInterrupt


def train(
    module: SpatialEmbeddingModule,
    data: EventDataModule,
    *,
    output: str | Path,
    schedule: BudgetSchedule,
    validate_every: int | None = None,
    ema_decay: float | None = None,
    patience: int | None = None,
    resume: bool = False,
    **trainer_options: Any,
) -> Predictor:
    """Train, keep checkpoints on the way, and write the model.

    Parameters
    ----------
    module : SpatialEmbeddingModule
    data : EventDataModule
    output : path
        Folder that gets ``last.ckpt`` (to resume from; also written on Ctrl-C),
        ``logs/version_*/metrics.csv`` (one per run) and, at the end, ``model.pt`` for
        :meth:`Predictor.from_pretrained`.
    schedule : BudgetSchedule
        How long to train.
    validate_every : int, optional
        Validate and write ``last.ckpt`` every so many steps, by default after each epoch.
    ema_decay : float, optional
        Validate and keep a moving average of the weights, which keeps this much of itself in one step, such
        as 0.999; see :class:`WeightAverage`.
    patience : int, optional
        Stop after so many validations in a row without a better ``val/sbd``; ``model.pt`` is then the best
        model, written as soon as it is found, instead of the last one.
    resume : bool
        Go on from ``last.ckpt``. An epoch that was interrupted goes on with as many batches as it lacked,
        drawn anew.
    **trainer_options
        Passed to :class:`lightning.pytorch.Trainer`, e.g. ``precision="bf16-mixed"``.

    Returns
    -------
    Predictor
        With the trained model. With Gaussian kernels it repairs their clusters: of briefly trained networks
        that improves every class but tracks at crowded vertices (``benchmarks/bench_repairs.py``). Where true
        instances have gaps, load the file with ``refine=False``.

    Raises
    ------
    FileNotFoundError
        If there is nothing to resume from.
    """
    output = Path(output)
    last = output / LAST
    if resume and not last.is_file():
        raise FileNotFoundError(f"nothing to resume: {last} does not exist; train without resume first")
    output.mkdir(parents=True, exist_ok=True)
    predictor = Predictor(
        module.model,
        module.clusterer,
        inputs=data.inputs,
        classes=data.classes,
        refine=isinstance(module.clusterer, GaussianKernelClusterer),
    )

    def keep(step: int, score: float | None, kept: str = "best") -> None:
        minutes = round(schedule.seconds / 60, 2)
        known: dict[str, Any] = {
            "kept": kept,
            "steps": step,
            "minutes": minutes,
            "val_sbd": score,
            "ema_decay": ema_decay,
        }
        predictor.save(output / MODEL, **{name: value for name, value in known.items() if value is not None})

    best = None if patience is None else BestModel(keep, patience=patience)
    average = None if ema_decay is None else WeightAverage(ema_decay)
    # The order matters where a validation ends: the best model has averaged weights, the checkpoint both.
    kept = [callback for callback in (best, average) if callback is not None]
    trainer = lightning.Trainer(
        logger=lightning.loggers.CSVLogger(output, name="logs"),
        callbacks=[schedule, *kept, ResumePoint(last), BudgetProgressBar(schedule), InterruptBetweenSteps()],
        max_epochs=-1,
        max_steps=-1 if schedule.max_steps is None else schedule.max_steps,
        val_check_interval=validate_every,
        check_val_every_n_epoch=1 if validate_every is None else None,
        gradient_clip_val=1.0,
        log_every_n_steps=10,
        num_sanity_val_steps=0,
        reload_dataloaders_every_n_epochs=1,
        enable_model_summary=False,
        enable_checkpointing=False,
        **trainer_options,
    )
    with warnings.catch_warnings():
        # The number of workers is the caller's choice, and short epochs are not a mistake here.
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        warnings.filterwarnings("ignore", message=".*number of training batches.*")
        warnings.filterwarnings("ignore", message=".*ended before the epoch ended.*")
        # Lightning against newer versions of torch.
        warnings.filterwarnings("ignore", message=".*LeafSpec.*")
        _fit(trainer, module, data, last if resume else None)
    if best is not None and best.score is not None:
        start_from(output / MODEL, module.model)
    else:
        keep(trainer.global_step, None, "last")
    module.model.eval()
    return predictor


def _fit(
    trainer: Any, module: SpatialEmbeddingModule, data: EventDataModule, checkpoint: Path | None
) -> None:
    """``trainer.fit``, with Ctrl-C as KeyboardInterrupt: Lightning turns it into an exit of the process."""
    handler = signal.getsignal(signal.SIGINT)
    try:
        trainer.fit(module, datamodule=data, ckpt_path=checkpoint, weights_only=False)
    except SystemExit as error:
        raise KeyboardInterrupt from error
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, handler)
