"""One training from events to a model file."""

import warnings
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch

from sparseclust.data import VoxelInputs
from sparseclust.pipeline import Predictor, SemanticClassifier
from sparseclust.training._average import WeightAverage
from sparseclust.training._best import BestModel
from sparseclust.training._checkpoint import ResumePoint, check_checkpoint
from sparseclust.training._data import EventDataModule
from sparseclust.training._finite import FiniteLoss
from sparseclust.training._interrupt import InterruptBetweenSteps, fit
from sparseclust.training._launch import launch_options
from sparseclust.training._lightning import lightning, without_hints
from sparseclust.training._progress import BudgetProgressBar
from sparseclust.training._schedule import BudgetSchedule

LAST = "last.ckpt"
MODEL = "model.pt"
Trained = TypeVar("Trained", Predictor, SemanticClassifier, covariant=True)


class TrainingModule(Protocol[Trained]):
    """A LightningModule that knows what applies its network to events, and by which score it is judged."""

    model: torch.nn.Module
    monitor: str

    def train(self, mode: bool = True) -> Any:
        """Switch to training, as every torch module does."""

    def trained(self, inputs: VoxelInputs, classes: Sequence[int]) -> Trained:
        """Return what applies the network to events."""


@without_hints()
def train(
    module: TrainingModule[Trained],
    data: EventDataModule,
    *,
    output: str | Path,
    schedule: BudgetSchedule,
    validate_every: int | None = None,
    ema_decay: float | None = None,
    patience: int | None = None,
    resume: bool = False,
    overwrite: bool = False,
    **trainer_options: Any,
) -> Trained:
    """Train, keep checkpoints on the way, and write the model.

    Parameters
    ----------
    module : SpatialEmbeddingModule or SemanticModule
    data : EventDataModule
    output : path
        Folder that gets ``last.ckpt`` (to resume from; also written on Ctrl-C),
        ``logs/version_*/metrics.csv`` (one per run) and, at the end, ``model.pt`` for
        :meth:`Predictor.from_pretrained`, which needs the network beside it where that was not made by
        :func:`sparseclust.models.create_model` or a preset.
    schedule : BudgetSchedule
        How long to train.
    validate_every : int, optional
        Validate and write ``last.ckpt`` every so many batches, by default after each epoch.
    ema_decay : float, optional
        Validate and keep a moving average of the weights, which keeps this much of itself in one step, such
        as 0.999; see :class:`WeightAverage`.
    patience : int, optional
        Stop after so many validations in a row without a better ``val/sbd`` (of classes: ``val/iou``);
        ``model.pt`` is then the best model, written as soon as it is found, instead of the last one.
    resume : bool
        Go on from ``last.ckpt``.
    overwrite : bool
        Begin anew in a folder that holds the ``last.ckpt`` of another training, and replace it.
    **trainer_options
        Passed to :class:`lightning.pytorch.Trainer`, e.g. ``precision="bf16-mixed"``, a list of
        ``callbacks`` beside ours, another ``logger``, or ``enable_progress_bar=False``.

    Returns
    -------
    Predictor or SemanticClassifier
        With the trained model. With Gaussian kernels it repairs their clusters: of briefly trained networks
        that improves every class but tracks at crowded vertices (``benchmarks/bench_repairs.py``). Where true
        instances have gaps, load the file with ``refine=False``.

    Raises
    ------
    FileNotFoundError
        If there is nothing to resume from.
    FileExistsError
        If ``output`` holds a ``last.ckpt`` and neither ``resume`` nor ``overwrite`` says what to do with it.
    ValueError
        If ``last.ckpt`` belongs to another training, or holds code; in training, if the loss is not finite.
    OSError
        In training, if a file cannot be written.

    Notes
    -----
    A training with a budget of steps that is stopped, or killed, and resumed with the same options on the
    same machine has the same weights, bit for bit, as one that went on.
    """
    output = Path(output)
    predictor = module.trained(data.inputs, data.classes)
    settings = {
        "network": getattr(module.model, "config", None),
        "inputs": asdict(data.inputs),
        "classes": [int(c) for c in data.classes],
        "ema_decay": ema_decay,
    }
    last = output / LAST
    if resume:
        check_checkpoint(last, settings)
    elif last.exists() and not overwrite:
        raise FileExistsError(
            f"{last} is the checkpoint of a training, which a new one would replace: go on with that one "
            "(resume), give another output, or say that it may go (overwrite)"
        )
    output.mkdir(parents=True, exist_ok=True)

    def keep(step: int, score: float | None, which: str = "best") -> None:
        told: dict[str, Any] = {module.monitor.replace("/", "_"): score, "ema_decay": ema_decay}
        told = {name: value for name, value in told.items() if value is not None}
        minutes = round(schedule.seconds / 60, 2)
        predictor.save(output / MODEL, kept=which, steps=step, minutes=minutes, **told)

    best = None if patience is None else BestModel(keep, patience=patience)
    average = None if ema_decay is None else WeightAverage(ema_decay)
    # The order matters where a validation ends: the best model has averaged weights, the checkpoint both.
    keepers: list[Any] = [callback for callback in (best, average) if callback is not None]
    added: list[Any] = list(trainer_options.pop("callbacks", ()))
    if trainer_options.get("enable_progress_bar", True):
        added.append(BudgetProgressBar(schedule))
    trainer = lightning.Trainer(
        callbacks=[
            schedule,
            FiniteLoss(),
            *keepers,
            ResumePoint(last, settings),
            *added,
            InterruptBetweenSteps(),
        ],
        max_epochs=-1,
        max_steps=-1 if schedule.max_steps is None else schedule.max_steps,
        val_check_interval=validate_every or data.batches_per_epoch,
        check_val_every_n_epoch=None,
        gradient_clip_val=1.0,
        log_every_n_steps=10,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        **{
            "logger": lightning.loggers.CSVLogger(output, name="logs"),
            **launch_options(),
            **trainer_options,
        },
    )
    module.train()  # Lightning leaves it as it is: that of a predictor evaluates, frozen parts do not
    with warnings.catch_warnings():
        # The number of workers is the caller's choice.
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        # Those are the frozen ones.
        warnings.filterwarnings("ignore", message=".*in eval mode at the start of training.*")
        # Lightning, and the name of an option, against newer versions of torch.
        warnings.filterwarnings("ignore", message=".*LeafSpec.*")
        warnings.filterwarnings("ignore", message=".*broadcast_buffers.*")
        fit(trainer, module, data, last if resume else None)
    if best is not None and best.score is not None:
        type(predictor).from_pretrained(output / MODEL, model=module.model)
    elif trainer.is_global_zero:
        keep(trainer.global_step, None, "last")
    trainer.strategy.barrier("the model is written")
    module.model.eval()
    return predictor
