"""A trained network inside a wider one."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

# Axes of what goes in and what comes out, by the number of axes: linear layers are (out, in), convolutions
# (kernel, in, out).
_IN_OUT = {2: (1, 0), 3: (1, 2)}
# In these two networks may differ besides; other differences change what a layer is.
_MAY_DIFFER = {"base_channels", "bridge_radius", "initial_margin", "name", "spatial_size"}


def can_widen(narrow: Mapping[str, Any], wide: Mapping[str, Any]) -> bool:
    """Whether weights fit by widening: from the arguments that made two networks of the registry."""
    if wide.get("base_channels", 0) <= narrow.get("base_channels", 0):
        return False
    if narrow.get("norm") == "layer":  # averages over features: with more of them the old ones would change
        return False
    return all(narrow[name] == wide[name] for name in narrow.keys() & wide.keys() - _MAY_DIFFER)


def widened(
    given: Mapping[str, Tensor], wanted: Mapping[str, Tensor], narrow: int, wide: int
) -> dict[str, Tensor]:
    """Put the weights of a network into those of a wider one, which then gives the same answers.

    Every ``narrow`` features become ``wide``, the old ones first, also where features of several layers are
    concatenated. Old features take nothing from new ones; new ones take from both what ``wanted`` has, fresh
    random weights. What is in ``given`` alone, or has the wrong shape nevertheless, is left as it is.
    """
    result = {}
    for name, old in given.items():
        result[name] = old
        if name not in wanted or old.ndim != wanted[name].ndim or old.shape == wanted[name].shape:
            continue
        new = wanted[name].clone()
        places = [_places(a, b, narrow, wide) for a, b in zip(old.shape, new.shape)]
        if any(len(p) and int(p[-1]) >= b for p, b in zip(places, new.shape)):
            continue
        if new.ndim in _IN_OUT:
            source, target = _IN_OUT[new.ndim]
            fresh = torch.ones(new.shape[source], dtype=torch.bool)
            fresh[places[source]] = False
            everywhere = [torch.arange(size) for size in new.shape]
            everywhere[source], everywhere[target] = fresh.nonzero().squeeze(1), places[target]
            new[torch.meshgrid(*everywhere, indexing="ij")] = 0
        new[torch.meshgrid(*places, indexing="ij")] = old
        result[name] = new
    return result


def _places(old: int, new: int, narrow: int, wide: int) -> Tensor:
    """Where the entries of an axis go."""
    entry = torch.arange(old)
    return entry if old == new else entry // narrow * wide + entry % narrow
