"""Speed and memory of sparseclust.losses beside a loop over clusters and a table of voxels x clusters.

Values and gradients are compared first. Ours is the whole loss from raw ids, all terms, forward and
backward; the others are the mask term alone. Times are medians of turns in one process, CPU time on one
thread by default; ``--threads 2`` prints wall time instead. Peak memory is that of a fresh process, as the
system counts it, beyond the inputs and the gradients asked for; there, freed memory goes back at once.
Run: python benchmarks/bench_losses.py [--quick] [--threads N]
"""

import argparse
import ctypes
import functools
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from sparseclust.losses import SpatialEmbeddingLoss
from sparseclust.losses._mask import Kernels, mask_cost
from sparseclust.losses._partition import Partition
from sparseclust.losses._reference import mask_cost as looped_cost
from sparseclust.losses.functional import kernel_exponent, mask_bce, segment_mean

Problem = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]
SIGMA = 0.05
NAMES = {"mask": "mask term", "ours": "whole loss", "loop": "loop"}
FRUGAL = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536"}  # glibc keeps no freed array for later
clock = time.process_time


def main() -> None:
    global clock
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small sizes, a few seconds")
    parser.add_argument("--threads", type=int, default=1, help="more than one: wall time (default: 1)")
    parser.add_argument("--peak", nargs=3, metavar=("WHAT", "VOXELS", "CLUSTERS"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.threads > 1:
        clock = time.perf_counter
    if arguments.peak:
        what, *size = arguments.peak
        print(peak_bytes(PREPARED[what], int(size[0]), int(size[1])))
        return
    quick = arguments.quick
    check_equality()
    time_one_group(*(10_000, 100) if quick else (100_000, 1000))
    time_usual_batch(4 if quick else 64)
    print_memory([10_000, 20_000] if quick else [50_000, 100_000, 200_000, 400_000], 100 if quick else 1000)


# ------------------------------------------------------------------------------------------------ inputs
def problem(events: int, voxels: int, clusters: int, *, trained: bool) -> Problem:
    """Gaussian clusters in the unit cube: apart, as after training, or on top of one another, as before."""
    generator = torch.Generator().manual_seed(events * voxels)
    n = events * voxels
    group = torch.arange(events).repeat_interleave(voxels)
    instance = torch.randint(0, clusters, (n,), generator=generator)
    centres = torch.rand(events * clusters, 3, generator=generator) * 2 - 1
    embeddings = centres[group * clusters + instance] * (1.0 if trained else SIGMA)
    embeddings = embeddings + SIGMA * torch.randn(n, 3, generator=generator)
    margins, seediness = torch.full((n,), SIGMA), torch.rand(n, generator=generator)
    return embeddings.requires_grad_(), margins.requires_grad_(), seediness.requires_grad_(), instance, group


# -------------------------------------------------------------------------------------------------- ways
def ours(given: Problem) -> Tensor:
    embeddings, margins, seediness, instance, group = given
    return SpatialEmbeddingLoss()(embeddings, margins, seediness, instance=instance, group=group)["loss"]


def fused_mask(given: Problem) -> Tensor:
    embeddings, margins, seediness, instance, group = given
    loss = SpatialEmbeddingLoss(seed_weight=0.0, smooth_weight=0.0)
    return loss(embeddings, margins, seediness, instance=instance, group=group)["loss"]


def chunked_mask(given: Problem) -> Tensor:
    embeddings, margins, seediness, instance, group = given
    loss = SpatialEmbeddingLoss(seed_weight=0.0, smooth_weight=0.0)
    loss.fused = False
    return loss(embeddings, margins, seediness, instance=instance, group=group)["loss"]


def lovasz(given: Problem) -> Tensor:
    embeddings, margins, seediness, instance, group = given
    loss = SpatialEmbeddingLoss(mask="lovasz")
    return loss(embeddings, margins, seediness, instance=instance, group=group)["loss"]


def loop(given: Problem) -> Tensor:
    return per_group(given, looped_cost)


def table(given: Problem) -> Tensor:
    return per_group(given, table_of_group)


def per_group(given: Problem, cost: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Tensor:
    embeddings, margins, _, instance, group = given
    rows = [group == g for g in range(int(group.max()) + 1)]
    return torch.stack([cost(embeddings[r], margins[r], instance[r]) for r in rows]).mean()


def table_of_group(embeddings: Tensor, margins: Tensor, instance: Tensor) -> Tensor:
    ids, label = torch.unique(instance, return_inverse=True)
    centroids, sigmas = (segment_mean(values, label, len(ids)) for values in (embeddings, margins))
    z = kernel_exponent(embeddings[:, None], centroids[None], sigmas[None])
    own = label[:, None] == torch.arange(len(ids))
    return mask_bce(z, own).mean()


def mask_term(given: Problem) -> Callable[[], tuple[Tensor, ...]]:
    """Prepare the mask term: indices, centroids and mean margins are not part of the work."""
    embeddings, margins, _, instance, group = given
    part = Partition.of(instance, group)
    means = [part.means(values.detach()) for values in (embeddings, margins)]
    weights = [torch.full((part.n_clusters,), 1e-3)] * 3
    kernels = Kernels(*(mean.requires_grad_() for mean in means), *weights)

    def work() -> tuple[Tensor, ...]:
        total, _ = mask_cost("bce", embeddings, kernels, part, fused=True)
        return torch.autograd.grad(total, (embeddings, *means))

    return work


PREPARED: dict[str, Callable[[Problem], Callable[[], tuple[Tensor, ...]]]] = {
    "mask": mask_term,
    "ours": lambda given: functools.partial(step, ours, given),
    "loop": lambda given: functools.partial(step, loop, given),
}


def step(way: Callable[[Problem], Tensor], given: Problem) -> tuple[Tensor, Tensor]:
    """Forward and backward; the gradients by embeddings and margins."""
    gradients = torch.autograd.grad(way(given), given[:2])
    return gradients[0], gradients[1]


# ----------------------------------------------------------------------------------------------- numbers
def check_equality() -> None:
    for trained in (True, False):
        given = problem(3, 500, 20, trained=trained)
        expected = (loop(given).detach(), *step(loop, given))
        for way in (fused_mask, chunked_mask, table):
            for a, b in zip((way(given).detach(), *step(way, given)), expected):
                assert float((a - b).abs().max() / b.abs().max()) < 1e-4, way.__name__
    print("mask term and gradients: fused, chunked, loop and table agree to 1e-4 in float32")


def time_one_group(voxels: int, clusters: int) -> None:
    for trained in (True, False):
        given = problem(1, voxels, clusters, trained=trained)
        works = [mask_term(given), *(functools.partial(step, way, given) for way in (ours, loop))]
        mask, whole, slow = interleaved(works, repeat=3)
        print(
            f"\none group, {voxels:,} voxels, {clusters:,} clusters, {'apart' if trained else 'collapsed'}: "
            f"mask term {mask:.0f} ms ({slow / mask:.0f} x), "
            f"whole loss {whole:.0f} ms ({slow / whole:.0f} x), loop {slow:.0f} ms"
        )


def time_usual_batch(events: int) -> None:
    for trained in (True, False):
        given = problem(events, 3500, 27, trained=trained)
        ways = [ours, table, loop, chunked_mask, lovasz]
        fast, *others = interleaved([functools.partial(step, way, given) for way in ways], repeat=3)
        names = ("table", "loop", "ours in chunks", "ours, Lovasz hinge")
        print(
            f"\n{events} events of 3,500 voxels and 27 clusters, {'apart' if trained else 'collapsed'}: "
            f"ours {fast:.1f} ms,",
            ", ".join(f"{name} {t:.0f} ms ({t / fast:.0f} x)" for name, t in zip(names, others)),
        )


def print_memory(sizes: list[int], clusters: int) -> None:
    print(f"\npeak memory beyond inputs and gradients, {clusters:,} clusters in one group, bytes a voxel:")
    for voxels in sizes:
        peaks = {}
        for name in PREPARED if voxels == sizes[0] else ("mask", "ours"):
            command = [sys.executable, __file__, "--peak", name, str(voxels), str(clusters)]
            run = subprocess.run(command, check=True, capture_output=True, text=True, env=FRUGAL)
            peaks[NAMES[name]] = f"{int(run.stdout) / voxels:,.0f}"
        print(f"  {voxels:8,} voxels:", ", ".join(f"{name} {peak}" for name, peak in peaks.items()))


def peak_bytes(
    prepare: Callable[[Problem], Callable[[], tuple[Tensor, ...]]], voxels: int, clusters: int
) -> int:
    prepare(problem(1, 500, 5, trained=True))()  # what compiling and importing take is not counted
    work = prepare(problem(1, voxels, clusters, trained=True))
    ctypes.CDLL("libc.so.6").malloc_trim(0)  # room left by earlier work would hide what this takes
    Path("/proc/self/clear_refs").write_text("5")  # restarts the high-water mark
    before = status("VmHWM")
    gradients = work()
    return status("VmHWM") - before - sum(gradient.nbytes for gradient in gradients)


def status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


# ------------------------------------------------------------------------------------------------ timing
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
