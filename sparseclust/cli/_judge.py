"""``sparseclust judge``."""

import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from sparseclust.cli._predict import find_device
from sparseclust.cli._progress import progress
from sparseclust.clustering import (
    AgglomerativeClusterer,
    FragmentJudge,
    FragmentPairs,
    GaussianKernelClusterer,
)
from sparseclust.data import open_events
from sparseclust.pipeline import AcrossClasses, Prediction, Predictor
from sparseclust.training import judge_examples, train_judge

# Of so many events one is kept to see how good the judge is.
_CHECKED = 10


def judge(
    files: list[str],
    *,
    model: Path,
    classified: str | None = None,
    output: Path | None = None,
    fragment_threshold: float | dict[int, float] = 0.95,
    min_size: int | None = None,
    radii: tuple[float, ...] = (8.0, 20.0, 60.0),
    hidden: int = 128,
    epochs: int = 12,
    dropout: float = 0.2,
    seed: int = 0,
    batch_size: int = 8,
    device: str = "auto",
    label: Literal["fragment", "group", "interaction"] = "fragment",
) -> None:
    """Train a judge that says which fragments belong together, and write a model that uses it.

    Edges between voxels see one spot. The judge sees two fragments where they meet: all edges between them,
    their directions, widths and energies, and what else is there.

    Parameters
    ----------
    files
        Labelled events, thousands of them, with particles that touch: PILArNet HDF5 files or event stores;
        each may be a glob pattern.
    model
        Model that scores edges: the file that `sparseclust train` wrote (model.pt), or the name of one that
        comes with the library.
    classified
        Further events, a file or a glob pattern, with the classes of a classifier, as `sparseclust classify`
        writes them: in these, particles may cross classes.
    output
        Model file to write; by default NAME.judged.pt beside the model NAME.pt.
    fragment_threshold
        Edges of at least this affinity make the fragments; one value, or one per class as in
        {0: 0.98, 1: 0.95}.
    min_size
        Smaller fragments join the neighbour with the strongest edge; by default as the model was saved.
    radii
        Around the contact, in voxels, rising: within each of them both fragments are described.
    hidden
        Width of the judge's two hidden layers.
    epochs
        Passes over the examples.
    dropout
        Of the hidden layers, in training.
    seed
        The same seed gives the same judge.
    batch_size
        Events per forward pass.
    device
        cpu, cuda, cuda:1, ...; auto takes a GPU where there is one.
    label
        Which column of a PILArNet file is the true instance: fragment, group or interaction.
    """
    target = Path(f"{model.with_suffix('')}.judged.pt") if output is None else output
    predictor = Predictor.from_pretrained(model, batch_size=batch_size, device=find_device(device))
    if isinstance(predictor.clusterer, GaussianKernelClusterer):
        raise ValueError(f"{model}: has Gaussian kernels; fragments are those of a model that scores edges")
    size = predictor.inputs.spatial_size
    with_truth = [open_events(name, label=label, spatial_size=size) for name in files]
    with_classes = [] if classified is None else [open_events(classified, label=label, spatial_size=size)]
    classes = tuple(int(c) for c in predictor.classes)
    untrained = FragmentJudge(np.zeros(0), np.zeros(0), [], classes, radii)
    clusterer = AgglomerativeClusterer(
        judge=untrained,
        fragment_threshold=fragment_threshold,
        min_size=predictor.clusterer.min_size if min_size is None else min_size,
    )
    own = predictor.across_classes
    total = sum(map(len, [*with_truth, *with_classes]))

    def predictions() -> Iterator[Prediction]:
        modes: tuple[AcrossClasses, AcrossClasses] = ("never", "always")
        for sources, predictor.across_classes in zip((with_truth, with_classes), modes):
            for events in sources:
                yield from predictor.predict(events)

    learned: list[FragmentPairs] = []
    held: list[FragmentPairs] = []
    # Once with the truth at its side, once on its own way, to learn what to do after a mistake.
    for way in ("with the truth", "on its own"):
        seen = progress(predictions(), total=total, what=way)
        for number, pairs in enumerate(judge_examples(seen, clusterer, follow=bool(learned))):
            (learned if number % _CHECKED else held).append(pairs)
        # One array in the place of many.
        learned, held = [FragmentPairs.concatenate(learned or held)], [FragmentPairs.concatenate(held)]
        [kept] = learned
        print(f"{way}: {len(kept.same):,} pairs of fragments so far, {kept.same.sum():,} of one particle")
        clusterer.judge = train_judge(
            kept,
            classes=classes,
            radii=radii,
            hidden=hidden,
            epochs=epochs,
            dropout=dropout,
            seed=seed,
            report=partial(_show, total=epochs),
        )
    [checked] = held
    wrong = np.count_nonzero((clusterer.judge(checked.rows) >= 0.5) != checked.same)
    print(f"of every {_CHECKED}th event, not learned from: {wrong:,} of {len(checked.same):,} pairs wrong")
    predictor.across_classes, predictor.clusterer = own, clusterer
    predictor.save(target, judged_on=", ".join([*files, *([] if classified is None else [classified])]))
    print(f"model: {target}; thresholds per class: sparseclust tune FILES --model {target}")


def _show(epoch: int, loss: float, *, total: int) -> None:
    """Write one line over the one before."""
    if sys.stderr.isatty():
        end = "\n" if epoch + 1 == total else ""
        print(f"\repoch {epoch + 1} of {total}, loss {loss:.4f}", end=end, file=sys.stderr, flush=True)
