"""``sparseclust predict``."""

import os
from functools import partial
from pathlib import Path
from typing import Literal

import torch

from sparseclust.cli._files import do_all, list_work
from sparseclust.cli._shard import parse_shard
from sparseclust.pipeline import Predictor, SemanticClassifier, TiledNetwork, predict_file


def predict(
    files: list[str],
    *,
    model: Path,
    semantic: Path | None = None,
    output: Path = Path(),
    shard: str = "1/1",
    batch_size: int = 8,
    device: str = "auto",
    workers: int = 0,
    tile: int | None = None,
    tile_overlap: int | None = None,
    label: Literal["fragment", "group", "interaction"] = "fragment",
    refine: bool | None = None,
    views: int = 1,
    semantic_views: int = 1,
    across_classes: Literal["never", "classified", "always"] | None = None,
    embeddings: bool = False,
    overwrite: bool = False,
) -> None:
    """Label the voxels of events: one label per voxel, rows in the order of the input.

    Parameters
    ----------
    files
        PILArNet HDF5 files or event stores; each may be a glob pattern. Each gets a file of predictions;
        those that are finished already are kept.
    model
        File that `sparseclust train` wrote (model.pt), or the name of a model that comes with the library.
    semantic
        Likewise a classifier, whose classes are used in the place of those of the events.
    output
        Folder for the results, NAME.pred.h5 for NAME.h5; or, with one input, the .h5 file to write.
    shard
        Part of the files that this process does: i/n for part i of n, counted from 1; auto takes it from
        Slurm (job array and srun) or torchrun, auto/n from a PBS job array of 1 to n.
    batch_size
        Events per forward pass.
    device
        cpu, cuda, cuda:1, ...; auto takes a GPU where there is one.
    workers
        Processes that cluster while the network is at the next events; of use beside a GPU.
    tile
        Most voxels that the network sees at once; larger batches are cut into overlapping tiles.
    tile_overlap
        Voxels that a tile reaches beyond its core; by default as far as the network sees.
    label
        Which column of a PILArNet file is the true instance: fragment, group or interaction.
    refine
        Repair the clusters of Gaussian kernels by the connectivity of their voxels: true or false; by default
        as the model was saved.
    views
        Average the scores of edges over as many symmetries of the volume (up to 48): a little better, and the
        network runs as often.
    semantic_views
        Likewise for the classifier: fewer wrong classes.
    across_classes
        Whether particles may have voxels of several classes: never, where a classifier gave them, or always;
        by default as the model was saved.
    embeddings
        Store the embeddings as well; of a model that scores edges also margins and seediness.
    overwrite
        Replace files of predictions by another model or with other options.
    """
    works = list_work(files, output, suffix=".pred.h5", model=model)
    part = parse_shard(shard, os.environ)
    predictor = Predictor.from_pretrained(
        model,
        batch_size=batch_size,
        device=find_device(device),
        refine=refine,
        views=views,
        across_classes=across_classes,
    )
    predictor.classifier = find_classifier(semantic, semantic_views, device)
    if tile is not None:
        for network in (predictor, predictor.classifier):
            if network is not None:
                network.model = TiledNetwork(network.model, voxels=tile, overlap=tile_overlap)
    do_all(
        works[part.number - 1 :: part.total],
        partial(
            predict_file, predictor, label=label, embeddings=embeddings, workers=workers, overwrite=overwrite
        ),
        command="predict",
        label=label,
        spatial_size=predictor.inputs.spatial_size,
    )


def find_classifier(path: Path | None, views: int, device: str) -> SemanticClassifier | None:
    """Read the classifier of ``--semantic``, if there is one."""
    if path is None:
        if views != 1:
            raise ValueError("--semantic_views changes how a classifier works, and needs --semantic")
        return None
    return SemanticClassifier.from_pretrained(path, views=views, device=find_device(device))


def find_device(name: str) -> torch.device:
    """Turn "auto" into a device, and anything else into the device of that name."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        return torch.device(name)
    except RuntimeError as error:
        raise ValueError(f"no device {name!r}; try auto, cpu or cuda") from error
