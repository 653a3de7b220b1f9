"""CPU engine: kernel maps by merging sorted keys in compiled loops; products as in the reference."""

import numpy as np
import torch
from torch import Tensor

from sparseclust._voxels import pack_keys, shifted_pairs
from sparseclust.sparse.engines._protocol import Pairs
from sparseclust.sparse.engines._torch import TorchEngine, refuse_duplicates


class NumbaEngine(TorchEngine):
    """Linear-time submanifold maps: one merge per offset for half of the offsets, the others mirror them."""

    name = "numba"

    def submanifold_pairs(self, coords: Tensor, offsets: Tensor) -> Pairs:
        """Merge the sorted keys with their shifted copies."""
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


engine = NumbaEngine()
