"""GPU engine: implicit matrix products by Triton; after a map is built, nothing waits for the device."""

import contextlib
import functools
import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from sparseclust._optional import require
from sparseclust.sparse.engines._protocol import Pairs
from sparseclust.sparse.engines._torch import DUPLICATES, Box, TorchEngine, divide

ROWS = 64  # output rows that are multiplied together, and share a list of offsets
_COMPILED = (torch.float32, torch.bfloat16, torch.float16)
_CHUNK = 2048  # fewest pairs whose part of a weight gradient is summed by one program
_CHUNKS = 512  # with more chunks than this, they get longer: the parts must be kept until they are summed
_BLOCK = 1024  # rows or pairs that a program without products works on


class Tile(NamedTuple):
    """Largest block of a product: rows and columns of the weights, and how the GPU works on it."""

    rows: int
    columns: int
    warps: int
    stages: int

    def clipped(self, rows: int, columns: int) -> "Tile":
        """No larger than a matrix; Triton multiplies no less than 16 by 16."""
        return self._replace(rows=min(self.rows, _power(rows)), columns=min(self.columns, _power(columns)))


# By bytes per number and channels up to which the tile is used. Chosen by what the compiler says: on A100 and
# H100 they take at most 50 KB of shared memory and spill no register. Not yet timed on a device:
# ``python benchmarks/bench_gpu.py --tune`` times others and prints the lines to put here.
CONVOLVE = {
    2: {32: Tile(32, 32, 4, 4), 64: Tile(64, 64, 4, 3), 128: Tile(64, 128, 4, 3), 4096: Tile(64, 128, 8, 4)},
    4: {32: Tile(32, 32, 4, 3), 64: Tile(32, 64, 4, 3), 4096: Tile(32, 64, 4, 4)},
}
WEIGHT_GRADIENT = {
    2: {32: Tile(32, 32, 2, 4), 64: Tile(64, 64, 4, 3), 4096: Tile(64, 128, 4, 3)},
    4: {32: Tile(32, 32, 4, 3), 4096: Tile(64, 64, 4, 3)},
}
PAIRS = {2: 64, 4: 32}  # pairs that a weight gradient multiplies at once, by bytes per number


