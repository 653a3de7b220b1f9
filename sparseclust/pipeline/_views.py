"""Test-time augmentation: what a network says, averaged over symmetries of the volume."""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from sparseclust.data import Event


def symmetries(ndim: int, count: int) -> list[tuple[tuple[int, ...], tuple[bool, ...]]]:
    """Choose symmetries of the cube: the axes in another order, and which of them are mirrored then.

    The first changes nothing; the others are drawn, always the same ones, so that few of them differ much.

    Raises
    ------
    ValueError
        If there are fewer than ``count``.
    """
    orders, mirrors = itertools.permutations(range(ndim)), itertools.product((False, True), repeat=ndim)
    every = list(itertools.product(orders, mirrors))
    if not 1 <= count <= len(every):
        raise ValueError(f"a volume of {ndim} axes has 1 to {len(every)} views, got {count}")
    drawn = 1 + np.random.default_rng(0).permutation(len(every) - 1)
    return [every[i] for i in (0, *drawn[: count - 1])]


def turned(event: Event, axes: Sequence[int], mirrored: Sequence[bool], *, size: int) -> Event:
    """Return the event as this symmetry of a volume of ``size`` voxels along each axis shows it."""
    coords = event.coords[:, list(axes)]
    coords = np.where(mirrored, size - 1 - coords, coords)
    return Event(coords, event.feats, event.semantic, event.instance, extra=event.extra)


def averaged(outputs: dict[str, Tensor], views: Iterable[Mapping[str, Tensor]], n: int) -> dict[str, Tensor]:
    """Average the log-odds of each edge over the outputs and all views of the same ``n`` rows.

    An edge that a view lacks, as another of the shortest bridges of a gap was chosen there, is the mean of
    the others.

    Raises
    ------
    ValueError
        If the network scores no edges.
    """
    if "affinity" not in outputs:
        raise ValueError(
            "views are averages of edge scores, the network gives "
            f"{sorted(outputs)}: leave views out, or choose a model that scores edges"
        )
    total = outputs["affinity"].float().clone()
    count = torch.ones_like(total)
    keys, order = torch.sort(_key(outputs["edges"], n))
    for view in views:
        key = _key(view["edges"], n)
        place = torch.searchsorted(keys, key).clamp(max=max(len(keys) - 1, 0))
        known = keys[place] == key if len(keys) else torch.zeros_like(key, dtype=torch.bool)
        rows = order[place[known]]
        total[rows] += view["affinity"].float()[known]
        count[rows] += 1
    return outputs | {"affinity": total / count}


def _key(edges: Tensor, n: int) -> Tensor:
    """Give each pair of rows a number, in whichever order it names them."""
    return edges.amin(dim=0) * n + edges.amax(dim=0)


def other_views(events: Sequence[Event], count: int, *, size: int) -> Iterator[list[Event]]:
    """Yield the events as each symmetry but the first shows them."""
    for axes, mirrored in symmetries(events[0].ndim, count)[1:]:
        yield [turned(event, axes, mirrored, size=size) for event in events]
