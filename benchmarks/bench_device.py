"""The clusterer beside the network's forward pass, for one batch of events on one device.

Run ``python benchmarks/bench_device.py [--device cuda] [--events 64]``. Prints for both, on tensors of the
device: wall time (median, device synchronised), operators that run a kernel, how often the host waits for a
value, and the bytes that these operators read and write. An operator of the sparse engine counts once, with
its own tensors alone, so the network's figures are lower bounds. Embeddings are drawn around the true
instances: those of an untrained network have no clusters.
"""

import argparse
import functools
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from sparseclust.clustering import GaussianKernelClusterer
from sparseclust.data import VoxelDataset, VoxelInputs, collate_events
from sparseclust.data.simulation import EventGenerator, SimulatedEvents
from sparseclust.models import edge_spice

SIZE = 768
WAITS = {"item", "_local_scalar_dense", "nonzero", "_unique2", "repeat_interleave"}


class Counter(TorchDispatchMode):
    """Counts operators, waits and bytes."""

    def __init__(self) -> None:
        super().__init__()
        self.operators = self.waits = self.bytes = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run one operator; what only makes a view runs no kernel."""
        result = function(*args, **(kwargs or {}))
        self.waits += function.overloadpacket.__name__ in WAITS
        if not function.is_view and function is not torch.ops.aten._unsafe_view.default:
            self.operators += 1
            tensors = [t for t in tree_leaves((args, kwargs, result)) if isinstance(t, torch.Tensor)]
            self.bytes += sum(t.numel() * t.element_size() for t in tensors)
        return result


def embedded(batch: Any, rng: np.random.Generator) -> tuple[torch.Tensor, ...]:
    """Embeddings, margins and seediness as a trained network gives them, and class and event."""
    event, semantic = batch.tensor.coords[:, 0], batch.semantic
    _, owner = np.unique(np.stack([event, batch.instance]), axis=1, return_inverse=True)
    k = owner.max() + 1
    sigma = (0.05 * rng.uniform(0.5, 1.5, k))[owner]
    step = rng.normal(size=(len(owner), 3)) * 0.6 * sigma[:, None]
    seediness = np.exp(-np.sum(step**2, axis=1) / (2 * sigma**2))
    arrays = rng.uniform(-1, 1, (k, 3))[owner] + step, sigma, seediness
    return *(torch.from_numpy(a.astype(np.float32)) for a in arrays), semantic, event


def measure(name: str, run: Callable[[], Any], device: torch.device, repeats: int) -> None:
    """Print one line."""
    run()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - start)
    with Counter() as counter:
        run()
    print(
        f"{name:24} {statistics.median(times) * 1e3:10.2f} ms {counter.operators:7} operators "
        f"{counter.waits:4} waits {counter.bytes / 1e9:8.2f} GB"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=64)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--base_channels", type=int, default=16)
    options = parser.parse_args()
    device = torch.device(options.device)
    inputs = VoxelInputs(SIZE, n_classes=4)
    events = VoxelDataset(
        SimulatedEvents(options.events, EventGenerator("pilarnet", spatial_size=SIZE, rng=1))
    )
    batch = collate_events([events[i] for i in range(len(events))], inputs=inputs)
    rows = [t.to(device) for t in embedded(batch, np.random.default_rng(7))]
    network = edge_spice(inputs.channels(ndim=3), base_channels=options.base_channels).to(device).eval()
    tensor = batch.to(device).tensor
    clusterer = GaussianKernelClusterer(0.5, backend="torch")
    fit = functools.partial(clusterer.fit_predict, *rows[:3], semantic=rows[3], event=rows[4])
    host = GaussianKernelClusterer(0.5, backend="numba")
    if not torch.equal(fit(), host.fit_predict(*rows[:3], semantic=rows[3], event=rows[4])):
        raise SystemExit(f"labels differ between {device} and numba")
    print(f"{options.events} events, {len(rows[0])} voxels, {len(clusterer.seeds_)} clusters, on {device}")
    with torch.inference_mode():
        measure("clusterer, torch", fit, device, options.repeats)
        measure("network, forward", lambda: network(tensor), device, options.repeats)


if __name__ == "__main__":
    main()
