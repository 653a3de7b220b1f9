"""``sparseclust tune``."""

from pathlib import Path
from typing import Literal

import numpy as np

from sparseclust.cli._predict import find_device
from sparseclust.cli._progress import progress
from sparseclust.cli._tables import format_table
from sparseclust.clustering import GaussianKernelClusterer
from sparseclust.data import SemanticClass, open_events
from sparseclust.pipeline import Predictor
from sparseclust.training import ThresholdScan, tune_thresholds, with_thresholds
from sparseclust.vis import plot_thresholds

_HEADERS = ("class", "score", "value", "seed threshold", "kernel threshold", "events")


def tune(
    files: list[str],
    *,
    model: Path,
    output: Path | None = None,
    metric: Literal["sbd", "ari", "harmonic"] = "sbd",
    steps: int = 20,
    plot: Path | None = None,
    batch_size: int = 8,
    device: str = "auto",
    label: Literal["fragment", "group", "interaction"] = "fragment",
) -> None:
    """Find the best seed and kernel thresholds per class, and write a model that uses them.

    Parameters
    ----------
    files
        Labelled validation events: PILArNet HDF5 files or event stores; each may be a glob pattern.
    model
        File that `sparseclust train` wrote (model.pt), of a network with embeddings whose clusterer is the
        Gaussian-kernel one.
    output
        Model file to write; by default NAME.tuned.pt beside the model NAME.pt.
    metric
        What is best: mean sbd, mean ari, or the harmonic mean of the two.
    steps
        Thresholds to try, of either kind.
    plot
        Write heat-maps of the scores here (.html).
    batch_size
        Events per forward pass.
    device
        cpu, cuda, cuda:1, ...; auto takes a GPU where there is one.
    label
        Which column of a PILArNet file is the true instance: fragment, group or interaction.
    """
    if steps < 1:
        raise ValueError(f"steps must be at least 1, got {steps}")
    target = model.with_name(f"{model.stem}.tuned.pt") if output is None else output
    if plot is not None:
        plot.parent.mkdir(parents=True, exist_ok=True)  # now, not after minutes of work
    predictor = Predictor.from_pretrained(model, batch_size=batch_size, device=find_device(device))
    if not isinstance(predictor.clusterer, GaussianKernelClusterer):
        raise ValueError(
            f"{model}: its {type(predictor.clusterer).__name__} has neither seed nor kernel threshold; "
            "train a network that clusters embeddings (--network.name spice)"
        )
    size = predictor.inputs.spatial_size
    sources = [open_events(name, label=label, spatial_size=size) for name in files]
    predictions = (p for events in sources for p in predictor.predict(events))
    scan = tune_thresholds(
        progress(predictions, total=sum(map(len, sources)), what="tune"),
        clusterer=predictor.clusterer,
        seed_grid=np.arange(steps) / steps,
        kernel_grid=np.arange(0.5, steps) / steps,
        metric=metric,
        classes=predictor.classes,
    )
    print(format_table(_HEADERS, _rows(scan)))
    predictor.clusterer = with_thresholds(predictor.clusterer, scan)
    predictor.save(target, tuned_for=metric, tuned_on=", ".join(files))
    print(f"model: {target}")
    if plot is not None:
        plot_thresholds(scan).write_html(plot, include_plotlyjs=True)
        print(f"heat-maps: {plot}")


def _rows(scan: ThresholdScan) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for c, table, n in zip(scan.classes, scan.scores, scan.n_events):
        name = SemanticClass(c).name.capitalize() if c >= 0 else "all voxels"
        s0, p0 = scan.best[int(c)]
        rows.append((name, scan.metric, f"{table.max():.3f}", f"{s0:.3f}", f"{p0:.3f}", f"{n:,}"))
    return rows
