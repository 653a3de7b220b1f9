"""CPU engine: kernel maps by merging sorted keys, products in registers, rows read where they lie."""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from sparseclust._voxels import pack_keys, shifted_pairs
from sparseclust.sparse.engines import _kernels
from sparseclust.sparse.engines._protocol import Pairs
from sparseclust.sparse.engines._threads import in_threads, threads_for
from sparseclust.sparse.engines._torch import TorchEngine, refuse_duplicates

_Ints = npt.NDArray[np.int64]
_COMPILED = (torch.float32, torch.float64)
_BLOCK = 1024  # output rows that stay in the cache, with the inputs next to them, while all offsets pass by
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
        sources, targets, splits = (_mirrored_pairs if symmetric else shifted_pairs)(keys, deltas)
        if order is not None:
            sources, targets = order[sources], order[targets]
        return Pairs(torch.from_numpy(sources), torch.from_numpy(targets), torch.from_numpy(splits))

    def convolve(self, feats: Tensor, weight: Tensor, pairs: Pairs, n_target: int, centre: int) -> Tensor:
        """Sum over the offsets, one block of output rows after the other."""
        if feats.dtype not in _COMPILED:
            return super().convolve(feats, weight, pairs, n_target, centre)
        n_out = weight.shape[2]
        weight = _pad_columns(weight, _kernels.VECTOR_BYTES // weight.itemsize)
        out = feats.new_empty(n_target, weight.shape[2])
        arrays = _arrays(feats, weight, *pairs[:3])
        ordered = _kernels.ascending(*arrays[3:])
        threads = threads_for(len(pairs.source), _PAIRS_PER_THREAD) if ordered else 1
        block = _BLOCK if ordered else max(n_target, 1)
        edges = [n_target * t // threads for t in range(threads + 1)]
        result = out.numpy()
        in_threads(lambda t: _kernels.convolve(*arrays, edges[t], edges[t + 1], block, result), threads)
        return out[:, :n_out].contiguous()

    def weight_gradient(self, feats: Tensor, grad: Tensor, pairs: Pairs, centre: int) -> Tensor:
        """Sum over the pairs, one block of output rows after the other."""
        if feats.dtype not in _COMPILED:
            return super().weight_gradient(feats, grad, pairs, centre)
        n_in, n_out = feats.shape[1], grad.shape[1]
        feats = _pad_columns(feats, _kernels.ROWS)
        grad = _pad_columns(grad, _kernels.VECTOR_BYTES // grad.itemsize)
        out = feats.new_zeros(len(pairs.splits) - 1, feats.shape[1], grad.shape[1])
        arrays = _arrays(feats, grad, *pairs[:3])
        block = _BLOCK if _kernels.ascending(*arrays[3:]) else max(len(grad), 1)
        threads = threads_for(len(pairs.source), _PAIRS_PER_THREAD)
        result = out.numpy()
        in_threads(lambda t: _kernels.weight_gradient(*arrays, t, threads, block, result), threads)
        return out[:, :n_in, :n_out].contiguous()


def _mirrored_pairs(keys: _Ints, deltas: _Ints) -> tuple[_Ints, _Ints, _Ints]:
    """As ``shifted_pairs`` for ``deltas[k] == -deltas[-1 - k]``, of which the middle one is zero."""
    half = len(deltas) // 2
    source, target, splits = shifted_pairs(keys, deltas[:half])
    itself = np.arange(len(keys))
    mirrored = [slice(splits[k], splits[k + 1]) for k in reversed(range(half))]
    sources = np.concatenate([source, itself, *(target[block] for block in mirrored)])
    targets = np.concatenate([target, itself, *(source[block] for block in mirrored)])
    counts = np.diff(splits)
    return sources, targets, np.cumsum(np.concatenate([[0], counts, [len(keys)], counts[::-1]]))


def _arrays(*tensors: Tensor) -> list[Any]:
    return [t.detach().contiguous().numpy() for t in tensors]


def _pad_columns(matrix: Tensor, multiple: int) -> Tensor:
    """Append columns of zeros up to a multiple: the compiled loops know whole vectors only."""
    missing = -matrix.shape[-1] % multiple
    return nn.functional.pad(matrix, (0, missing)) if missing else matrix


engine = NumbaEngine()
