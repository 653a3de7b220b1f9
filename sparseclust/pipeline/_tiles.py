"""Events larger than memory: the network sees overlapping pieces, the outputs are those of the whole."""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from sparseclust.backbones import UResNetDecoder, UResNetEncoder
from sparseclust.models import BranchedNet
from sparseclust.pipeline._assemble import PER_EDGE
from sparseclust.sparse import SparseTensor, SubmanifoldConv


class TiledNetwork(nn.Module):
    """A network that is shown large events in overlapping tiles, and returns what it would for the whole.

    Parameters
    ----------
    model : torch.nn.Module
        Maps a :class:`~sparseclust.sparse.SparseTensor` to named outputs, one row per voxel, apart from
        ``"edges"`` (2, m) and ``"affinity"`` (m,). It is used in evaluation mode: statistics of batches would
        be those of tiles.
    voxels : int
        Most voxels that the network sees at once; what fits is not cut.
    overlap : int, optional
        How far, in voxels, a tile reaches beyond its core, the part that its outputs are taken from. By
        default as far as the network sees and edges reach, for which it must be one of
        :mod:`sparseclust.models`.

    Attributes
    ----------
    overlap : int
    bridge_radius : float
        That of the model.

    Raises
    ------
    ValueError
        If ``voxels`` is not positive, ``overlap`` does not reach from end to end of an edge, or how far the
        network sees is not known; at the call, if an event is so dense that no tile fits.

    Notes
    -----
    Cores are boxes that share no voxel: the event is halved at the median of its longest side until what is
    within ``overlap`` of each half fits. A voxel's outputs come from the tile whose core holds it, those of
    an edge from the tile whose core holds its second end. With the default overlap both are those of the
    undivided event, up to the rounding of matrix products, and so are the labels; edges come in the order of
    the tiles. With a smaller overlap the outputs near the borders of cores are those of a cut event.

    A U-ResNet of depth 5 sees 204 voxels far. Tiles that wide cost several times the work of the whole
    event, so they are for events that do not fit otherwise.

    Examples
    --------
    >>> import torch
    >>> from sparseclust.models import edge_spice
    >>> from sparseclust.pipeline import TiledNetwork
    >>> from sparseclust.sparse import SparseTensor
    >>> model = edge_spice(base_channels=4, depth=2, reps=1).eval()
    >>> x = SparseTensor(torch.ones(400, 4), torch.arange(400)[:, None] * torch.tensor([0, 1, 1, 0]))
    >>> tiled = TiledNetwork(model, voxels=100)
    >>> tiled.overlap
    11
    >>> torch.allclose(tiled(x)["seediness"], model(x)["seediness"])
    True
    """

    def __init__(self, model: nn.Module, *, voxels: int, overlap: int | None = None) -> None:
        super().__init__()
        self.model = model
        self.voxels = voxels
        self.bridge_radius: float = getattr(model, "bridge_radius", 0.0)
        self.outputs: tuple[str, ...] = tuple(getattr(model, "outputs", ()))
        longest = max(1, math.ceil(self.bridge_radius))
        self.overlap = _reach(model) + longest if overlap is None else overlap
        if voxels < 1 or self.overlap < longest:
            raise ValueError(
                f"voxels must be at least 1 and overlap at least {longest}, as long as an edge, got {voxels} "
                f"and {overlap}"
            )

    def forward(self, x: SparseTensor, pairs: Tensor | None = None, **options: Any) -> dict[str, Tensor]:
        """Return the outputs by name, rows as in ``x``; ``pairs`` and options as for the model."""
        if len(x) <= self.voxels:
            return self._shown(x, pairs, options)
        outputs: dict[str, Tensor] = {}
        edges: dict[str, list[Tensor]] = {}
        for tile in self._tiles(x.coords):
            found = self._shown(
                x.select(tile.rows), None if pairs is None else tile.own(pairs, len(x)), options
            )
            if "edges" in found:
                own = tile.core[found["edges"][1]]
                found["edges"] = tile.rows[found["edges"]]
            for name, values in found.items():
                if name in PER_EDGE:
                    edges.setdefault(name, []).append(values[..., own])
                else:
                    if name not in outputs:
                        outputs[name] = values.new_empty(len(x), *values.shape[1:])
                    outputs[name][tile.rows[tile.core]] = values[tile.core]
        return outputs | {name: torch.cat(parts, dim=-1) for name, parts in edges.items()}

    def extra_repr(self) -> str:
        """Show the arguments."""
        return f"voxels={self.voxels}, overlap={self.overlap}"

    def _shown(self, x: SparseTensor, pairs: Tensor | None, options: dict[str, Any]) -> dict[str, Tensor]:
        options = options if pairs is None else {**options, "pairs": pairs}
        outputs: dict[str, Tensor] = self.model(x, **options)
        return outputs

    def _tiles(self, coords: Tensor) -> Iterator["_Tile"]:
        for event in torch.unique(coords[:, 0]):
            rows = torch.nonzero(coords[:, 0] == event).squeeze(1)
            for near, core in _cut(coords[rows, 1:].long(), self.voxels, self.overlap):
                yield _Tile(rows[near], core)