class TritonEngine(TorchEngine):
    """Products of float32, bfloat16 and float16 summed in float32; float64 goes the way of the reference.

    An output row is summed by one program over the offsets in order, so results do not depend on timing.
    Float32 is multiplied exactly unless ``torch.set_float32_matmul_precision`` allows TF32.
    """

    name = "triton"

    def submanifold_pairs(self, coords: Tensor, offsets: Tensor) -> Pairs:
        """Look up every neighbour in the sorted keys; the host hears of the range, and of the counts."""
        n, volume = len(coords), len(offsets)
        if n == 0:
            return super().submanifold_pairs(coords, offsets)
        box = Box.around(coords, offsets)
        keys, order = torch.sort(box.keys(coords))
        steps = box.steps(offsets).to(coords.device, non_blocking=True)
        grid = (-(-n // _BLOCK), volume)
        found = keys.new_empty(volume, n, dtype=torch.int32)
        counts = keys.new_empty(volume, grid[0])
        with _on(coords):
            _kernels().find_neighbours[grid](keys, steps, found, counts, n, n.bit_length(), BLOCK=_BLOCK)
            ends = counts.view(-1).cumsum(0)
            repeated = (keys[1:] == keys[:-1]).any()
            *splits, twice = torch.cat([ends[grid[0] - 1 :: grid[0]], repeated[None]]).tolist()
            if twice:
                raise ValueError(DUPLICATES)
            source, target = order.new_empty(splits[-1]), order.new_empty(splits[-1])
            _kernels().list_pairs[grid](found, order, counts, ends, source, target, n, BLOCK=_BLOCK)
        return Pairs(source, target, torch.tensor([0, *splits]))

    def strided_pairs(self, coords: Tensor, offsets: Tensor, stride: tuple[int, ...]) -> tuple[Tensor, Pairs]:
        """Sort the coarse cells and number them; windows that are no cells go the way of the reference."""
        n, volume, device = len(coords), len(offsets), coords.device
        shifts, places = divide(offsets, stride)
        if n == 0 or sorted(places.tolist()) != list(range(math.prod(stride))):
            return super().strided_pairs(coords, offsets, stride)
        cells, place = divide(coords[:, 1:], stride)
        rows = torch.cat([coords[:, :1], cells], dim=1)
        box = Box.around_sites(rows, -shifts)
        k = places.argsort().to(device, non_blocking=True)[place]
        keys = box.keys(rows) + box.steps(-shifts).to(device, non_blocking=True)[k]
        ordered, by = torch.sort(keys)
        number = torch.cat([by.new_zeros(1), (ordered[1:] != ordered[:-1]).cumsum(0)])
        site = torch.empty_like(by).scatter_(0, by, number)
        code, source = torch.sort(k * n + site)
        edges = torch.searchsorted(code, n * torch.arange(1, volume + 1, device=device))
        repeated = (code[1:] == code[:-1]).any()
        *splits, last, twice = torch.cat([edges, number[-1:], repeated[None]]).tolist()
        if twice:
            raise ValueError(DUPLICATES)
        distinct = keys.new_empty(last + 1).scatter_(0, site, keys)
        return box.rows(distinct), Pairs(source, code.remainder(n), torch.tensor([0, *splits]))

    def plan(self, pairs: Pairs, n_target: int) -> Tensor:
        """Return the neighbour table of the targets, rows with the same offsets next to each other.

        One int32 tensor of four parts: the splits; the targets in the order of the table; the source of each
        under each offset, or -1; for each block of ``ROWS`` targets the number of offsets with neighbours,
        and these offsets.
        """
        source, target, splits, _ = pairs
        volume, blocks = len(splits) - 1, -(-n_target // ROWS)
        plan = source.new_empty(sum(_sizes(volume, n_target)), dtype=torch.int32)
        edges, rows, arranged, active = _parts(plan, volume, n_target)
        edges[: volume + 1].copy_(splits.int(), non_blocking=True)
        if n_target == 0:
            return plan
        table = source.new_full((volume, n_target), -1, dtype=torch.int32)
        signature = source.new_empty(n_target)
        kernels, volumes = _kernels(), _power(volume)
        with _on(source):
            chunks = (len(source) // _BLOCK + volume,)
            kernels.fill_table[chunks](
                source, target, edges, table, n_target, volume, VOLUMES=volumes, CHUNK=_BLOCK
            )
            kernels.sign_rows[(-(-n_target // _BLOCK),)](table, signature, n_target, volume, BLOCK=_BLOCK)
            order = torch.argsort(signature, stable=True)
            kernels.arrange_table[(blocks,)](
                table, order, rows, arranged, active, n_target, volume, ROWS=ROWS
            )
        return plan

    def convolve(self, feats: Tensor, weight: Tensor, pairs: Pairs, n_target: int, centre: int) -> Tensor:
        """Sum over the offsets under which a block of rows has neighbours."""
        if feats.dtype not in _COMPILED:
            return super().convolve(feats, weight, pairs, n_target, centre)
        volume, n_in, n_out = weight.shape
        out = feats.new_empty(n_target, n_out)
        if min(n_target, n_in, n_out) == 0:
            return out.zero_()
        plan = self.plan(pairs, n_target) if pairs.plan is None else pairs.plan
        _, rows, table, active = _parts(plan, volume, n_target)
        feats, weight = _operand(feats).contiguous(), _operand(weight)
        tile = _tile(CONVOLVE, feats, n_in, n_out)
        with _on(feats):
            _kernels().convolve[-(-n_target // ROWS), -(-n_out // tile.columns)](
                *(feats, weight, rows, table, active, out),
                *(n_target, volume, n_in, n_out, *weight.stride()),
                STEPS=-(-n_in // tile.rows),
                ROWS=ROWS,
                COLUMNS=tile.columns,
                CHANNELS=tile.rows,
                PRECISION=_precision(),
                num_warps=tile.warps,
                num_stages=tile.stages,
            )
        return out

    def weight_gradient(self, feats: Tensor, grad: Tensor, pairs: Pairs, centre: int) -> Tensor:
        """Sum chunks of pairs, then the chunks of each offset."""
        if feats.dtype not in _COMPILED:
            return super().weight_gradient(feats, grad, pairs, centre)
        source, target, splits, plan = pairs
        volume, n_in, n_out = len(splits) - 1, feats.shape[1], grad.shape[1]
        out = feats.new_empty(volume, n_in, n_out)
        if min(len(source), out.numel()) == 0:
            return out.zero_()
        edges = splits.to(feats.device, torch.int32, non_blocking=True) if plan is None else plan
        feats, grad = _operand(feats).contiguous(), _operand(grad).contiguous()
        tile = _tile(WEIGHT_GRADIENT, feats, n_in, n_out)
        chunk = max(_CHUNK, _power(len(source) // _CHUNKS))
        partial = feats.new_empty(len(source) // chunk + volume, n_in, n_out, dtype=torch.float32)
        kernels, volumes = _kernels(), _power(volume)
        with _on(feats):
            kernels.weight_gradient[len(partial), -(-n_in // tile.rows), -(-n_out // tile.columns)](
                *(feats, grad, source, target, edges, partial),
                *(volume, chunk, n_in, n_out),
                VOLUMES=volumes,
                PAIRS=PAIRS[feats.itemsize],
                ROWS=tile.rows,
                COLUMNS=tile.columns,
                PRECISION=_precision(),
                num_warps=tile.warps,
                num_stages=tile.stages,
            )
            kernels.sum_chunks[volume, -(-n_in * n_out // _BLOCK)](
                partial, edges, out, volume, chunk, n_in * n_out, VOLUMES=volumes, BLOCK=_BLOCK
            )
        return out


@functools.cache
def _kernels() -> Any:
    require("triton", extra="triton")
    from sparseclust.sparse.engines import _kernels_triton

    return _kernels_triton


def _sizes(volume: int, n_target: int) -> list[int]:
    """Lengths of the parts of a plan, in multiples of 16 bytes: Triton compiles once per alignment."""
    blocks = -(-n_target // ROWS)
    sizes = (volume + 1, n_target, volume * n_target, blocks * (volume + 1))
    return [-(-size // 4) * 4 for size in sizes]


def _parts(plan: Tensor, volume: int, n_target: int) -> tuple[Tensor, ...]:
    return torch.split(plan, _sizes(volume, n_target))


def _tile(tiles: dict[int, dict[int, Tile]], feats: Tensor, n_in: int, n_out: int) -> Tile:
    """Look up the tile for a type and a number of channels."""
    sizes = tiles[feats.itemsize]
    widest = max(n_in, n_out)
    return sizes[min((size for size in sizes if size >= widest), default=max(sizes))].clipped(n_in, n_out)


def _power(number: int) -> int:
    """Power of two that is not smaller, nor smaller than 16."""
    return max(16, 1 << max(number - 1, 0).bit_length())


def _operand(matrix: Tensor) -> Tensor:
    """On the CPU, Triton's interpreter multiplies the bits of bfloat16 as if they were integers (3.7)."""
    return matrix.float() if matrix.dtype == torch.bfloat16 and not matrix.is_cuda else matrix


def _precision() -> str:
    """Follow torch's own switch for products of float32 on a GPU."""
    matmul = torch.backends.cuda.matmul
    # Since 2.9 torch has a second switch, and refuses to show the first one where the second was used.
    allowed = matmul.fp32_precision == "tf32" if hasattr(matmul, "fp32_precision") else matmul.allow_tf32
    return "tf32" if allowed else "ieee"


def _on(tensor: Tensor) -> contextlib.AbstractContextManager[None]:
    """Triton starts kernels on the current device, wherever its arguments are."""
    return torch.cuda.device(tensor.device) if tensor.is_cuda else contextlib.nullcontext()


engine = TritonEngine()
