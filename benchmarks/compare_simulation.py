"""Compare simulated events with another sample of the same kind, such as Geant4 events.

Prints means and spreads per class, Kolmogorov-Smirnov distances of the distributions, and draws them; beside
the sample, the same distances between two simulated samples show what chance makes of them.
Run: python benchmarks/compare_simulation.py FILE [--mix pilarnet] [--events 400] [--plot compare.png]
"""

import argparse
import time
from collections.abc import Sequence

import numpy as np
from scipy import stats

from sparseclust.clustering import neighbour_edges
from sparseclust.data import Event, SemanticClass, open_events
from sparseclust.data.simulation import EventGenerator, SimulatedEvents

CLASSES = [c for c in SemanticClass if c != SemanticClass.LOW_ENERGY]
Sample = dict[str, np.ndarray]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", help="events to compare with")
    parser.add_argument("--mix", default="pilarnet", help="of the simulated events (default: pilarnet)")
    parser.add_argument("--events", type=int, default=400, help="to simulate (default: 400)")
    parser.add_argument("--seed", type=int, default=0, help="of the simulation (default: 0)")
    parser.add_argument("--plot", help="write the distributions here (.png)")
    parser.add_argument("--picture", help="write an event of each side by side here (.png)")
    options = parser.parse_args()
    others = list(open_events(options.file))
    source = SimulatedEvents(2 * options.events, EventGenerator(options.mix, rng=options.seed))
    source.generator.event(0)  # compiles
    start = time.process_time()
    ours, again = list(source[: options.events]), list(source[options.events :])
    took = 1e3 * (time.process_time() - start) / len(source)
    print(f"{took:.1f} ms of CPU time per event, {options.mix} mix\n")
    print_counts(ours, others)
    samples = [distributions(events) for events in (ours, others, again)]
    print_distances(*samples)
    if options.plot:
        draw_distributions(samples[0], samples[1], options.plot)
    if options.picture:
        draw_events(ours, others, options.picture)


def print_counts(ours: Sequence[Event], others: Sequence[Event]) -> None:
    print(f"per event, mean ± standard deviation: {len(ours)} simulated | {len(others)} of the file\n")
    print("| class | instances | voxels | MeV | events where two touch |\n|---|---|---|---|---|")
    for c in SemanticClass:
        tables = [np.array([per_event(e, c) for e in events]) for events in (ours, others)]
        cells = [
            " \\| ".join(f"{t[:, k].mean():.{d}f} ± {t[:, k].std():.{d}f}" for t in tables)
            for k, d in enumerate((2, 0, 0))
        ]
        # The error is that of drawing events.
        shares = [(t[:, 3].mean(), t[:, 3].std() / np.sqrt(len(t))) for t in tables]
        cells.append(" \\| ".join(f"{100 * share:.1f} ± {100 * error:.1f} %" for share, error in shares))
        print(f"| {c.name.lower()} | " + " | ".join(cells) + " |")


def per_event(event: Event, semantic: int) -> tuple[float, float, float, bool]:
    rows = event.semantic == semantic
    first, second = event.instance[rows][neighbour_edges(event.coords[rows])]
    instances = np.unique(event.instance[rows])
    return (instances >= 0).sum(), rows.sum(), event.energy[rows].sum(), (first != second).any()


def distributions(events: Sequence[Event]) -> Sample:
    sample = {}
    for c in CLASSES:
        rows = [e.semantic == c for e in events]
        sizes = [np.unique(e.instance[r], return_counts=True)[1] for e, r in zip(events, rows)]
        sample[f"voxels per {c.name.lower()}"] = np.concatenate(sizes)
    for c in SemanticClass:
        sample[f"voxels of class {c.name.lower()} per event"] = np.array(
            [(e.semantic == c).sum() for e in events]
        )
    sample["energy of a voxel"] = np.concatenate([e.energy for e in events])
    for c in (SemanticClass.SHOWER, SemanticClass.TRACK):
        near = [neighbours(e.coords[e.semantic == c]) for e in events]
        sample[f"neighbours of a {c.name.lower()} voxel"] = np.concatenate(near)
    return sample


def neighbours(coords: np.ndarray) -> np.ndarray:
    edges = neighbour_edges(coords)
    return np.bincount(edges.reshape(-1), minlength=len(coords))


def print_distances(ours: Sample, others: Sample, again: Sample) -> None:
    print("\n| distribution | KS distance | of two simulated samples |\n|---|---|---|")
    for name in ours:
        distance, chance = (stats.ks_2samp(ours[name], x[name]).statistic for x in (others, again))
        print(f"| {name} | {distance:.3f} | {chance:.3f} |")


def draw_distributions(ours: Sample, others: Sample, path: str) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(3, 4, figsize=(14, 9), constrained_layout=True)
    for axis, name in zip(axes.flat, ours):
        top = np.quantile(np.concatenate([ours[name], others[name]]), 0.995)
        bins = np.linspace(0, top, min(40, int(top) + 2) if "neighbours" in name else 40)
        axis.hist(others[name], bins, density=True, color="0.75", label="Geant4")
        axis.hist(
            ours[name], bins, density=True, histtype="step", color="C0", linewidth=1.5, label="simulated"
        )
        axis.set_title(name, fontsize=10)
        axis.set_yticks([])
    axes.flat[0].legend(fontsize=8)
    for axis in axes.flat[len(ours) :]:
        axis.axis("off")
    figure.savefig(path, dpi=90)


def draw_events(ours: Sequence[Event], others: Sequence[Event], path: str) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(2, 3, figsize=(14, 9), constrained_layout=True)
    colours = np.array(["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#bbbbbb"])
    for row, (name, events) in zip(axes, (("simulated", ours), ("Geant4", others))):
        for axis, event in zip(row, events):
            order = np.argsort(event.semantic == SemanticClass.TRACK)
            axis.scatter(*event.coords[order][:, :2].T, s=0.6, c=colours[event.semantic[order]], linewidths=0)
            axis.set(title=name, xlim=(0, 768), ylim=(0, 768), aspect="equal", xticks=[], yticks=[])
    handles = [
        pyplot.Line2D([], [], marker="o", ls="", c=colours[c], label=c.name.lower()) for c in SemanticClass
    ]
    axes[0, 0].legend(handles=handles, fontsize=8, loc="upper left")
    figure.savefig(path, dpi=80)


if __name__ == "__main__":
    main()
