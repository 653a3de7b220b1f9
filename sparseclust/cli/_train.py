"""``sparseclust train``."""

from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal, cast

import torch

from sparseclust._optional import require
from sparseclust.cli._start import describe_start, options_of_model
from sparseclust.cli._train_options import LossOptions, NetworkOptions
from sparseclust.clustering import AffinityGraphClusterer, AgglomerativeClusterer, GaussianKernelClusterer
from sparseclust.data import RandomSymmetry, SemanticClass, VoxelInputs, open_events
from sparseclust.losses import EdgeAffinityLoss, SemanticLoss, SpatialEmbeddingLoss
from sparseclust.models import Branch, BranchedNet, create_model
from sparseclust.pipeline import PARTICLE_CLASSES, Predictor, SemanticClassifier
from sparseclust.training import (
    BudgetSchedule,
    EventDataModule,
    SemanticModule,
    SpatialEmbeddingModule,
    start_from,
)
from sparseclust.training import train as run_training

# Chosen on simulated events for a network trained for minutes: 0.5 cuts too little at crowded vertices, 0.9
# cuts too much elsewhere.
_EDGE_CLUSTERER = AffinityGraphClusterer(threshold=0.7)

_NETWORK, _LOSS = NetworkOptions(), LossOptions()
SEMANTIC = "semantic_unet"
# Options that a network has no use for.
_FOREIGN = {
    "edge_spice": (),
    "edge_unet": ("spatial_size", "margin_dim", "initial_margin"),
    "semantic_unet": ("spatial_size", "margin_dim", "initial_margin", "bridge_radius"),
    "spice": ("bridge_radius",),
}


def train(
    events: str,
    *,
    validation: str,
    output: Path = Path("runs/spice"),
    size: int = 768,
    network: NetworkOptions = _NETWORK,
    loss: LossOptions = _LOSS,
    batch_size: int = 8,
    batch_voxels: int | None = None,
    learning_rate: float = 2e-3,
    max_steps: int | None = None,
    max_minutes: float | None = None,
    validate_every: int | None = None,
    ema_decay: float | None = None,
    patience: int | None = None,
    start: str | None = None,
    freeze: bool = False,
    only: Literal["edges", "embeddings"] | None = None,
    across_classes: bool = False,
    workers: int = 1,
    seed: int = 0,
    accelerator: str = "auto",
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true",
    label: Literal["fragment", "group", "interaction"] = "fragment",
    resume: bool = False,
    overwrite: bool = False,
) -> None:
    """Train a network on labelled events; Ctrl-C leaves a checkpoint, `--resume true` goes on from it.

    Parameters
    ----------
    events
        Training events: a file or glob pattern; PILArNet HDF5, or what `sparseclust simulate` writes.
    validation
        Validation events, likewise.
    output
        Folder for checkpoint (last.ckpt), logs and model (model.pt).
    size
        Voxels along each side of the volume.
    network
        The network.
    loss
        The loss.
    batch_size
        Events per step, of all processes together.
    batch_voxels
        Most voxels per step on one process; events with more are left out of the training.
    learning_rate
        Peak learning rate.
    max_steps
        Stop after so many steps.
    max_minutes
        Stop after so many minutes of training. At least one of the two is needed.
    validate_every
        Validate and save the checkpoint every so many steps; by default once per epoch.
    ema_decay
        Validate and keep a moving average of the weights that keeps this much of itself per step, e.g. 0.999.
    patience
        Stop after so many validations without a better SBD, and keep the best model, not the last one.
    start
        Start from the weights of this model file, or of a model that comes with the library, by its name.
        Size, network, inputs and clusterer are then those of the model, unless the network has more parts or,
        with a larger `--network.base_channels`, more features.
    freeze
        Leave those weights as they are, and train what the file does not have; with `--only` its branches.
    only
        Train edges or embeddings alone: branches for the other are not run, which saves their time, and stay
        as they are.
    across_classes
        Learn to join and to cut between voxels of different classes, too: for events whose classes a
        classifier predicted, as `sparseclust classify` writes them.
    workers
        Processes that read events.
    seed
        Of weights, order and augmentation.
    accelerator
        auto, cpu or gpu.
    precision
        Arithmetic of the network.
    label
        Which column of a PILArNet file is the true instance: fragment, group or interaction.
    resume
        Go on from output/last.ckpt.
    overwrite
        Begin anew where output holds the last.ckpt of another training, and replace it.
    """
    schedule = BudgetSchedule(max_steps=max_steps, max_minutes=max_minutes)
    if freeze and start is None:
        raise ValueError("--freeze keeps the weights of a trained model: give one as --start")
    options = {f"network.{name}": value for name, value in asdict(network).items()} | {"size": size}
    told = {} if start is None else describe_start(start, options, semantic=SEMANTIC)
    inputs = VoxelInputs(**told["inputs"]) if told else network_inputs(network, size=size)
    data = EventDataModule(
        open_events(events, label=label, spatial_size=size),
        open_events(validation, label=label, spatial_size=size),
        inputs=inputs,
        batch_size=batch_size,
        batch_voxels=batch_voxels,
        num_workers=workers,
        transform=RandomSymmetry(size),
        classes=list(SemanticClass) if network.name == SEMANTIC else told.get("classes", PARTICLE_CLASSES),
        seed=seed,
    )
    # Where several processes train, one of them speaks.
    say = require("lightning.pytorch.utilities", extra="train").rank_zero_only(print)
    if data.left_out:
        say(f"{data.left_out} training events have more than {batch_voxels} voxels and are left out")
    model = build_network(network, size=size, seed=seed, norm=told["model"]["norm"] if told else "batch")
    if start is not None and (freeze or not resume):
        reader = SemanticClassifier if network.name == SEMANTIC else Predictor
        missing = start_from(start, model, inputs=data.inputs, reader=reader)
        if missing:
            say(f"{start} has no weights for {len(missing)} tensors, which start anew: {', '.join(missing)}")
        narrow = told["model"]["base_channels"]
        if narrow < network.base_channels:
            if freeze:
                raise ValueError(
                    "--freeze keeps all weights, but a wider network has new ones in every layer"
                )
            say(f"{start} has {narrow} features per voxel; {network.base_channels - narrow} more start anew")
        if freeze:
            if not missing and only is None:
                raise ValueError(f"nothing to train: {start} has all weights, and --freeze keeps them")
            for name, parameter in model.named_parameters():
                parameter.requires_grad_(name in missing)
    module: Any = _module(
        model, network, loss, learning_rate, start=start, only=only, across_classes=across_classes
    )
    if only is not None:
        for branch in model.branches.values():
            # Not the others, or several processes would wait for their gradients.
            branch.requires_grad_(not set(module.only).isdisjoint(cast(Branch, branch).outputs))
    try:
        run_training(
            module,
            data,
            output=output,
            schedule=schedule,
            validate_every=validate_every,
            ema_decay=ema_decay,
            patience=patience,
            resume=resume,
            overwrite=overwrite,
            accelerator=accelerator,
            precision=precision,
        )
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"checkpoint in {output / 'last.ckpt'}; to go on: "
            f"sparseclust train ... --output {output} --resume true"
        ) from None
    say(f"model: {output / 'model.pt'}; use it with: sparseclust predict FILES --model {output / 'model.pt'}")


