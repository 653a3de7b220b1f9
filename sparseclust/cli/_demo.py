"""``sparseclust demo``: the whole chain on a laptop."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from sparseclust.cli._progress import progress
from sparseclust.cli._report import write_comparison
from sparseclust.cli._simulate import simulate
from sparseclust.cli._tables import HEADERS, WEIGHTING, comparison_rows, format_table
from sparseclust.cli._train import NetworkOptions, build_network, train
from sparseclust.clustering import GaussianKernelClusterer
from sparseclust.data import Event, open_events
from sparseclust.pipeline import Prediction, Predictor
from sparseclust.training import Scorer, dbscan_labels, evaluate
from sparseclust.vis import plot_comparison

_ABOUT = (
    "A small network, trained for {minutes:g} minutes on simulated events. sparseclust cuts between touching "
    "voxels where the network says so; DBSCAN never cuts. The published network (Koh et al., "
    "arXiv:2007.03083) was trained and scored on PILArNet, not on these events."
)
# Event numbers from here on are never trained on.
_UNSEEN = 1_000_000


def demo(
    *,
    data: Path | None = None,
    output: Path = Path("demo"),
    minutes: float = 5.0,
    events: int = 1500,
    test_events: int = 50,
    shown: int = 8,
    seed: int = 0,
    label: Literal["fragment", "group", "interaction"] = "fragment",
) -> None:
    """Simulate events, train a small network, predict unseen events, score them, and write a report.

    Parameters
    ----------
    data
        Your own events to predict as well: PILArNet HDF5 or an event store. Scored if they carry truth.
    output
        Folder for everything that is made.
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
    network = NetworkOptions()
    samples: dict[str, Sequence[Event]] = {}
    if data is not None:  # first, so that a wrong file is known before minutes of work
        samples[data.name] = _own_events(data, label, test_events, network)
    output.mkdir(parents=True, exist_ok=True)
    print("1/4 simulate (the first run compiles the transport: half a minute without a sign of life)")
    simulate(output / "train" / "pilarnet.h5", events=events, seed=seed)
    simulate(output / "train" / "crowded.h5", events=events // 3, mix="crowded", seed=seed)
    simulate(output / "validation.h5", events=20, first=_UNSEEN + test_events, seed=seed)
    for mix in ("pilarnet", "crowded"):
        path = output / f"test-{mix}.h5"
        simulate(path, events=test_events, mix=mix, first=_UNSEEN, seed=seed)
        samples[f"simulated, {mix} mix"] = open_events(path)
    print(f"2/4 train for {minutes:g} minutes")
    train(
        str(output / "train" / "*.h5"),
        validation=str(output / "validation.h5"),
        output=output,
        network=network,
        batch_size=4,  # in so short a time, more steps teach more than larger ones
        max_minutes=minutes,
        seed=seed,
    )
    trained = Predictor.from_pretrained(output / "model.pt")
    print("3/4 predict and score unseen events")
    report: list[tuple[str, Prediction]] = []
    scores: dict[str, dict[str, Scorer]] = {}
    for name, sample in samples.items():
        predictions = list(progress(trained.predict(sample), total=len(sample), what=name))
        report += [(f"{name}, event {i}", p) for i, p in enumerate(predictions[:shown])]
        if all(event.instance is not None for event in sample):
            scores[name] = _scores(trained, predictions, network, seed)
            print(f"\n{name}: {len(sample)} events\n{format_table(HEADERS, comparison_rows(scores[name]))}")
    print(f"\n{WEIGHTING}")
    print("4/4 draw")
    page = output / "report.html"
    write_comparison(
        page, title="sparseclust demo", scores=scores, events=report, notes=[_ABOUT.format(minutes=minutes)]
    )
    _picture(output / "event.png", predictions[0])
    print(f"report: {page.resolve()}")
    print(f"next:   sparseclust predict YOUR_FILE.h5 --model {output / 'model.pt'}")
    print("        sparseclust train --help  (the demo stops long before the network is fully trained)")


def _own_events(
    path: Path, label: Literal["fragment", "group", "interaction"], n: int, network: NetworkOptions
) -> list[Event]:
    """Read the user's first events, and see that the network of the demo can take them."""
    source = open_events(path, label=label)
    events = [source[i] for i in range(min(n, len(source)))]
    for i, event in enumerate(events):
        if event.ndim != 3 or (network.input_classes and event.semantic is None):
            raise ValueError(
                f"{path}, event {i}: the demo's network takes 3D events with semantic classes, got {event}; "
                "train one of your own with: sparseclust train --network.input_classes 0"
            )
    return events


def _picture(path: Path, prediction: Prediction) -> None:
    """Draw one event as the README shows it."""
    labels = {"sparseclust": prediction.labels, "DBSCAN": dbscan_labels(prediction.event)}
    plot_comparison(prediction.event, labels, backend="matplotlib").savefig(path, dpi=110)


def _scores(
    trained: Predictor, predictions: Sequence[Prediction], network: NetworkOptions, seed: int
) -> dict[str, Scorer]:
    """Score the trained network, its embeddings alone, an untrained network, and DBSCAN."""
    events = [p.event for p in predictions]
    inputs = trained.inputs
    embeddings = GaussianKernelClusterer(seed_threshold=0.5, leftover="nearest")
    fresh = build_network(network, size=inputs.spatial_size, seed=seed)
    others = {
        "embeddings alone": Predictor(trained.model, embeddings, inputs=inputs),
        "untrained": Predictor(fresh, trained.clusterer, inputs=inputs),
    }
    scores = evaluate(predictions)
    return {
        "sparseclust": scores["sparseclust"],
        **{name: evaluate(predictor.predict(events))["sparseclust"] for name, predictor in others.items()},
        "DBSCAN": scores["DBSCAN"],
    }
