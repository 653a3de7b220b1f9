"""Speed of sparseclust.sparse: kernel maps, layers against plain matrix products, a U-ResNet on every engine.

Outputs are compared first. Engines take turns in one process; times are medians, CPU time on one thread
by default, so a busy machine changes them little; ``--threads 2`` prints wall time instead.
"spconv" is spconv's products on our kernel maps, "spconv (its own network)" the same network from its layers.
With THP_MEM_ALLOC_ENABLE=1 torch takes huge pages, which matters from about 10^6 voxels.
Run: python benchmarks/bench_sparse.py [--quick] [--threads N] [--network] [--engines NAME ...] [--file FILE]
The network alone, on the default engine and from spconv's layers: --threads 2 --network --engines numba
"""

import argparse
import functools
import itertools
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sparseclust.backbones import UResNet
from sparseclust.data import VoxelInputs, collate_events, open_events
from sparseclust.data.simulation import EventGenerator
from sparseclust.sparse import (
    SparseTensor,
    available_engines,
    sparse_conv,
    strided_map,
    submanifold_map,
    use_engine,
)

ENGINES = [name for name, state in available_engines().items() if state == "ok" and name != "triton"]
OWN = "spconv (its own network)"
clock = time.process_time


def main() -> None:
    global clock
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small sizes, a few seconds")
    parser.add_argument("--threads", type=int, default=1, help="more than one: wall time (default: 1)")
    parser.add_argument("--network", action="store_true", help="leave out maps, layers, memory and scaling")
    parser.add_argument(
        "--engines", nargs="+", choices=ENGINES, default=ENGINES, help="default: all that run"
    )
    parser.add_argument("--file", help="PILArNet HDF5 file: time the network on its first events too")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    engines = arguments.engines
    if arguments.threads > 1:
        clock = time.perf_counter
    quick = arguments.quick
    check_equality(simulated_voxels(2, 1000))
    if not arguments.network:
        time_maps([10**4] if quick else [10**4, 10**5, 10**6], engines)
        time_layers(simulated_voxels(4, 2000 if quick else 10_000), engines)
        measure_memory(10**5 if quick else 10**6)
        time_scaling([10**4, 10**5] if quick else [10**4, 10**5, 10**6])
    networks = [simulated_voxels(4, size) for size in ((2000,) if quick else (2000, 10_000, 50_000))]
    networks += [voxels_of(arguments.file, 4)] if arguments.file else []
    for coords in networks:
        for filters in (16,) if quick else (16, 32):
            time_network(coords, filters, engines)


# ------------------------------------------------------------------------------------------------ inputs
@functools.cache
def simulated_voxels(events: int, size: int) -> Tensor:
    """Lay simulated events over one another until each has ``size`` voxels; sort, and cut there."""
    generator, number, found = EventGenerator(rng=size), itertools.count(), []
    for event in range(events):
        voxels = np.zeros((0, 3), np.int64)
        while len(voxels) < size:
            voxels = np.unique(np.concatenate([voxels, generator.event(next(number)).coords]), axis=0)
        found.append(np.insert(voxels[:size], 0, event, axis=1))
    return torch.from_numpy(np.concatenate(found)).int()


def voxels_of(path: str, events: int) -> Tensor:
    """Read the first events of a file."""
    found = itertools.islice(open_events(path), events)
    return torch.unique(collate_events(list(found), inputs=VoxelInputs(768)).tensor.coords, dim=0)


# ----------------------------------------------------------------------------------------------- numbers
def check_equality(coords: Tensor) -> None:
    torch.manual_seed(0)
    net, feats = UResNet(4, base_channels=16, depth=3), torch.rand(len(coords), 4)
    upper = torch.randn(len(coords), net.out_channels)
    results = {}
    for engine in ENGINES:
        with use_engine(engine):
            y = net(SparseTensor(feats, coords)).feats
            results[engine] = [y.detach(), *torch.autograd.grad((y * upper).sum(), list(net.parameters()))]
    for engine in ENGINES:
        worst = max(
            float((a - b).abs().max() / b.abs().max().clamp(min=1e-6))
            for a, b in zip(results[engine], results["torch"])
        )
        assert worst < 1e-3, (engine, worst)
        print(f"outputs and gradients, {engine} against torch: largest relative difference {worst:.1e}")
    if "spconv" in ENGINES:
        check_own_network(net, feats.double(), coords)


def check_own_network(net: UResNet, feats: Tensor, coords: Tensor) -> None:
    own, net = spconv_network(net).double(), net.double()
    ours, theirs = net(SparseTensor(feats, coords)).feats, own(feats, coords)
    ours.square().sum().backward()
    theirs.square().sum().backward()
    a, b = net.encoder.stem.weight.grad, own.stem.weight.grad  # everything else lies on the way to the stem
    b = b.permute(1, 2, 3, 4, 0).reshape(a.shape)
    pairs = ((ours.detach(), theirs.detach()), (a, b))
    worst = max(float((x - y).abs().max() / y.abs().max()) for x, y in pairs)
    assert worst < 1e-9, worst
    print(f"output and gradient of the stem, float64, numba against {OWN}: {worst:.1e}")


def spconv_network(net: UResNet) -> torch.nn.Module:
    from _spconv_network import SpconvUResNet, train_on_cpu  # spconv is not everywhere

    train_on_cpu()
    return SpconvUResNet(net)


