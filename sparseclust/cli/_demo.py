"""``sparseclust demo``: the whole chain on a laptop."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch

from sparseclust.cli._progress import progress
from sparseclust.cli._report import write_comparison
from sparseclust.cli._simulate import simulate
from sparseclust.cli._tables import HEADERS, WEIGHTING, comparison_rows, format_table
from sparseclust.cli._train import train as train_network
from sparseclust.clustering import AffinityGraphClusterer, GaussianKernelClusterer
from sparseclust.data import Event, open_events
from sparseclust.data.simulation import EventGenerator
from sparseclust.models import BranchedNet, create_model
from sparseclust.pipeline import Prediction, Predictor
from sparseclust.training import Scorer, dbscan_labels, evaluate, tune_thresholds, with_thresholds
from sparseclust.vis import plot_comparison

_SHIPPED = "spice-small"
_ABOUT = (
    "{network} sparseclust cuts between touching voxels and bridges gaps where the network says so; DBSCAN "
    "does neither. {embeddings}The published network (Koh et al., arXiv:2007.03083) was trained and scored "
    "on PILArNet, not on these events."
)
_EMBEDDINGS = (
    "Embeddings alone is the published way, seeds and Gaussian kernels, with the same network, and with the "
    "thresholds that are best for 20 other simulated events. "
)
# Event numbers from here on are never trained on.
_UNSEEN = 1_000_000


def demo(
    *,
    data: Path | None = None,
    output: Path = Path("demo"),
    train: bool = False,
    minutes: float = 5.0,
    events: int = 1500,
    test_events: int = 50,
    shown: int = 8,
    seed: int = 0,
    label: Literal["fragment", "group", "interaction"] = "fragment",
) -> None:
    """Simulate events, find their particles with a small network, score it, and write a report.

    Parameters
    ----------
    data
        Your own events to predict as well: PILArNet HDF5 or an event store. Scored if they carry truth.
    output
        Folder for everything that is made.
    train
        Train a network for some minutes first, instead of taking the one that comes with the library.
    minutes
        Training time.
    events
        Training events to simulate; a third as many with crowded vertices are added.
    test_events
        Unseen events to score, of each kind. Also the most that are read of your own file.
    shown
        Events of each kind in the report.
    seed
        Of simulation and training.
    label
        Which column of a PILArNet file is the true instance: fragment, group or interaction.
    """
    if min(events, test_events) < 1 or shown < 0:
        raise ValueError(
            "events and test_events must be at least 1 and shown at least 0, "
            f"got {events}, {test_events} and {shown}"
        )
    samples: dict[str, Sequence[Event]] = {}
    if data is not None:  # first, so that a wrong file is known before minutes of work
        samples[data.name] = _own_events(data, label, test_events)
    output.mkdir(parents=True, exist_ok=True)
    print("simulate (the first run compiles the transport: half a minute without a sign of life)")
    for mix in ("pilarnet", "crowded"):
        path = output / f"test-{mix}.h5"
        simulate(path, events=test_events, mix=mix, first=_UNSEEN, seed=seed)
        samples[f"simulated, {mix} mix"] = open_events(path)
    model = _train(output, minutes, events, seed) if train else _SHIPPED
    trained = Predictor.from_pretrained(model)
    print("predict and score unseen events (the first run compiles the convolutions)")
    others = _others(trained, seed)
    report: list[tuple[str, Prediction]] = []
    scores: dict[str, dict[str, Scorer]] = {}
    for name, sample in samples.items():
        predictions = list(progress(trained.predict(sample), total=len(sample), what=name))
        report += [(f"{name}, event {i}", p) for i, p in enumerate(predictions[:shown])]
        if all(event.instance is not None for event in sample):
            scores[name] = _scores(predictions, others)
            print(f"\n{name}: {len(sample)} events\n{format_table(HEADERS, comparison_rows(scores[name]))}")
    print(f"\n{WEIGHTING}")
    about = (
        f"A small network, trained for {minutes:g} minutes on simulated events."
        if train
        else (f"The network that comes with the library as {_SHIPPED}, trained on other simulated events.")
    )
    page = output / "report.html"
    note = _ABOUT.format(network=about, embeddings=_EMBEDDINGS if _has_embeddings(trained) else "")
    write_comparison(page, title="sparseclust demo", scores=scores, events=report, notes=[note])
    _picture(output / "event.png", predictions[0])
    print(f"report: {page.resolve()}")
    print(f"next:   sparseclust predict YOUR_FILE.h5 --model {model}")
    print("        sparseclust demo --train true, sparseclust train --help")


def _train(output: Path, minutes: float, events: int, seed: int) -> str:
    """Train the network of the demo; where its model is."""
    simulate(output / "train" / "pilarnet.h5", events=events, seed=seed)
    simulate(output / "train" / "crowded.h5", events=events // 3, mix="crowded", seed=seed)
    simulate(output / "validation.h5", events=20, first=2 * _UNSEEN, seed=seed)
    print(f"train for {minutes:g} minutes")
    train_network(
        str(output / "train" / "*.h5"),
        validation=str(output / "validation.h5"),
        output=output,
        batch_size=4,  # in so short a time, more steps teach more than larger ones
        max_minutes=minutes,
        seed=seed,
        overwrite=True,
    )
    return str(output / "model.pt")


def _own_events(path: Path, label: Literal["fragment", "group", "interaction"], n: int) -> list[Event]:
    """Read the user's first events, and see that the networks of the demo can take them."""
    source = open_events(path, label=label)
    events = [source[i] for i in range(min(n, len(source)))]
    for i, event in enumerate(events):
        if event.ndim != 3 or event.semantic is None:
            raise ValueError(
                f"{path}, event {i}: the demo's network takes 3D events with semantic classes, got {event}; "
                "train one of your own with: sparseclust train --network.input_classes 0"
            )
    return events


