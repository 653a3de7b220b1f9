"""Speed of sparseclust.data: opening and random reading of large files, and loading beside a training step.

Run: python benchmarks/bench_data.py [--quick]. Files are written to a temporary folder (some 400 MB), so
their pages are in memory: the times are those of HDF5 and of this library, not of a disk. Reading is measured
in CPU time. Loading is in wall time, because workers run beside the caller; it takes turns with training.
"""

import argparse
import functools
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from torch.utils.data import DataLoader

from sparseclust.data import (
    Batch,
    Event,
    EventStore,
    PilarnetFile,
    RandomSymmetry,
    VoxelDataset,
    VoxelInputs,
    collate_events,
    open_events,
    write_events,
)
from sparseclust.data.simulation import EventGenerator, SimulatedEvents
from sparseclust.losses import EdgeAffinityLoss, SpatialEmbeddingLoss
from sparseclust.models import create_model

SIZE = 768
CHOSEN = 1000
BATCH = 8


def seconds(function: Callable[[], Any], clock: Callable[[], float] = time.perf_counter) -> float:
    begin = clock()
    function()
    return clock() - begin


def write_pilarnet(path: Path, n: int, chosen: np.ndarray) -> None:
    """Write n events in the layout of PILArNet-M: the chosen ones of 4000 voxels, the others of 20."""
    rng = np.random.default_rng(0)
    with h5py.File(path, "w") as file:
        point = file.create_dataset("point", (n,), h5py.vlen_dtype(np.float32), chunks=(1024,))
        cluster = file.create_dataset("cluster", (n,), h5py.vlen_dtype(np.int32), chunks=(1024,))
        sizes = np.full(n, 20)
        sizes[chosen] = 4000
        for i, size in enumerate(sizes):
            points = np.zeros((size, 8), np.float32)
            points[:, :3] = rng.integers(0, SIZE, (size, 3))
            points[:, 3] = rng.random(size)
            point[i] = points.reshape(-1)
            cluster[i] = np.array([4, -1, -1, -1, 4, -1, size - 4, 0, 0, 0, 1, 2])


def bench_reading(folder: Path, n: int) -> None:
    chosen = np.random.default_rng(1).permutation(n)[: min(CHOSEN, n // 10)].tolist()
    path, store = folder / "pilarnet.h5", folder / "store.h5"
    write_pilarnet(path, n, np.array(chosen))
    with PilarnetFile(path) as events:
        write_events(store, (events[i] for i in chosen))
    sources: dict[str, tuple[Callable[[], Sequence[Event]], list[int]]] = {
        "PILArNet-M": (lambda: PilarnetFile(path), chosen),
        "ten such files": (lambda: open_events([path] * 10), [i + i % 10 * n for i in chosen]),
        "event store": (lambda: EventStore(store), list(range(len(chosen)))[::-1]),
    }
    print(f"{len(chosen)} events of 4000 voxels, at random (targets for 10^5 events: 1 s, 5 s)")
    for name, (make, rows) in sources.items():
        opening = statistics.median(seconds(make, time.process_time) for _ in range(5))
        found = make()
        reading = seconds(lambda found=found, rows=rows: [found[i] for i in rows], time.process_time)
        print(f"  {name:15}{len(found):8} events{1e3 * opening:8.1f} ms to open{reading:8.2f} s to read")


def training_step(batches: Sequence[Batch]) -> Callable[[], None]:
    """Forward, loss and backward of the network of ``sparseclust train``, one batch after the other."""
    model = create_model("edge_spice", in_channels=8, spatial_size=SIZE, base_channels=16)
    embedding_loss, edge_loss = SpatialEmbeddingLoss(), EdgeAffinityLoss()

    def step() -> None:
        for batch in batches:
            out = model(batch.tensor)
            terms = embedding_loss(
                out["embeddings"],
                out["margins"],
                out["seediness"],
                instance=batch.instance,
                group=batch.group,
            )
            edges = edge_loss(out["affinity"], out["edges"], instance=batch.instance)
            (terms["loss"] + edges["loss"]).backward()

    return step


def bench_loading(folder: Path, n: int, steps: int) -> None:
    path = folder / "simulated.h5"
    write_events(path, SimulatedEvents(n, EventGenerator("pilarnet", rng=3)))
    dataset = VoxelDataset(EventStore(path), transform=RandomSymmetry(SIZE))
    collate = functools.partial(collate_events, inputs=VoxelInputs(SIZE, n_classes=4))
    loaders = {
        workers: DataLoader(
            dataset,
            batch_size=BATCH,
            collate_fn=collate,
            num_workers=workers,
            persistent_workers=workers > 0,
        )
        for workers in (0, 2)
    }
    step = training_step([batch for _, batch in zip(range(steps), loaders[0])])
    for run in [*(functools.partial(list, loader) for loader in loaders.values()), step]:
        run()  # processes start, kernels are compiled
    times: dict[Any, list[float]] = {0: [], 2: [], "step": []}
    for _ in range(3):
        for workers, loader in loaders.items():
            times[workers].append(seconds(lambda loader=loader: list(loader)) / n)
        times["step"].append(seconds(step) / (steps * BATCH))
    each = {key: statistics.median(values) for key, values in times.items()}
    voxels = np.mean([len(event) for event in dataset])
    print(f"loading simulated events of {voxels:.0f} voxels in batches of {BATCH} (target: 5 times the step)")
    print(f"  training step, {torch.get_num_threads()} threads{1 / each['step']:10.1f} events/s")
    for workers in loaders:
        ratio = each["step"] / each[workers]
        print(
            f"  DataLoader, {workers} workers     {1 / each[workers]:10.1f} events/s, {ratio:.1f} times that"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small files, a few seconds")
    quick = parser.parse_args().quick
    with tempfile.TemporaryDirectory() as folder:
        bench_reading(Path(folder), 2_000 if quick else 100_000)
        bench_loading(Path(folder), 32 if quick else 100, steps=2)


if __name__ == "__main__":
    main()
