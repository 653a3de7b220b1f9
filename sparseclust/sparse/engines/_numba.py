"""CPU engine: kernel maps by merging sorted keys, products in blocks that stay in the cache."""

import functools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from sparseclust._voxels import pack_keys, shifted_pairs
from sparseclust.sparse.engines import _kernels
from sparseclust.sparse.engines._protocol import Pairs
from sparseclust.sparse.engines._torch import TorchEngine, refuse_duplicates

_MAX_BLOCK = 256
_MIN_BLOCK = 64
# Above about 2^19 multiplications per product the BLAS behind numba starts threads of its own, which costs
# more than such a small product takes. It also marks where gathering stops to matter beside multiplying.
_MAX_PRODUCT = 2**19
_PAIRS_PER_THREAD = 4096


class NumbaEngine(TorchEngine):
    """Compiled loops where they win: float32 and float64 with up to 8192 weights per offset."""

    name = "numba"

    def submanifold_pairs(self, coords: Tensor, offsets: Tensor) -> Pairs:
        """Merge the sorted keys with shifted copies for half of the offsets; the others mirror them."""
        keys, weights = pack_keys(coords.numpy(), pad=int(offsets.abs().max()))
        order = None
        if not bool((keys[1:] > keys[:-1]).all()):
            order = np.argsort(keys, kind="stable")
            keys = keys[order]
            refuse_duplicates(torch.from_numpy(keys))
        half = len(offsets) // 2
        source, target, splits = shifted_pairs(keys, offsets[:half].numpy() @ weights[1:])
        itself = np.arange(len(keys))
        mirrored = [slice(splits[k], splits[k + 1]) for k in reversed(range(half))]
        sources = np.concatenate([source, itself, *(target[block] for block in mirrored)])
        targets = np.concatenate([target, itself, *(source[block] for block in mirrored)])
        counts = np.diff(splits)
        edges = np.cumsum(np.concatenate([[0], counts, [len(keys)], counts[::-1]]))
        if order is not None:
            sources, targets = order[sources], order[targets]
        return Pairs(torch.from_numpy(sources), torch.from_numpy(targets), torch.from_numpy(edges))

    def convolve(self, feats: Tensor, weight: Tensor, pairs: Pairs, n_target: int, centre: int) -> Tensor:
        """Gather, multiply and scatter one block of pairs after the other."""
        block = _block_rows(feats.dtype, weight.shape[1] * weight.shape[2])
        if block == 0:
            return super().convolve(feats, weight, pairs, n_target, centre)
        out = self.own_products(feats, weight, n_target, centre)
        arrays = [t.detach().contiguous().numpy() for t in (feats, weight, *pairs)]
        result = out.detach().numpy()
        threads = _threads(len(pairs.source))
        if threads > 1 and not _kernels.ascending(arrays[3], arrays[4]):
            threads = 1
        edges = [n_target * t // threads for t in range(threads + 1)]
        _in_threads(
            lambda t: _kernels.convolve(*arrays, centre, block, edges[t], edges[t + 1], result), threads
        )
        return out

    def weight_gradient(self, feats: Tensor, grad: Tensor, pairs: Pairs, centre: int) -> Tensor:
        """Gather both sides of one block of pairs after the other, and multiply."""
        block = _block_rows(feats.dtype, feats.shape[1] * grad.shape[1])
        if block == 0:
            return super().weight_gradient(feats, grad, pairs, centre)
        out = self.own_weight_gradient(feats, grad, pairs, centre)
        arrays = [t.detach().contiguous().numpy() for t in (feats, grad, *pairs)]
        result = out.detach().numpy()
        threads = _threads(len(pairs.source))
        _in_threads(lambda t: _kernels.weight_gradient(*arrays, centre, block, t, threads, result), threads)
        return out


def _threads(pairs: int) -> int:
    """As many threads as torch uses, if there is work for them."""
    return min(torch.get_num_threads(), max(1, pairs // _PAIRS_PER_THREAD))


def _in_threads(work: Callable[[int], None], threads: int) -> None:
    """Run ``work(0) ... work(threads - 1)``; each writes to its own rows, so the number changes nothing."""
    if threads == 1:
        work(0)
        return
    list(_pool(threads, os.getpid()).map(work, range(threads)))


@functools.cache
def _pool(threads: int, process: int) -> ThreadPoolExecutor:
    # A forked process inherits the pool but not its threads: it needs a pool of its own.
    return ThreadPoolExecutor(threads, thread_name_prefix="sparseclust")


def _block_rows(dtype: torch.dtype, weights: int) -> int:
    """Pairs per block; 0 where the reference is at least as good."""
    block = min(_MAX_BLOCK, _MAX_PRODUCT // max(weights, 1))
    return block if block >= _MIN_BLOCK and dtype in (torch.float32, torch.float64) else 0


engine = NumbaEngine()
