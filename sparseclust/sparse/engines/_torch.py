"""Reference engine: plain torch on any device, in any floating type."""

import itertools
import math
from typing import NamedTuple

import torch
from torch import Tensor

from sparseclust.sparse.engines._protocol import Pairs

_INT32 = torch.iinfo(torch.int32)
DUPLICATES = "two rows have the same event and coordinates; merge them with sparseclust.sparse.coalesce"


class TorchEngine:
    """Kernel maps by binary search in sorted keys; products by gather, multiply, scatter per offset."""

    name = "torch"

    def submanifold_pairs(self, coords: Tensor, offsets: Tensor) -> Pairs:
        """Look up every neighbour of every row in the sorted keys."""
        box = Box.around(coords, offsets)
        keys, order = torch.sort(box.keys(coords))
        refuse_duplicates(keys)
        wanted = keys + box.steps(offsets)[:, None].to(keys.device)
        found = torch.searchsorted(keys, wanted).clamp_(max=len(keys) - 1)
        k, target = torch.nonzero(keys[found] == wanted, as_tuple=True)
        return Pairs(order[found[k, target]], order[target], _splits(k, len(offsets)))

    def strided_pairs(self, coords: Tensor, offsets: Tensor, stride: tuple[int, ...]) -> tuple[Tensor, Pairs]:
        """Join each row with the offsets that leave the same remainder."""
        cells, places = divide(coords[:, 1:], stride)
        shifts, wanted = divide(offsets, stride)
        k, source = torch.nonzero(wanted[:, None].to(coords.device) == places, as_tuple=True)
        return _reached(torch.cat([coords[:, :1], cells], dim=1), -shifts, k, source)

    def generated_pairs(
        self, coords: Tensor, offsets: Tensor, stride: tuple[int, ...]
    ) -> tuple[Tensor, Pairs]:
        """Join each row with all offsets."""
        n, volume = len(coords), len(offsets)
        k = torch.arange(volume, device=coords.device).repeat_interleave(n)
        source = torch.arange(n, device=coords.device).repeat(volume)
        first = coords.long() * torch.tensor([1, *stride], device=coords.device)
        return _reached(first, offsets, k, source)

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


def divide(voxels: Tensor, stride: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Coarse cell of each voxel, and the number of its place in the cell."""
    cells = torch.empty_like(voxels)
    places = voxels.new_zeros(len(voxels), dtype=torch.int64)
    for axis, step in enumerate(stride):
        torch.div(voxels[:, axis], step, rounding_mode="floor", out=cells[:, axis])
        places = places.mul_(step).add_(voxels[:, axis]).sub_(cells[:, axis], alpha=step)
    return cells, places


def _reached(rows: Tensor, shifts: Tensor, k: Tensor, source: Tensor) -> tuple[Tensor, Pairs]:
    """Sites ``rows[source] + shifts[k]``, each once and in order, and the pairs that lead there."""
    box = Box.around_sites(rows, shifts)
    keys = box.keys(rows)[source] + box.steps(shifts).to(rows.device)[k]
    distinct, target = torch.unique(keys, return_inverse=True)
    code = k * len(distinct) + target
    if not bool((code[1:] > code[:-1]).all()):
        code, order = torch.sort(code)
        refuse_duplicates(code)
        source, target = source[order], target[order]
    return box.rows(distinct), Pairs(source, target, _splits(k, len(shifts)))


class Box(NamedTuple):
    """Numbers the cells of a box: mixed-radix int64 keys, which sort as the rows do."""

    lowest: list[int]
    highest: list[int]
    weights: list[int]

    @classmethod
    def around(cls, coords: Tensor, shifts: Tensor) -> "Box":
        """Choose the box that holds the rows, shifted or not, so that no key is that of two cells."""
        if len(coords) == 0:
            coords = coords.new_zeros(1, coords.shape[1])
        low, high = torch.stack(coords.aminmax(dim=0)).tolist()
        for axis, (least, most) in enumerate(torch.stack(shifts.aminmax(dim=0)).T.tolist(), start=1):
            low[axis] += min(least, 0)
            high[axis] += max(most, 0)
        sizes = [b - a + 1 for a, b in zip(low, high)]
        if math.prod(sizes) >= 2**62:
            raise ValueError(
                f"the coordinates span {math.prod(sizes):.1e} cells, more than a 64-bit key can number (from "
                f"{low} to {high}); check for stray coordinates, or shift and crop the volume"
            )
        return cls(low, high, [math.prod(sizes[axis + 1 :]) for axis in range(len(sizes))])

    @classmethod
    def around_sites(cls, rows: Tensor, shifts: Tensor) -> "Box":
        """As :meth:`around`, for rows that become coordinates."""
        box = cls.around(rows, shifts)
        if min(box.lowest) < _INT32.min or max(box.highest) > _INT32.max:
            raise ValueError(f"sites from {box.lowest} to {box.highest} do not fit int32: shift the volume")
        return box

    def keys(self, coords: Tensor) -> Tensor:
        """Return the key of each row."""
        keys = coords.new_zeros(len(coords), dtype=torch.int64)
        for column, low, weight in zip(coords.unbind(1), self.lowest, self.weights):
            keys += (column.long() - low).mul_(weight)
        return keys

    def steps(self, shifts: Tensor) -> Tensor:
        """Return what each shift adds to a key."""
        return (shifts * torch.tensor(self.weights[1:])).sum(dim=1)

    def rows(self, keys: Tensor) -> Tensor:
        """Return the rows (n, c) int32 that the keys number."""
        columns = []
        for low, weight in zip(self.lowest, self.weights):
            digit = keys.div(weight, rounding_mode="floor")
            columns.append((digit + low).int())
            keys = keys - digit * weight
        return torch.stack(columns, dim=1)


def _splits(k: Tensor, volume: int) -> Tensor:
    counts = torch.bincount(k, minlength=volume).cpu()
    return torch.cat([counts.new_zeros(1), counts.cumsum(0)])


def refuse_duplicates(ordered: Tensor) -> None:
    """Raise when a sorted list of keys holds one twice."""
    if bool((ordered[1:] == ordered[:-1]).any()):
        raise ValueError(DUPLICATES)


engine = TorchEngine()
