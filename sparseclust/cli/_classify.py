"""``sparseclust classify``."""

import os
from functools import partial
from pathlib import Path
from typing import Literal

from sparseclust.cli._files import do_all, list_work
from sparseclust.cli._predict import find_device
from sparseclust.cli._shard import parse_shard
from sparseclust.pipeline import SemanticClassifier, classify_file


def classify(
    files: list[str],
    *,
    model: Path = Path("semantic-small"),
    output: Path = Path(),
    min_size: int | None = None,
    shard: str = "1/1",
    batch_size: int = 8,
    device: str = "auto",
    views: int = 1,
    label: Literal["fragment", "group", "interaction"] = "fragment",
    overwrite: bool = False,
) -> None:
    """Write events with predicted semantic classes in the place of theirs; true instances stay.

    Parameters
    ----------
    files
        PILArNet HDF5 files or event stores; each may be a glob pattern. Each gets a file of events; those
        that are finished already are kept.
    model
        Classifier that `sparseclust train` wrote (model.pt), or the name of one that comes with the library.
    output
        Folder for the results, NAME.class.h5 for NAME.h5; or, with one input, the .h5 file to write.
    min_size
        Connected voxels of one predicted class that are fewer take the class around them; 1: none do. By
        default as the model was saved.
    shard
        Part of the files that this process does; see `sparseclust predict`.
    batch_size
        Events per forward pass.
    device
        cpu, cuda, cuda:1, ...; auto takes a GPU where there is one.
    views
        Average over as many symmetries of the volume (up to 48): fewer errors, and the network runs as often.
    label
        Which column of a PILArNet file is the true instance: fragment, group or interaction.
    overwrite
        Replace files of another model or with other options.
    """
    works = list_work(files, output, suffix=".class.h5", model=model)
    part = parse_shard(shard, os.environ)
    classifier = SemanticClassifier.from_pretrained(
        model, min_size=min_size, batch_size=batch_size, views=views, device=find_device(device)
    )
    do_all(
        works[part.number - 1 :: part.total],
        partial(classify_file, classifier, label=label, overwrite=overwrite),
        command="classify",
        label=label,
        spatial_size=classifier.inputs.spatial_size,
    )
