"""Speed of sparseclust.sparse on a CUDA device: a ResNet-style encoder, single layers, beside peers.

The encoder has 10.6 million parameters (3^3 kernels, 32 to 256 channels) and sees one event of 4.7k voxels,
and 16 events of 57k in all. Published for such a network in bfloat16 on an H200, in ms: forward 3.86 / 7.95
(spconv), 3.88 / 20.8 (torchsparse); forward + backward of the 16 events 16.2 (WarpConvNet), 26.1 (spconv),
47.5 (torchsparse). Peers are measured where they import. Outputs are compared first; all take turns in one
process; times are medians between CUDA events, kernel maps included unless it says otherwise.
``--tune`` measures block sizes and prints the tables to put into ``sparseclust/sparse/engines/_triton.py``.
Run: python benchmarks/bench_gpu.py [--quick] [--tune] [--rows N]
"""

import argparse
import contextlib
import functools
import itertools
import statistics
import sys
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from bench_sparse import simulated_voxels
from torch import Tensor, nn

from sparseclust.sparse import (
    SparseTensor,
    StridedConv,
    SubmanifoldConv,
    sparse_conv,
    strided_map,
    submanifold_map,
    use_engine,
)
from sparseclust.sparse.engines import _triton

DEVICE = "cuda"
EXTENT = 768
WIDTHS = (32, 64, 128, 256)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer repetitions")
    parser.add_argument("--tune", action="store_true", help="search block sizes instead, several minutes")
    parser.add_argument(
        "--rows", type=int, default=_triton.ROWS, help="output rows per program, to try others"
    )
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit("bench_gpu.py measures on a CUDA device, and torch finds none on this machine")
    print(torch.cuda.get_device_name(), "torch", torch.__version__)
    _triton.ROWS = arguments.rows
    repeat = 10 if arguments.quick else 50
    if arguments.tune:
        tune(repeat)
        return
    compare_outputs(simulated_voxels(2, 2000))
    time_encoder(simulated_voxels(1, 4700), repeat)
    time_encoder(simulated_voxels(16, 57_000 // 16), repeat)
    time_layers(simulated_voxels(16, 57_000 // 16), repeat)


# ------------------------------------------------------------------------------------------- the encoder
class Library(NamedTuple):
    """What the encoder needs of a library: layers, tensors, and their rows."""

    name: str
    dtype: torch.dtype
    same: Callable[[int, int, int], nn.Module]  # channels in and out, level
    down: Callable[[int, int, int], nn.Module]
    tensor: Callable[[Tensor, Tensor], Any]
    feats: Callable[[Any], Tensor]
    replace: Callable[[Any, Tensor], Any]
    context: Callable[[], Any] = contextlib.nullcontext


def ours(engine: str, dtype: torch.dtype = torch.bfloat16) -> Library:
    return Library(
        f"sparseclust, {engine}",
        dtype,
        lambda n_in, n_out, _: SubmanifoldConv(n_in, n_out),
        lambda n_in, n_out, _: StridedConv(n_in, n_out, 2, kernel_size=3, padding=1),
        SparseTensor,
        lambda x: x.feats,
        lambda x, feats: x.with_feats(feats),
        functools.partial(use_engine, engine),
    )


def spconv() -> Library:
    import spconv.pytorch as spconv

    return Library(
        "spconv (float16)",  # it knows no bfloat16
        torch.float16,
        lambda n_in, n_out, level: spconv.SubMConv3d(n_in, n_out, 3, bias=False, indice_key=f"same{level}"),
        lambda n_in, n_out, _: spconv.SparseConv3d(n_in, n_out, 3, 2, 1, bias=False),
        lambda feats, coords: spconv.SparseConvTensor(feats, coords, [EXTENT] * 3, int(coords[-1, 0]) + 1),
        lambda x: x.features,
        lambda x, feats: x.replace_feature(feats),
    )


def torchsparse() -> Library:
    import torchsparse.nn as layers
    from torchsparse import SparseTensor as Theirs
    from torchsparse.nn.utils import fapply

    return Library(
        "torchsparse (float16)",
        torch.float16,
        lambda n_in, n_out, _: layers.Conv3d(n_in, n_out, 3),
        lambda n_in, n_out, _: layers.Conv3d(n_in, n_out, 3, stride=2),
        lambda feats, coords: Theirs(feats, coords, spatial_range=(int(coords[-1, 0]) + 1, *[EXTENT] * 3)),
        lambda x: x.feats,
        lambda x, feats: fapply(x, lambda _: feats),
    )


def warpconvnet() -> Library:
    from warpconvnet.geometry.types.voxels import Voxels
    from warpconvnet.nn.modules.sparse_conv import SparseConv3d

    def tensor(feats: Tensor, coords: Tensor) -> Any:
        sizes = torch.bincount(coords[:, 0]).tolist()
        return Voxels(list(coords[:, 1:].contiguous().split(sizes)), list(feats.split(sizes)))

    return Library(
        "WarpConvNet",
        torch.bfloat16,
        lambda n_in, n_out, _: SparseConv3d(n_in, n_out, kernel_size=3, bias=False),
        lambda n_in, n_out, _: SparseConv3d(n_in, n_out, kernel_size=3, stride=2, bias=False),
        tensor,
        lambda x: x.feature_tensor,
        lambda x, feats: x.replace(batched_features=feats),
    )


class Encoder(nn.Module):
    """Two residual blocks per level; 3^3 convolutions of stride 2 between levels."""

    def __init__(self, library: Library) -> None:
        super().__init__()
        self.library = library
        self.downs = nn.ModuleList([library.same(1, WIDTHS[0], 0)])
        for level, (fine, coarse) in enumerate(itertools.pairwise(WIDTHS)):
            self.downs.append(library.down(fine, coarse, level))
        blocks = [(width, level) for level, width in enumerate(WIDTHS) for _ in range(4)]
        self.convs = nn.ModuleList(library.same(width, width, level) for width, level in blocks)
        self.norms = nn.ModuleList(nn.BatchNorm1d(width) for width, _ in blocks)

    def forward(self, x: Any) -> Any:
        """Leave rows at the spacing of the last level."""
        feats, replace = self.library.feats, self.library.replace
        for level, down in enumerate(self.downs):
            x = down(x)
            for i in (4 * level, 4 * level + 2):
                before = feats(x)
                x = self.convs[i](x)
                x = self.convs[i + 1](replace(x, self.norms[i](feats(x)).relu_()))
                x = replace(x, (self.norms[i + 1](feats(x)) + before).relu_())
        return x


def time_encoder(coords: Tensor, repeat: int) -> None:
    coords = coords.to(DEVICE)
    print(f"\nencoder, {len(coords):,} voxels in {int(coords[-1, 0]) + 1} events, ms (GB of memory at most)")
    works: dict[str, list[Callable[[], object]]] = {}
    for kind in (functools.partial(ours, "triton"), functools.partial(ours, "torch"), *PEERS):
        with reported(kind):
            library = kind()
            steps = encoder_works(library, coords)
            for work in steps:
                work()
            works[library.name] = steps
    times = iter(medians(list(itertools.chain(*works.values())), repeat))
    for name, steps in works.items():
        forward, training, *kept = (next(times) for _ in steps)
        torch.cuda.reset_peak_memory_stats()
        steps[1]()
        memory = torch.cuda.max_memory_allocated() / 1e9
        print(
            f"  {name:24} forward {forward:7.2f}   forward + backward {training:7.2f} ({memory:.2f})", end=""
        )
        print(f"   forward on maps that exist {kept[0]:7.2f}" if kept else "")


def encoder_works(library: Library, coords: Tensor) -> list[Callable[[], object]]:
    """Forward and a step; for ours, forward on maps that exist."""
    torch.manual_seed(0)
    net = Encoder(library).to(DEVICE, library.dtype)
    feats = torch.rand(len(coords), 1, device=DEVICE, dtype=library.dtype)
    kept = library.tensor(feats, coords)

    def inference(x: Any = None) -> None:
        with library.context(), torch.no_grad():
            net(library.tensor(feats, coords) if x is None else x)

    def training() -> None:
        net.zero_grad()
        with library.context():
            library.feats(net(library.tensor(feats, coords))).float().square().mean().backward()

    own = isinstance(kept, SparseTensor)
    return [inference, training] + [functools.partial(inference, kept)] * own


def compare_outputs(coords: Tensor) -> None:
    results = {}
    for engine in ("torch", "triton"):
        torch.manual_seed(0)
        net = Encoder(ours(engine)).to(DEVICE)
        feats = torch.rand(len(coords), 1, device=DEVICE)
        with use_engine(engine):
            y = net(SparseTensor(feats, coords.to(DEVICE))).feats
            upper = torch.linspace(-1, 1, y.numel(), device=DEVICE).view_as(y)
            results[engine] = [y.detach(), *torch.autograd.grad(y, list(net.parameters()), upper)]
    worst = max(
        float((a - b).abs().max() / b.abs().max().clamp(min=1e-6))
        for a, b in zip(results["triton"], results["torch"])
    )
    print(f"{sum(p.numel() for p in net.parameters()) / 1e6:.1f} million parameters")
    print(f"outputs and gradients in float32, triton against torch: largest relative difference {worst:.1e}")
    assert worst < 1e-3


# ---------------------------------------------------------------------------------------- single layers
def time_layers(coords: Tensor, repeat: int) -> None:
    coords = coords.to(DEVICE)
    kernel_map = submanifold_map(coords, 3)
    pairs = len(kernel_map.source)
    print(f"\n{len(coords):,} voxels, {pairs:,} pairs, ms (products: as many rows multiplied by cuBLAS)")
    names = ("triton", "torch")
    maps = [on(e, functools.partial(build, coords)) for e in names for build in (same_map, coarse_map)]
    times = medians(maps, repeat)
    for i, engine in enumerate(names):
        print(f"  maps, {engine:7} submanifold 3^3 {times[2 * i]:6.3f}   strided 2^3 {times[2 * i + 1]:6.3f}")
    for dtype, channels in itertools.product((torch.bfloat16, torch.float32), (16, *WIDTHS)):
        works: list[Callable[[], object]] = [products(pairs, channels, dtype)]
        for engine, grad in itertools.product(names, (False, True)):
            works.append(on(engine, layer(kernel_map, channels, dtype, grad=grad)))
        base, *found = medians(works, repeat)
        print(
            f"  {str(dtype)[6:]:9}{channels:4} channels: products {base:6.3f}",
            *(
                f"| {e} {found[2 * i]:6.3f}, with backward {found[2 * i + 1]:6.3f}"
                for i, e in enumerate(names)
            ),
        )


def same_map(coords: Tensor) -> object:
    return submanifold_map(coords, 3)


def coarse_map(coords: Tensor) -> object:
    return strided_map(coords, 2)


def products(pairs: int, channels: int, dtype: torch.dtype) -> Callable[[], object]:
    rows = torch.randn(pairs, channels, device=DEVICE, dtype=dtype)
    weight = torch.randn(channels, channels, device=DEVICE, dtype=dtype)
    return lambda: rows @ weight


def layer(kernel_map: Any, channels: int, dtype: torch.dtype, *, grad: bool) -> Callable[[], object]:
    feats = torch.randn(kernel_map.n_source, channels, device=DEVICE, dtype=dtype, requires_grad=grad)
    weight = torch.randn(27, channels, channels, device=DEVICE, dtype=dtype, requires_grad=grad)
    upper = torch.randn(kernel_map.n_target, channels, device=DEVICE, dtype=dtype)

    def work() -> object:
        y = sparse_conv(feats, weight, kernel_map)
        return torch.autograd.grad(y, [feats, weight], upper) if grad else y

    return work


# ------------------------------------------------------------------------------------------ block sizes
def tune(repeat: int) -> None:
    """Print the fastest tile per type and number of channels, for the two products."""
    coords = simulated_voxels(16, 57_000 // 16).to(DEVICE)
    kernel_map = submanifold_map(coords, 3)
    for table, product in ((_triton.CONVOLVE, convolve_work), (_triton.WEIGHT_GRADIENT, gradient_work)):
        for dtype in (torch.bfloat16, torch.float32):
            stored = table[dtype.itemsize]
            best = {}
            for channels in WIDTHS:
                work = product(kernel_map, channels, dtype)
                best[channels], took = fastest(table, dtype.itemsize, work, channels, repeat)
                table[dtype.itemsize] = stored
                print(
                    f"# {product.__name__} {dtype} {channels}: {took:.3f} ms, stored tile {time(work):.3f} ms"
                )
            print(f"    {dtype.itemsize}: {best},")


def fastest(
    table: dict[int, Any], itemsize: int, work: Callable[[], object], channels: int, repeat: int
) -> tuple[_triton.Tile, float]:
    times = {}
    edges = [edge for edge in (32, 64, 128) if edge <= channels]
    for rows, columns, warps, stages in itertools.product(edges, edges, (4, 8), (2, 3, 4, 5)):
        if rows * columns > 128 * 64 or rows * columns < 32 * 32 * (warps // 4):
            continue
        tile = _triton.Tile(rows, columns, warps, stages)
        table[itemsize] = {4096: tile}
        with reported(tile):
            times[tile] = time(work, repeat)
    best = min(times, key=times.__getitem__)
    return best, times[best]


def convolve_work(kernel_map: Any, channels: int, dtype: torch.dtype) -> Callable[[], object]:
    return on("triton", layer(kernel_map, channels, dtype, grad=False))


def gradient_work(kernel_map: Any, channels: int, dtype: torch.dtype) -> Callable[[], object]:
    m, engine = kernel_map, _triton.engine
    feats, grad = (torch.randn(m.n_source, channels, device=DEVICE, dtype=dtype) for _ in range(2))
    pairs = _triton.Pairs(m.source, m.target, m.splits, m.plan(engine))
    return lambda: engine.weight_gradient(feats, grad, pairs, m.centre)


# ------------------------------------------------------------------------------------------------ timing
def on(engine: str, work: Callable[[], object]) -> Callable[[], object]:
    def run() -> None:
        with use_engine(engine):
            work()

    return run


def time(work: Callable[[], object], repeat: int = 10) -> float:
    return medians([work], repeat)[0]


def medians(works: list[Callable[[], object]], repeat: int) -> list[float]:
    """Median time of each in ms, from its first call of the host to the end of its last kernel."""
    times: list[list[float]] = [[] for _ in works]
    for turn in range(repeat + 3):
        for work, measured in zip(works, times):
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            torch.cuda.synchronize()
            start.record()
            work()
            end.record()
            torch.cuda.synchronize()
            if turn >= 3:
                measured.append(start.elapsed_time(end))
    return [statistics.median(measured) for measured in times]


@contextlib.contextmanager
def reported(what: object) -> Iterator[None]:
    """Go on with the others when a peer is absent or broken, or a tile does not fit the device."""
    try:
        yield
    except Exception as error:  # noqa: BLE001
        lines = str(error).splitlines() or [""]
        print(f"  {getattr(what, '__name__', what)}: {type(error).__name__}: {lines[0][:100]}")


PEERS = (spconv, torchsparse, warpconvnet)

if __name__ == "__main__":
    main()