def _picture(path: Path, prediction: Prediction) -> None:
    """Draw one event as the README shows it."""
    labels = {"sparseclust": prediction.labels, "DBSCAN": dbscan_labels(prediction.event)}
    plot_comparison(prediction.event, labels, backend="matplotlib").savefig(path, dpi=110)


def _others(trained: Predictor, seed: int) -> dict[str, Predictor]:
    """Set up what to compare with: the embeddings alone where there are any, and an untrained network."""
    # Without the judge, which has learned too: from geometry alone it joins a good part.
    graph = AffinityGraphClusterer()
    untrained = Predictor(_untrained(trained, seed), graph, inputs=trained.inputs)
    if not _has_embeddings(trained):
        return {"untrained": untrained}
    kernels = GaussianKernelClusterer(leftover="nearest")
    embeddings = Predictor(trained.model, kernels, inputs=trained.inputs)
    generators = [EventGenerator(mix, rng=seed) for mix in ("pilarnet", "crowded")]
    events = [generator.event(3 * _UNSEEN + i) for generator in generators for i in range(10)]
    scan = tune_thresholds(embeddings.predict(events), clusterer=kernels)
    embeddings.clusterer = with_thresholds(kernels, scan)
    return {"embeddings alone": embeddings, "untrained": untrained}


def _scores(predictions: Sequence[Prediction], others: dict[str, Predictor]) -> dict[str, Scorer]:
    """Score the trained network, the others on the same events, and DBSCAN."""
    events = [p.event for p in predictions]
    scores = evaluate(predictions)
    return {
        "sparseclust": scores["sparseclust"],
        **{name: evaluate(predictor.predict(events))["sparseclust"] for name, predictor in others.items()},
        "DBSCAN": scores["DBSCAN"],
    }


def _has_embeddings(trained: Predictor) -> bool:
    assert isinstance(trained.model, BranchedNet)
    return "embeddings" in trained.model.outputs


def _untrained(trained: Predictor, seed: int) -> torch.nn.Module:
    """Make a network of the same architecture with random weights."""
    assert isinstance(trained.model, BranchedNet)
    settings = dict(trained.model.config or {})
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return create_model(settings.pop("name"), **settings)
