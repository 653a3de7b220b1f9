"""CPU engine: kernel maps by merging sorted keys, products in registers, rows read where they lie."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from sparseclust._threads import in_threads
from sparseclust._voxels import pack_keys, shifted_pairs
from sparseclust.sparse.engines import _kernels, _kernels_maps
from sparseclust.sparse.engines._protocol import Pairs
from sparseclust.sparse.engines._threads import threads_for
from sparseclust.sparse.engines._torch import TorchEngine, refuse_duplicates

_Ints = npt.NDArray[np.int64]
_COMPILED = (torch.float32, torch.float64)
_PAIRS_PER_THREAD = 4096


class NumbaEngine(TorchEngine):
    """Compiled loops for float32 and float64; half types go the way of the reference."""

    name = "numba"

    def submanifold_pairs(self, coords: Tensor, offsets: Tensor) -> Pairs:
        """Merge the sorted keys with shifted copies; one half of symmetric offsets mirrors the other."""
        keys, weights = pack_keys(coords.numpy(), pad=int(offsets.abs().max()))
        order = None
        if not bool((keys[1:] > keys[:-1]).all()):
            order = np.argsort(keys, kind="stable")
            keys = keys[order]
            refuse_duplicates(torch.from_numpy(keys))
        deltas = offsets.numpy() @ weights[1:]
        symmetric = len(offsets) % 2 == 1 and torch.equal(offsets, -offsets.flip(0))
        deltas = deltas[: len(deltas) // 2] if symmetric else deltas
        sources, targets, splits = shifted_pairs(keys, deltas, mirror=symmetric)
        if order is not None:
            sources, targets = order[sources], order[targets]
        return Pairs(torch.from_numpy(sources), torch.from_numpy(targets), torch.from_numpy(splits))

    def strided_pairs(self, coords: Tensor, offsets: Tensor, stride: tuple[int, ...]) -> tuple[Tensor, Pairs]:
        """Merge the ascending cells under each offset, where rows ascend and windows are cells."""
        rows = coords.numpy()
        if not (_are_cells(offsets, stride) and rows.dtype == np.int32 and _kernels_maps.ascend(rows)):
            return super().strided_pairs(coords, offsets, stride)
        cells, places = _kernels_maps.divide(rows, np.array(stride))
        source, splits = _kernels_maps.group(places, len(offsets))
        target, first = _kernels_maps.merge(pack_keys(cells).keys, source, splits)
        sites = torch.from_numpy(cells[first])
        return sites, Pairs(torch.from_numpy(source), torch.from_numpy(target), torch.from_numpy(splits))

    def plan(self, pairs: Pairs, n_target: int) -> Tensor | None:
        """Where the pairs of each block of output rows begin, or None if the targets do not ascend."""
        target, splits = _arrays(*pairs[1:3])
        if not _kernels.ascending(target, splits):
            return None
        block = _block(n_target)
        return torch.from_numpy(_kernels.block_starts(target, splits, block, -(-n_target // block)))

    def convolve(self, feats: Tensor, weight: Tensor, pairs: Pairs, n_target: int, centre: int) -> Tensor:
        """Sum over the offsets, one block of output rows after the other."""
        if feats.dtype not in _COMPILED:
            return super().convolve(feats, weight, pairs, n_target, centre)
        n_out = weight.shape[2]
        weight = _pad_columns(weight, _kernels.VECTOR_BYTES // weight.itemsize)
        starts, block = _blocks(pairs, n_target)
        arrays = _arrays(feats, weight, *pairs[:2])
        # Not by torch: numpy asks for huge pages, a tenth of the time at 10^6 voxels.
        result = np.empty((n_target, weight.shape[2]), arrays[0].dtype)
        threads = threads_for(len(pairs.source), _PAIRS_PER_THREAD)
        edges = [(len(starts) - 1) * t // threads for t in range(threads + 1)]
        in_threads(
            lambda t: _kernels.convolve(*arrays, starts, edges[t], edges[t + 1], block, result),
            threads,
            threads,
        )
        return torch.from_numpy(result)[:, :n_out].contiguous()

    def weight_gradient(self, feats: Tensor, grad: Tensor, pairs: Pairs, centre: int) -> Tensor:
        """Sum over the pairs, one block of output rows after the other."""
        if feats.dtype not in _COMPILED:
            return super().weight_gradient(feats, grad, pairs, centre)
        n_in, n_out = feats.shape[1], grad.shape[1]
        feats = _pad_columns(feats, _kernels.ROWS)
        grad = _pad_columns(grad, _kernels.VECTOR_BYTES // grad.itemsize)
        out = feats.new_empty(len(pairs.splits) - 1, feats.shape[1], grad.shape[1])
        starts, _ = _blocks(pairs, len(grad))
        arrays, result = _arrays(feats, grad, *pairs[:2]), out.numpy()
        threads = threads_for(len(pairs.source), _PAIRS_PER_THREAD)
        in_threads(lambda t: _kernels.weight_gradient(*arrays, starts, t, threads, result), threads, threads)
        return out[:, :n_in, :n_out].contiguous()


def _are_cells(offsets: Tensor, stride: tuple[int, ...]) -> bool:
    """Whether the windows divide space, and are few enough for lists to be merged rather than sorted."""
    volume = math.prod(stride)
    steps = torch.tensor(stride)
    return len(offsets) == volume <= 32 and bool(((offsets >= 0) & (offsets < steps)).all())


def _block(n_target: int) -> int:
    """Rows of a block: few enough to stay in the cache while all offsets pass, and blocks for all threads."""
    return min(max(n_target // 8, 128), 1024)


def _blocks(pairs: Pairs, n_target: int) -> tuple[_Ints, int]:
    """Where the pairs of the blocks begin, and rows of a block; one block for targets in no order."""
    if pairs.plan is None:
        return torch.stack([pairs.splits[:-1], pairs.splits[1:]]).numpy(), n_target
    return pairs.plan.numpy(), _block(n_target)


def _arrays(*tensors: Tensor) -> list[Any]:
    return [t.detach().contiguous().numpy() for t in tensors]


def _pad_columns(matrix: Tensor, multiple: int) -> Tensor:
    """Append columns of zeros up to a multiple: the compiled loops know whole vectors only."""
    missing = -matrix.shape[-1] % multiple
    return nn.functional.pad(matrix, (0, missing)) if missing else matrix


engine = NumbaEngine()
