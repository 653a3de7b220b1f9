"""CPU engine: kernel maps by merging sorted keys, products in registers, rows read where they lie."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from sparseclust.sparse.engines import _kernels, _kernels_maps, _kernels_tiles
from sparseclust.sparse.engines._protocol import Pairs
from sparseclust.sparse.engines._threads import empty_rows, parallel, threads_for
from sparseclust.sparse.engines._torch import Box, TorchEngine, refuse_duplicates

_Array = npt.NDArray[Any]
_COMPILED = (torch.float32, torch.float64)
_HALF = (torch.float16, torch.bfloat16)
_PAIRS_PER_THREAD = 1024


class NumbaEngine(TorchEngine):
    """Compiled loops for float32 and float64; half types are summed in float32 and rounded once."""

    name = "numba"

    def submanifold_pairs(self, coords: Tensor, offsets: Tensor) -> Pairs:
        """Merge the sorted keys with shifted copies; one half of symmetric offsets mirrors the other."""
        if len(coords) == 0:
            return super().submanifold_pairs(coords, offsets)
        box, order = Box.around(coords, offsets), None
        keys, ascending = _keys(coords, box)
        if not ascending:
            order = torch.from_numpy(keys[:-1]).argsort(stable=True)
            keys[:-1] = keys[order]
            refuse_duplicates(torch.from_numpy(keys))
        symmetric = len(offsets) % 2 == 1 and torch.equal(offsets, -offsets.flip(0))
        source, target, splits = _shifted_pairs(keys, box.steps(offsets).numpy(), symmetric)
        if order is not None:
            rows = order.int().numpy()
            source, target = rows[source], rows[target]
        return Pairs(torch.from_numpy(source), torch.from_numpy(target), torch.from_numpy(splits))

    def strided_pairs(self, coords: Tensor, offsets: Tensor, stride: tuple[int, ...]) -> tuple[Tensor, Pairs]:
        """Merge the ascending cells under each offset, where rows ascend and windows are cells."""
        rows = coords.numpy()
        if not (_are_cells(offsets, stride) and rows.dtype == np.int32 and _kernels_maps.ascend(rows)):
            return super().strided_pairs(coords, offsets, stride)
        cells, places = _kernels_maps.divide(rows, np.array(stride))
        source, splits = _kernels_maps.group(places, len(offsets))
        sites = torch.from_numpy(cells)
        keys, _ = _keys(sites, Box.around(sites, torch.zeros_like(offsets)))
        target, first = _kernels_maps.merge(keys, source, splits)
        pairs = Pairs(torch.from_numpy(source), torch.from_numpy(target), torch.from_numpy(splits))
        return sites[torch.from_numpy(first)], pairs

    def plan(self, pairs: Pairs, n_target: int) -> Tensor | None:
        """Where the pairs of each block of output rows begin, or None if the targets do not ascend."""
        target, splits = _arrays(*pairs[1:3])
        if not _kernels.ascending(target, splits):
            return None
        block = _block(n_target)
        return torch.from_numpy(_kernels.block_starts(target, splits, block, -(-n_target // block)))

    def convolve(self, feats: Tensor, weight: Tensor, pairs: Pairs, n_target: int, centre: int) -> Tensor:
        """Sum over the offsets, one block of output rows after the other."""
        if feats.dtype in _HALF:
            return self.convolve(feats.float(), weight.float(), pairs, n_target, centre).to(feats.dtype)
        if feats.dtype not in _COMPILED:
            return super().convolve(feats, weight, pairs, n_target, centre)
        if missing := _missing(feats):
            feats, weight = (
                nn.functional.pad(feats, (0, missing)),
                nn.functional.pad(weight, (0, 0, 0, missing)),
            )
        starts, block = _blocks(pairs, n_target)
        arrays = _arrays(feats, weight, *pairs[:2])
        result = empty_rows(n_target, weight.shape[2], arrays[0].dtype)
        threads = threads_for(len(pairs.source), _PAIRS_PER_THREAD)
        _kernels.convolve(parallel(), threads, *arrays, starts, block, result)
        return torch.from_numpy(result)

    def weight_gradient(self, feats: Tensor, grad: Tensor, pairs: Pairs, centre: int) -> Tensor:
        """Sum over the pairs, one block of output rows after the other."""
        if feats.dtype in _HALF:
            return self.weight_gradient(feats.float(), grad.float(), pairs, centre).to(feats.dtype)
        if feats.dtype not in _COMPILED:
            return super().weight_gradient(feats, grad, pairs, centre)
        n_in = feats.shape[1]
        feats = nn.functional.pad(feats, (0, missing)) if (missing := _missing(feats)) else feats
        out = feats.new_empty(len(pairs.splits) - 1, feats.shape[1], grad.shape[1])
        starts, _ = _blocks(pairs, len(grad))
        arrays, result = _arrays(feats, grad, *pairs[:2]), out.numpy()
        threads = threads_for(len(pairs.source), _PAIRS_PER_THREAD)
        _kernels.weight_gradient(parallel(), threads, *arrays, starts, result)
        return out[:, :n_in].contiguous()


def _keys(coords: Tensor, box: Box) -> tuple[_Array, bool]:
    """Key of each row, the largest number behind them, and whether the keys ascend."""
    keys = np.empty(len(coords) + 1, np.int64)
    ascending = _kernels_maps.number(coords.numpy(), np.array(box.lowest), np.array(box.weights), keys)
    return keys, ascending


def _shifted_pairs(keys: _Array, deltas: _Array, symmetric: bool) -> tuple[_Array, _Array, _Array]:
    """Pairs of ascending keys that differ by one of the deltas, and where those of each delta begin.

    Each thread sweeps over some of the keys and lists what it finds; then the lists are put together.
    """
    n, half = len(keys) - 1, len(deltas) // 2 if symmetric else len(deltas)
    deltas = deltas[:half]
    threads = threads_for(n * half, _PAIRS_PER_THREAD)
    edges = np.arange(threads + 1) * n // threads
    first = np.append(np.flatnonzero(np.diff(deltas, prepend=deltas[:1] - 2) != 1), half)
    # Room for one pair per key and delta, and one more per thread; only what is written takes memory.
    starts = np.arange(half) * (n + threads) + (edges[:-1] + np.arange(threads))[:, None]
    listed = tuple(torch.empty(half * (n + threads), dtype=torch.int32).numpy() for _ in range(2))
    ends = starts.astype(np.uint64)
    _kernels_maps.sweep(parallel(), threads, keys, deltas, first, edges, ends, *listed)
    lists = starts, ends.astype(np.int64)
    counts = (lists[1] - starts).sum(axis=0)
    counts = np.concatenate([counts, [n], counts[::-1]]) if symmetric else counts
    splits = np.concatenate([[0], counts.cumsum()])
    sources, targets = np.empty((2, splits[-1]), np.int32)
    _kernels_maps.gather(parallel(), threads, *listed, *lists, splits, sources, targets)
    return sources, targets, splits


def _are_cells(offsets: Tensor, stride: tuple[int, ...]) -> bool:
    """Whether the windows divide space, and are few enough for lists to be merged rather than sorted."""
    volume = math.prod(stride)
    steps = torch.tensor(stride)
    return len(offsets) == volume <= 32 and bool(((offsets >= 0) & (offsets < steps)).all())


def _block(n_target: int) -> int:
    """Rows of a block: few enough to stay in the cache while all offsets pass, and blocks for all threads."""
    return min(max(n_target // 8, 128), 512)


def _blocks(pairs: Pairs, n_target: int) -> tuple[_Array, int]:
    """Where the pairs of the blocks begin, and rows of a block; one block for targets in no order."""
    if pairs.plan is None:
        return torch.stack([pairs.splits[:-1], pairs.splits[1:]]).numpy(), n_target
    return pairs.plan.numpy(), _block(n_target)


def _arrays(*tensors: Tensor) -> list[Any]:
    return [t.detach().contiguous().numpy() for t in tensors]


def _missing(feats: Tensor) -> int:
    """Columns of zeros that make the compiled loops over the input columns come out even."""
    return -feats.shape[1] % _kernels_tiles.UNROLL


engine = NumbaEngine()