class _Tile(NamedTuple):
    """Rows (k,) of a tile in ascending order, and which of them (k,) are its core."""

    rows: Tensor
    core: Tensor

    def own(self, pairs: Tensor, n: int) -> Tensor:
        """Pairs of rows out of ``n`` whose second end is in the core, as rows of the tile."""
        place = torch.full((n,), -1, device=pairs.device)
        place[self.rows] = torch.arange(len(self.rows), device=pairs.device)
        near = place[pairs]
        return near[:, (near[1] >= 0) & self.core[near[1]]]


def _cut(coords: Tensor, voxels: int, overlap: int) -> Iterator[_Tile]:
    """Cut one event into tiles of at most ``voxels`` voxels."""
    waiting = [torch.arange(len(coords), device=coords.device)]
    while waiting:
        core = waiting.pop()
        low, high = torch.aminmax(coords[core], dim=0)
        near = ((coords >= low - overlap) & (coords <= high + overlap)).all(dim=1)
        n = int(near.sum())
        if n <= voxels:
            own = torch.zeros(len(coords), dtype=torch.bool, device=coords.device)
            own[core] = True
            yield _Tile(torch.nonzero(near).squeeze(1), own[near])
            continue
        axis = int((high - low).argmax())
        edge = int((high - low)[axis]) + 1
        if edge == 1 or 2 * edge <= overlap:
            raise ValueError(
                f"a tile of {edge} voxels along each side, with an overlap of {overlap}, holds {n:,} voxels, "
                f"and the network may see {voxels:,} at once: allow more, or a smaller overlap"
            )
        along = coords[core, axis]
        middle = along.median()
        lower = along <= middle if middle < high[axis] else along < middle
        waiting += [core[~lower], core[lower]]


def _reach(model: nn.Module) -> int:
    """How many voxels away an input can change an output."""
    if isinstance(model, BranchedNet) and isinstance(model.encoder, UResNetEncoder):
        decoders = [branch.decoder for branch in model.branches.values()]
        known = [_reach_of(model.encoder, d) for d in decoders if isinstance(d, UResNetDecoder)]
        if len(known) == len(decoders):
            return max(known)
    raise ValueError(
        f"how far this {type(model).__name__} sees is not known: give overlap, in voxels, one more than that"
    )


def _reach_of(encoder: UResNetEncoder, decoder: UResNetDecoder) -> int:
    # From an output down to the coarsest level and up to the input, in voxels of the level at hand; the
    # convolutions within a level see one voxel far.
    reach = 0
    for blocks in reversed(decoder.levels):
        reach = (reach + _convolutions(blocks) + 1) // 2
    for level, blocks in enumerate(reversed(encoder.levels)):
        reach = reach * 2 + 1 if level else reach
        reach += _convolutions(blocks)
    return reach + max(encoder.stem.window.kernel_size) // 2


def _convolutions(blocks: nn.Module) -> int:
    return sum(isinstance(module, SubmanifoldConv) for module in blocks.modules())