def time_maps(sizes: list[int], engines: list[str]) -> None:
    print("\nkernel maps, ms:       voxels     pairs   submanifold 3^3   strided 2^3")
    for size in sizes:
        coords = simulated_voxels(1, size)
        pairs = len(submanifold_map(coords, 3).source)
        builds = [lambda e=e, b=b: with_engine(e, b) for e in engines for b in map_builders(coords)]
        times = interleaved(builds, repeat=5)
        for i, engine in enumerate(engines):
            print(f"  {engine:18}{size:9,}{pairs:10,}{times[2 * i]:18.1f}{times[2 * i + 1]:14.1f}")


def map_builders(coords: Tensor) -> list[Callable[[], object]]:
    return [lambda: submanifold_map(coords, 3), lambda: strided_map(coords, 2)]


def time_layers(coords: Tensor, engines: list[str]) -> None:
    print(f"\nsubmanifold 3^3 forward, {len(coords):,} voxels, ms (ratio to plain products of the same size)")
    kernel_map = submanifold_map(coords, 3)
    for channels in (16, 32, 64):
        feats, weight = torch.randn(len(coords), channels), torch.randn(27, channels, channels)
        gathered = torch.randn(len(kernel_map.source), channels)
        edges = kernel_map.splits.tolist()

        def plain(gathered=gathered, weight=weight, edges=edges) -> None:
            for k in range(27):
                torch.mm(gathered[edges[k] : edges[k + 1]], weight[k])

        def conv(feats=feats, weight=weight) -> Tensor:
            return sparse_conv(feats, weight, kernel_map)

        base, *times = interleaved(
            [plain, *(lambda e=e, c=conv: with_engine(e, c) for e in engines)], repeat=9
        )
        print(
            f"  {channels:3} channels: products {base:.1f}",
            *(f"| {e} {t:.1f} ({t / base:.2f})" for e, t in zip(engines, times)),
        )


def time_scaling(sizes: list[int], channels: int = 32) -> None:
    print(
        f"\nsubmanifold 3^3, {channels} channels, forward + backward, default engine: microseconds per voxel"
    )
    works = []
    for size in sizes:
        # As many events as keep the density of one event of 10^4 voxels.
        coords = simulated_voxels(max(1, size // 10_000), min(size, 10_000))
        kernel_map = submanifold_map(coords, 3)
        feats = torch.randn(len(coords), channels, requires_grad=True)
        weight = torch.randn(27, channels, channels, requires_grad=True)
        times = max(1, 10**5 // size)  # a small one alone would be measured with the caches of the large one
        works.append(
            lambda f=feats, w=weight, m=kernel_map, n=times: [
                sparse_conv(f, w, m).sum().backward() for _ in range(n)
            ]
        )
    for size, took in zip(sizes, interleaved(works, repeat=5)):
        print(f"  {size:9,} voxels {1e3 * took / max(size, 10**5):.2f}")


def measure_memory(size: int, channels: int = 32) -> None:
    """Peak of the resident memory while a map is built and one layer runs forward and backward."""
    coords = simulated_voxels(max(1, size // 10_000), min(size, 10_000))
    weight = torch.randn(27, channels, channels, requires_grad=True)
    feats, pairs = (
        torch.randn(len(coords), channels, requires_grad=True),
        len(submanifold_map(coords, 3).source),
    )
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    before = resident("VmRSS")
    sparse_conv(feats, weight, submanifold_map(coords, 3)).sum().backward()
    used = resident("VmHWM") - before
    rows = 4 * channels * len(coords)
    print(
        f"\nmemory of a map and a layer, {channels} channels, forward + backward, {len(coords):,} voxels: "
        f"{used / 1e6:.0f} MB beyond the input; output, two gradients and 16 bytes per pair are "
        f"{(3 * rows + 16 * pairs) / 1e6:.0f} MB"
    )


def resident(name: str) -> int:
    """Bytes of this process in memory, now (VmRSS) or at most so far (VmHWM)."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(next(line for line in status.splitlines() if line.startswith(name)).split()[1])


def time_network(coords: Tensor, filters: int, engines: list[str]) -> None:
    torch.manual_seed(0)
    net, feats = UResNet(4, base_channels=filters), torch.rand(len(coords), 4)

    def ours() -> Tensor:
        return net(SparseTensor(feats, coords)).feats

    passes = {engine: lambda engine=engine: with_engine(engine, ours) for engine in engines}
    if "spconv" in ENGINES:
        own = spconv_network(net)
        passes[OWN] = lambda: own(feats, coords)
        expected = ours()
        assert (passes[OWN]() - expected).abs().max() < 1e-4 * expected.abs().max()
    print(f"\nU-ResNet depth 5, {filters} filters, {len(coords):,} voxels in 4 events, ms")
    works = [lambda f=f, w=w: w(f) for f in passes.values() for w in (inference, training)]
    times = interleaved(works, repeat=5)
    for i, name in enumerate(passes):
        print(
            f"  {name:25} forward {times[2 * i]:7.0f}   forward + backward {times[2 * i + 1]:7.0f}",
            flush=True,
        )


def inference(forward: Callable[[], Tensor]) -> None:
    with torch.no_grad():
        forward()


def training(forward: Callable[[], Tensor]) -> None:
    forward().square().mean().backward()


# ------------------------------------------------------------------------------------------------ timing
def with_engine(engine: str, work: Callable[[], Tensor]) -> Tensor:
    with use_engine(engine):
        return work()


def interleaved(works: list[Callable[[], object]], *, repeat: int) -> list[float]:
    """Median time of each in ms; all take turns, after one round to warm up."""
    times: list[list[float]] = [[] for _ in works]
    for turn in range(repeat + 1):
        for work, measured in zip(works, times):
            start = clock()
            work()
            if turn:
                measured.append(1e3 * (clock() - start))
    return [statistics.median(measured) for measured in times]


if __name__ == "__main__":
    main()
