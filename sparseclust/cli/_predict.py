"""``sparseclust predict``."""

from pathlib import Path
from typing import Literal

import torch

from sparseclust.cli._progress import progress
from sparseclust.data import open_events
from sparseclust.pipeline import Predictor, write_predictions


def predict(
    files: list[str],
    *,
    model: Path,
    output: Path = Path(),
    batch_size: int = 8,
    device: str = "auto",
    label: Literal["fragment", "group", "interaction"] = "fragment",
    refine: bool | None = None,
    embeddings: bool = False,
) -> None:
    """Label the voxels of events: one label per voxel, rows in the order of the input.

    Parameters
    ----------
    files
        PILArNet HDF5 files or event stores; each may be a glob pattern.
    model
        File that `sparseclust train` wrote (model.pt).
    output
        Folder for the results, NAME.pred.h5 for NAME.h5; or, with one input, the .h5 file to write.
    batch_size
        Events per forward pass.
    device
        cpu, cuda, cuda:1, ...; auto takes a GPU where there is one.
    label
        Which column of a PILArNet file is the true instance: fragment, group or interaction.
    refine
        Repair the clusters of Gaussian kernels by the connectivity of their voxels: true or false; by default
        as the model was saved.
    embeddings
        Store the embeddings as well.
    """
    targets = _targets(files, output)
    predictor = Predictor.from_pretrained(
        model, batch_size=batch_size, device=find_device(device), refine=refine
    )
    for name, target in zip(files, targets):
        events = open_events(name, label=label, spatial_size=predictor.inputs.spatial_size)
        target.parent.mkdir(parents=True, exist_ok=True)
        labelled = progress(predictor.predict(events), total=len(events), what=Path(name).name)
        n = write_predictions(
            target, labelled, attrs={"model": str(model), "source": str(name)}, embeddings=embeddings
        )
        print(f"{target}: {n} events")


def find_device(name: str) -> torch.device:
    """Turn "auto" into a device, and anything else into the device of that name."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        return torch.device(name)
    except RuntimeError as error:
        raise ValueError(f"no device {name!r}; try auto, cpu or cuda") from error


def _targets(files: list[str], output: Path) -> list[Path]:
    """Where the predictions of each input go; no file is written twice, and no input is overwritten."""
    if output.suffix == ".h5":
        targets = [output] * len(files)
    else:
        targets = [output / f"{Path(name).stem.replace('*', '_')}.pred.h5" for name in files]
    for name, target in zip(files, targets):
        if targets.count(target) > 1:
            raise ValueError(
                f"{name}: another input goes to {target} too; predict them into different folders"
            )
        if target.exists() and any(Path(other).exists() and target.samefile(other) for other in files):
            raise ValueError(f"{target}: is an input; choose another --output")
    return targets
