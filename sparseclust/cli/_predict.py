"""``sparseclust predict``."""

import contextlib
import errno
import glob
import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch

from sparseclust.cli._progress import progress_bar
from sparseclust.cli._shard import parse_shard
from sparseclust.data import open_events
from sparseclust.pipeline import PredictedFile, Predictor, SemanticClassifier, TiledNetwork, predict_file

_FULL = (errno.ENOSPC, errno.EDQUOT)


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
    embeddings
        Store the embeddings as well; of a model that scores edges also margins and seediness.
    overwrite
        Replace files of predictions by another model or with other options.
    """
    inputs = [name for pattern in files for name in _matching(pattern)]
    targets = _targets(inputs, output)
    part = parse_shard(shard, os.environ)
    predictor = Predictor.from_pretrained(
        model, batch_size=batch_size, device=find_device(device), refine=refine, views=views
    )
    if semantic is not None:
        predictor.classifier = SemanticClassifier.from_pretrained(semantic, device=find_device(device))
    if tile is not None:
        for network in (predictor, predictor.classifier):
            if network is not None:
                network.model = TiledNetwork(network.model, voxels=tile, overlap=tile_overlap)
    works = [
        _Work(
            source, target, {"model": str(model), "source": source, "input": {"number": i, "of": len(inputs)}}
        )
        for i, (source, target) in enumerate(zip(inputs, targets), start=1)
    ]
    with _stopped_when_told():
        _predict_all(
            predictor,
            works[part.number - 1 :: part.total],
            label=label,
            embeddings=embeddings,
            workers=workers,
            overwrite=overwrite,
        )


def find_device(name: str) -> torch.device:
    """Turn "auto" into a device, and anything else into the device of that name."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        return torch.device(name)
    except RuntimeError as error:
        raise ValueError(f"no device {name!r}; try auto, cpu or cuda") from error


class _Work(NamedTuple):
    """An input, its output, and what the output says about them."""

    source: str
    target: Path
    attrs: dict[str, Any]


def _predict_all(predictor: Predictor, works: list[_Work], **options: Any) -> None:
    """Do all that can be done; then raise if anything could not."""
    failed = []
    for work in works:
        try:
            print(_told(_predict_one(predictor, work, **options)), flush=True)
        except KeyboardInterrupt as stop:
            words = [*map(str, stop.args), "the same command goes on, finished files are kept"]
            raise KeyboardInterrupt("; ".join(words)) from None
        except (ValueError, OSError) as error:
            if len(works) == 1 or getattr(error, "errno", None) in _FULL:
                raise
            print(f"sparseclust predict: error: {error}", file=sys.stderr, flush=True)
            failed.append(work.source)
    if failed:
        raise ValueError(f"{len(failed)} of {len(works)} inputs failed, see above: {', '.join(failed)}")


def _predict_one(predictor: Predictor, work: _Work, **options: Any) -> PredictedFile:
    size = predictor.inputs.spatial_size
    n = len(open_events(work.source, label=options["label"], spatial_size=size))
    with contextlib.closing(progress_bar(total=n, what=Path(work.source).name)) as bar:
        return predict_file(
            predictor, work.source, work.target, attrs=work.attrs, advance=bar.update, **options
        )


def _told(done: PredictedFile) -> str:
    events = f"{done.path}: {done.n_events:,} {'event' if done.n_events == 1 else 'events'}"
    total = sum(done.seconds.values())
    if not done.new or not total:
        return events if done.new else f"{events}, finished before"
    shares = ", ".join(f"{stage} {seconds / total:.0%}" for stage, seconds in done.seconds.items())
    return f"{events}, {done.n_events / total:.3g} per second ({shares})"


@contextlib.contextmanager
def _stopped_when_told() -> Iterator[None]:
    """End on SIGTERM, which batch systems send before they kill, as on Ctrl-C: nothing half stays behind."""

    def stop(number: int, frame: object) -> None:
        raise KeyboardInterrupt("terminated")

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _matching(pattern: str) -> list[str]:
    # A name that matches nothing is kept: it is reported when its turn comes.
    return [pattern] if Path(pattern).exists() else sorted(glob.glob(pattern, recursive=True)) or [pattern]


def _targets(inputs: list[str], output: Path) -> list[Path]:
    """Where the predictions of each input go; no file is written twice, and no input is overwritten."""
    if output.suffix == ".h5":
        targets = [output] * len(inputs)
    else:
        targets = [output / f"{Path(name).stem}.pred.h5" for name in inputs]
    given = {Path(name).resolve() for name in inputs}
    taken: set[Path] = set()
    for name, target in zip(inputs, targets):
        if target in taken:
            raise ValueError(
                f"{name}: another input goes to {target} too; predict them into different folders"
            )
        taken.add(target)
        if target.resolve() in given:
            raise ValueError(f"{target}: is an input; choose another --output")
    return targets
