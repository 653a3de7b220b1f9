"""Reference engine: plain torch on any device, in any floating type."""

import itertools
import math

import torch
from torch import Tensor

from sparseclust.sparse.engines._protocol import Pairs

_INT32 = torch.iinfo(torch.int32)
_DUPLICATES = "two rows have the same event and coordinates; merge them with sparseclust.sparse.coalesce"


class TorchEngine:
    """Kernel maps by binary search in sorted keys; products by gather, multiply, scatter per offset."""

    name = "torch"

    def submanifold_pairs(self, coords: Tensor, offsets: Tensor) -> Pairs:
        """Look up every neighbour of every row in the sorted keys."""
        keys, weights = _pack_keys(coords, pad=int(offsets.abs().max()))
        keys, order = torch.sort(keys)
        refuse_duplicates(keys)
        wanted = keys + (offsets.to(coords.device) * weights[1:]).sum(dim=1)[:, None]
        found = torch.searchsorted(keys, wanted).clamp_(max=len(keys) - 1)
        k, target = torch.nonzero(keys[found] == wanted, as_tuple=True)
        return Pairs(order[found[k, target]], order[target], _splits(k, len(offsets)))

    def strided_pairs(self, coords: Tensor, offsets: Tensor, stride: tuple[int, ...]) -> tuple[Tensor, Pairs]:
        """Join each row with the offsets that leave the same remainder."""
        steps = torch.tensor(stride, device=coords.device)
        shifts = offsets.to(coords.device)
        places = torch.tensor(
            [math.prod(stride[axis + 1 :]) for axis in range(len(stride))], device=coords.device
        )
        wanted = (shifts.remainder(steps) * places).sum(dim=1)
        found = (coords[:, 1:].remainder(steps) * places).sum(dim=1)
        k, row = torch.nonzero(wanted[:, None] == found, as_tuple=True)
        sites = coords[row].long()
        sites[:, 1:] = (sites[:, 1:] - shifts[k]).div_(steps, rounding_mode="floor")
        return _reached(sites, k, row, len(offsets))

    def generated_pairs(
        self, coords: Tensor, offsets: Tensor, stride: tuple[int, ...]
    ) -> tuple[Tensor, Pairs]:
        """Join each row with all offsets."""
        shifts = offsets.to(coords.device)
        k = torch.arange(len(offsets), device=coords.device).repeat_interleave(len(coords))
        row = torch.arange(len(coords), device=coords.device).repeat(len(offsets))
        sites = coords[row].long()
        sites[:, 1:] = sites[:, 1:].mul_(torch.tensor(stride, device=coords.device)) + shifts[k]
        return _reached(sites, k, row, len(offsets))

    def plan(self, pairs: Pairs, n_target: int) -> Tensor | None:
        """Return None: the pairs are enough."""
        return None

    def convolve(self, feats: Tensor, weight: Tensor, pairs: Pairs, n_target: int, centre: int) -> Tensor:
        """Sum over the offsets in at least float32; half types round each product to their own type."""
        out = self.own_products(feats, weight, n_target, centre)
        for k, start, stop in _blocks(pairs.splits, centre):
            product = feats.index_select(0, pairs.source[start:stop]) @ weight[k]
            out.index_add_(0, pairs.target[start:stop], product.to(out.dtype))
        return out.to(feats.dtype)

    def weight_gradient(self, feats: Tensor, grad: Tensor, pairs: Pairs, centre: int) -> Tensor:
        """One product of gathered rows per offset."""
        out = self.own_weight_gradient(feats, grad, pairs, centre)
        for k, start, stop in _blocks(pairs.splits, centre):
            rows = feats.index_select(0, pairs.source[start:stop])
            torch.mm(rows.T, grad.index_select(0, pairs.target[start:stop]), out=out[k])
        return out

    def own_products(self, feats: Tensor, weight: Tensor, n_target: int, centre: int) -> Tensor:
        """Return the part of :meth:`convolve` that comes from the row itself; zeros without a centre."""
        total = torch.promote_types(feats.dtype, torch.float32)
        if centre >= 0:
            return (feats @ weight[centre]).to(total)
        return feats.new_zeros(n_target, weight.shape[2], dtype=total)

    def own_weight_gradient(self, feats: Tensor, grad: Tensor, pairs: Pairs, centre: int) -> Tensor:
        """Return the weight gradient at the centre, where there is one, and zeros elsewhere."""
        out = feats.new_zeros(len(pairs.splits) - 1, feats.shape[1], grad.shape[1])
        if centre >= 0:
            torch.mm(feats.T, grad, out=out[centre])
        return out


def _blocks(splits: Tensor, centre: int) -> list[tuple[int, int, int]]:
    """Offsets that have pairs, with the range of their pairs, without the centre."""
    edges: list[int] = splits.tolist()
    return [(k, a, b) for k, (a, b) in enumerate(itertools.pairwise(edges)) if b > a and k != centre]


def _reached(sites: Tensor, k: Tensor, row: Tensor, volume: int) -> tuple[Tensor, Pairs]:
    """Give every distinct site a row, in order; ``row`` reaches ``sites`` under offset ``k``."""
    keys, _ = _pack_keys(sites)
    distinct, site = torch.unique(keys, return_inverse=True)
    code, order = torch.sort(k * len(distinct) + site)
    refuse_duplicates(code)
    kept = sites.new_empty(len(distinct), sites.shape[1], dtype=torch.int32)
    kept[site] = sites.int()
    return kept, Pairs(row[order], site[order], _splits(k, volume))


def _pack_keys(coords: Tensor, pad: int = 0) -> tuple[Tensor, Tensor]:
    """Mixed-radix int64 keys of integer rows, and the weight of each column; see ``_voxels.pack_keys``."""
    if len(coords) == 0:
        return coords.new_empty(0, dtype=torch.int64), coords.new_zeros(coords.shape[1], dtype=torch.int64)
    lowest, highest = torch.stack(coords.long().aminmax(dim=0)).tolist()
    if min(lowest) < _INT32.min or max(highest) > _INT32.max:
        raise ValueError(f"coordinates must fit int32, got some from {lowest} to {highest}; shift the volume")
    weights: list[int] = []
    cells = 1
    for low, high in zip(reversed(lowest), reversed(highest)):
        weights.insert(0, cells)
        cells *= high - low + 1 + 2 * pad
    if cells >= 2**62:
        raise ValueError(
            f"the coordinates span {cells:.1e} cells, more than a 64-bit key can number (from {lowest} "
            f"to {highest}); check for stray coordinates, or shift and crop the volume"
        )
    factors = torch.tensor(weights, device=coords.device)
    return ((coords - torch.tensor(lowest, device=coords.device)) * factors).sum(dim=1), factors


def _splits(k: Tensor, volume: int) -> Tensor:
    counts = torch.bincount(k, minlength=volume).cpu()
    return torch.cat([counts.new_zeros(1), counts.cumsum(0)])


def refuse_duplicates(ordered: Tensor) -> None:
    """Raise when a sorted list of keys holds one twice."""
    if bool((ordered[1:] == ordered[:-1]).any()):
        raise ValueError(_DUPLICATES)


engine = TorchEngine()
