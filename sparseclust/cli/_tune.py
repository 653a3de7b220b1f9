"""``sparseclust tune``."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from sparseclust.cli._predict import find_device
from sparseclust.cli._progress import progress
from sparseclust.cli._tables import format_table
from sparseclust.clustering import AffinityGraphClusterer, GaussianKernelClusterer
from sparseclust.data import SemanticClass, open_events
from sparseclust.pipeline import Predictor
from sparseclust.training import ThresholdScan, tune_thresholds, with_thresholds
from sparseclust.vis import plot_thresholds


def tune(
    files: list[str],
    *,
    model: Path,
    output: Path | None = None,
    metric: Literal["sbd", "ari", "harmonic"] = "sbd",
    steps: int = 20,
    together: bool = False,
    linkage: Literal["single", "additive"] | None = None,
    plot: Path | None = None,
    batch_size: int = 8,
    device: str = "auto",
    label: Literal["fragment", "group", "interaction"] = "fragment",
) -> None:
    """Find the best thresholds of a model's clusterer, and write a model that uses them.

    Gaussian kernels: seed and kernel threshold. An affinity graph: threshold and smallest size; one with a
    judge: the threshold of the judge. Per class, or for all classes together.

    Parameters
    ----------
    files
        Labelled validation events: PILArNet HDF5 files or event stores; each may be a glob pattern.
    model
        File that `sparseclust train` wrote (model.pt).
    output
        Model file to write; by default NAME.tuned.pt beside the model NAME.pt.
    metric
        What is best: mean sbd, mean ari, or the harmonic mean of the two.
    steps
        Thresholds to try, of each kind.
    together
        Use the same thresholds for all classes: with few events of a class its own are those of chance.
    linkage
        Of an affinity graph: whether one edge joins two pieces, or all edges between them have a say; by
        default as the model was saved.
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
    if linkage is not None:
        if not isinstance(predictor.clusterer, AffinityGraphClusterer):
            raise ValueError(
                "--linkage is for models that score edges and join what they say; this one has a "
                f"{type(predictor.clusterer).__name__}"
            )
        predictor.clusterer.set_params(linkage=linkage)
    size = predictor.inputs.spatial_size
    sources = [open_events(name, label=label, spatial_size=size) for name in files]
    predictions = (p for events in sources for p in predictor.predict(events))
    scan = tune_thresholds(
        progress(predictions, total=sum(map(len, sources)), what="tune"),
        clusterer=predictor.clusterer,
        grids=_grids(predictor, steps),
        metric=metric,
        classes=predictor.classes,
        refine=predictor.refine,
    )
    headers = ("class", "score", "value", *(name.replace("_", " ") for name in scan.grids), "events")
    print(format_table(headers, _rows(scan)))
    predictor.clusterer = with_thresholds(predictor.clusterer, scan, together=together)
    predictor.save(target, tuned_for=metric, tuned_on=", ".join(files))
    print(f"model: {target}")
    if plot is not None:
        plot_thresholds(scan).write_html(plot, include_plotlyjs=True)
        print(f"heat-maps: {plot}")


def _grids(predictor: Predictor, steps: int) -> dict[str, npt.NDArray[np.float64]]:
    centres = np.arange(0.5, steps) / steps
    if not isinstance(predictor.clusterer, GaussianKernelClusterer):
        return {"threshold": centres}
    return {"seed_threshold": np.arange(steps) / steps, "kernel_threshold": centres}


def _rows(scan: ThresholdScan) -> list[tuple[str, ...]]:
    """Best values of each class, then those that would be the best for all of them."""
    rows = []
    for c, table, n in zip(scan.classes, scan.scores, scan.n_events):
        name = SemanticClass(c).name.capitalize() if c >= 0 else "all voxels"
        rows.append((name, scan.metric, f"{table.max():.3f}", *_values(scan.best[int(c)]), f"{n:,}"))
    if len(scan.classes) > 1:
        best = f"{scan.scores.mean(axis=0).max():.3f}"
        rows.append(("together", scan.metric, best, *_values(scan.best_for_all), ""))
    return rows


def _values(best: Mapping[str, float]) -> list[str]:
    return [f"{value:.3f}" if isinstance(value, float) else str(value) for value in best.values()]