def defaults(options: Any) -> dict[str, Any]:
    """Take what is not given from the model to start from."""
    return {} if options.start is None else options_of_model(options.start)


def _clusterer(
    name: str, start: str | None
) -> GaussianKernelClusterer | AffinityGraphClusterer | AgglomerativeClusterer:
    """Choose that of the model to start from, whose thresholds are tuned, if it is of the kind needed."""
    first = GaussianKernelClusterer(seed_threshold=0.5) if name == "spice" else _EDGE_CLUSTERER
    given = first if start is None else Predictor.from_pretrained(start).clusterer
    kernels = isinstance(first, GaussianKernelClusterer)
    return given if isinstance(given, GaussianKernelClusterer) == kernels else first


def _module(
    model: BranchedNet,
    network: NetworkOptions,
    loss: LossOptions,
    learning_rate: float,
    *,
    start: str | None,
    only: Literal["edges", "embeddings"] | None,
    across_classes: bool,
) -> SpatialEmbeddingModule | SemanticModule:
    weights = asdict(loss)
    class_weights = weights.pop("class_weights")
    if network.name == SEMANTIC:
        for option, given in (("--only", only is not None), ("--across_classes", across_classes)):
            if given:
                raise ValueError(f"{option} is about edges and embeddings, not for {SEMANTIC}")
        return SemanticModule(
            model, loss=SemanticLoss(class_weights=class_weights), learning_rate=learning_rate
        )
    if class_weights is not None:
        raise ValueError(f"class_weights are for the network {SEMANTIC}, not for {network.name}")
    return SpatialEmbeddingModule(
        model,
        edge_loss=EdgeAffinityLoss(cut_weight=weights.pop("cut_weight"), kind=weights.pop("edge")),
        maximin_weight=weights.pop("maximin_weight"),
        loss=SpatialEmbeddingLoss(**weights),
        clusterer=_clusterer("spice" if only == "embeddings" else network.name, start),
        only=only,
        across_classes=across_classes,
        learning_rate=learning_rate,
    )


def build_network(options: NetworkOptions, *, size: int, seed: int, norm: str = "batch") -> BranchedNet:
    """Make an untrained network; the same weights for the same seed."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        settings = asdict(options) | {"spatial_size": size, "norm": norm}
        settings["in_channels"] = network_inputs(options, size=size).channels(ndim=3)
        for foreign in ("input_classes", *_FOREIGN[options.name]):
            settings.pop(foreign)
        return create_model(**settings)


def network_inputs(options: NetworkOptions, *, size: int) -> VoxelInputs:
    """Say what the network sees of an event."""
    return VoxelInputs(size, n_classes=0 if options.name == SEMANTIC else options.input_classes)
