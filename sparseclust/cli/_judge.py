"""``sparseclust judge``."""

import glob
import hashlib
import math
import os
import shutil
import sys
import zipfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from sparseclust.cli._predict import find_device
from sparseclust.cli._progress import progress_bar
from sparseclust.clustering import (
    AgglomerativeClusterer,
    FragmentJudge,
    FragmentPairs,
    GaussianKernelClusterer,
)
from sparseclust.data import Event, open_events
from sparseclust.pipeline import AcrossClasses, Predictor
from sparseclust.training import judge_examples, train_judge

# Of so many events one is kept to see how good the judge is.
_CHECKED = 10
# After so many events their pairs are written down.
_PART = 1000


def judge(
    files: list[str],
    *,
    model: Path,
    classified: str | None = None,
    weights: tuple[float, ...] = (),
    output: Path | None = None,
    fragment_threshold: float | dict[int, float] = 0.95,
    min_size: int | dict[int, int] | None = None,
    radii: tuple[float, ...] = (4.0, 8.0, 20.0, 60.0),
    trees: int = 800,
    leaves: int = 31,
    learning_rate: float = 0.03,
    forests: int = 1,
    seed: int = 0,
    batch_size: int = 8,
    device: str = "auto",
    label: Literal["fragment", "group", "interaction"] = "fragment",
) -> None:
    """Train a judge that says which fragments belong together, and write a model that uses it.

    Edges between voxels see one spot. The judge sees two fragments where they meet: all edges between them,
    their directions, widths and energies, and what else is there. Stopped, the same command goes on from the
    pairs that it left in the folder OUTPUT.parts.

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
    weights
        How much an event of each of FILES counts, in their order, and last of CLASSIFIED; by default all the
        same. Events that were picked because particles touch should count as much less as they are more
        frequent than in life.
    output
        Model file to write; by default NAME.judged.pt beside the model NAME.pt.
    fragment_threshold
        Edges of at least this affinity make the fragments; one value, or one per class as in
        {0: 0.98, 1: 0.95}.
    min_size
        Smaller fragments join the neighbour with the strongest edge; one value, or one per class. By default
        as the model was saved.
    radii
        Around the contact, in voxels, rising: within each of them both fragments are described.
    trees
        Decision trees of each forest.
    leaves
        Leaves of each tree, at most.
    learning_rate
        What part of what each tree says is believed.
    forests
        Of so many forests per class the judge is the mean; of several, each learns from half of the pairs.
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
    opened = partial(open_events, label=label, spatial_size=predictor.inputs.spatial_size)
    judged_on = [*files, *([] if classified is None else [classified])]
    if weights and (len(weights) != len(judged_on) or not all(0 < weight < math.inf for weight in weights)):
        raise ValueError(f"weights must be {len(judged_on)} numbers above 0, one per input, got {weights}")
    each = weights or (1.0,) * len(judged_on)
    sources = [_Source("never", opened(name), weight) for name, weight in zip(files, each)]
    if classified is not None:
        sources.append(_Source("always", opened(classified), each[-1]))
    total = sum(len(source.events) for source in sources)
    if total == 0:
        raise ValueError(f"{', '.join(files)}: no events to learn from")
    classes = tuple(int(c) for c in predictor.classes)
    clusterer = AgglomerativeClusterer(
        judge=_nobody(classes, radii),
        fragment_threshold=fragment_threshold,
        min_size=predictor.clusterer.min_size if min_size is None else min_size,
    )
    own = predictor.across_classes
    training: dict[str, Any] = {
        "trees": trees,
        "leaves": leaves,
        "learning_rate": learning_rate,
        "forests": forests,
        "seed": seed,
    }
    options = [repr(clusterer), classified, weights, label, batch_size, training]
    identity = _identity(predictor, judged_on, options)
    parts = _Parts(Path(f"{target}.parts"), identity)

    # The first judge only leads the way, so a quarter of the trees is enough.
    first = training | {"trees": -(-trees // 4), "learning_rate": min(4 * learning_rate, 1.0), "forests": 1}

    learned: list[_Found] = []
    held: list[_Found] = []
    # Once with the truth at its side, once on its own way, to learn what to do after a mistake.
    for follow, way, settings in ((False, "with the truth", first), (True, "on its own", training)):
        with progress_bar(total=total, what=way) as bar:
            for found in _collect(predictor, clusterer, sources, parts, follow=follow, bar=bar):
                checked = found.event % _CHECKED == 0
                held.append(found.select(checked))
                # With a single event it is better to learn from it.
                learned.append(found.select(~checked | (total == 1)))
        # One array in the place of many.
        learned, held = [_Found.concatenate(learned)], [_Found.concatenate(held)]
        [kept], [unseen] = learned, held
        pairs = kept.pairs
        print(f"{way}: {len(pairs.same):,} pairs of fragments so far, {pairs.same.sum():,} of one particle")
        report = partial(_show, total=settings["trees"])
        clusterer.judge = train_judge(
            pairs, classes=classes, radii=radii, weight=kept.weight, report=report, **settings
        )
    wrong = np.count_nonzero((clusterer.judge(unseen.pairs.rows) >= 0.5) != unseen.pairs.same)
    print(f"of every {_CHECKED}th event, not learned from: {wrong:,} of {len(unseen.event):,} pairs wrong")
    predictor.across_classes, predictor.clusterer = own, clusterer
    predictor.save(target, judged_on=", ".join(judged_on))
    shutil.rmtree(parts.folder)
    print(f"model: {target}; thresholds per class: sparseclust tune FILES --model {target}")


def _nobody(classes: tuple[int, ...], radii: tuple[float, ...]) -> FragmentJudge:
    """Make a judge of no trees, which says nothing."""
    none = np.zeros(0, np.int32)
    return FragmentJudge(
        none.astype(np.int16),
        none.astype(np.float32),
        none,
        none,
        none.astype(np.int16),
        width=0,
        classes=classes,
        radii=radii,
    )


class _Source(NamedTuple):
    across_classes: AcrossClasses
    events: Sequence[Event]
    weight: float


class _Found(NamedTuple):
    """Pairs of fragments, and of each the number of its event and how much it counts."""

    pairs: FragmentPairs
    event: npt.NDArray[np.int64]
    weight: npt.NDArray[np.float64]

    def select(self, mask: npt.NDArray[np.bool_]) -> "_Found":
        """Choose some pairs."""
        return _Found(self.pairs.select(mask), self.event[mask], self.weight[mask])

    @classmethod
    def concatenate(cls, parts: Sequence["_Found"]) -> "_Found":
        """Put the pairs of several parts together."""
        pairs, event, weight = zip(*parts)
        return cls(FragmentPairs.concatenate(pairs), np.concatenate(event), np.concatenate(weight))


class _Parts(NamedTuple):
    """What was found in each thousand events, on disk until the judge is done."""

    folder: Path
    identity: str

    def load(self, name: str) -> _Found | None:
        """Give what was found by the same command, or None."""
        try:
            # np.load leaves a file open that it cannot read.
            with (self.folder / f"{name}.npz").open("rb") as file, np.load(file) as part:
                if str(part["identity"]) != self.identity:
                    return None
                pairs = FragmentPairs(*(part[name] for name in FragmentPairs._fields))
                return _Found(pairs, part["event"], part["weight"])
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None

    def save(self, name: str, found: _Found) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{name}.npz"
        unfinished = self.folder / f".{name}.{os.getpid()}.npz"
        try:
            arrays = {**found.pairs._asdict(), "event": found.event, "weight": found.weight}
            np.savez(unfinished, identity=self.identity, **arrays)
            os.replace(unfinished, path)
        finally:
            unfinished.unlink(missing_ok=True)


def _collect(
    predictor: Predictor,
    clusterer: AgglomerativeClusterer,
    sources: Sequence[_Source],
    parts: _Parts,
    *,
    follow: bool,
    bar: Any,
) -> Iterator[_Found]:
    """Go through all events; those whose pairs are on disk are not read."""
    start = 0
    for predictor.across_classes, events, weight in sources:
        for first in range(0, len(events), _PART):
            chunk = range(first, min(first + _PART, len(events)))
            name = f"{follow:d}-{start + first}"
            found = parts.load(name)
            if found is None:
                predictions = predictor.predict(events[i] for i in chunk)
                examples = []
                try:
                    for pairs in judge_examples(predictions, clusterer, follow=follow):
                        examples.append(pairs._replace(rows=pairs.rows.astype(np.float32)))
                        bar.update(1)
                except KeyboardInterrupt:
                    raise KeyboardInterrupt("the same command goes on from here") from None
                number = np.repeat([start + i for i in chunk], [len(pairs.same) for pairs in examples])
                found = _Found(FragmentPairs.concatenate(examples), number, np.full(len(number), weight))
                parts.save(name, found)
            else:
                bar.update(len(chunk))
            yield found
        start += len(events)


def _identity(predictor: Predictor, patterns: Sequence[str], options: Sequence[Any]) -> str:
    """Name all that the pairs depend on: SHA-256, hexadecimal."""
    found = hashlib.sha256(repr([predictor.inputs, predictor.classes, *options]).encode())
    for name in (name for pattern in patterns for name in sorted(glob.glob(pattern)) or [pattern]):
        state = os.stat(name)
        found.update(repr([name, state.st_size, state.st_mtime_ns]).encode())
    for name, values in predictor.model.state_dict().items():
        found.update(name.encode() + values.numpy(force=True).tobytes())
    return found.hexdigest()


def _show(tree: int, loss: float, *, total: int) -> None:
    """Write one line over the one before."""
    if sys.stderr.isatty():
        end = "\n" if tree + 1 == total else ""
        print(f"\rtree {tree + 1} of {total}, loss {loss:.4f}", end=end, file=sys.stderr, flush=True)
