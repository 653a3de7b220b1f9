"""Linear heads on the features of every voxel."""

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from sparseclust.sparse import SparseTensor


class EmbeddingHead(nn.Module):
    """Points in the embedding space in which the voxels of one particle gather.

    Parameters
    ----------
    in_channels : int
        Features per voxel.
    spatial_size : int or sequence of int
        Edge of the volume in voxels, one for all axes or one per axis.
    dim : int
        Axes of the embedding space. Those beyond the image's axes get no coordinate; an image may not have
        more axes than the embedding, in mode "offset".
    mode : {"offset", "free"}
        "offset": ``tanh(linear(x))`` moves the voxel away from its own place in the volume;
        "free": ``tanh(linear(x))`` alone.

    Raises
    ------
    ValueError
        If the size or ``dim`` is not positive, or the mode has another name.

    Notes
    -----
    The volume is normalised to [-1, 1]: ``(coords + 0.5) * 2 / spatial_size - 1``, voxel centres counted.

    References
    ----------
    Neven et al., 1906.11109, section 3; Koh et al., 2007.03083.

    Examples
    --------
    >>> import torch
    >>> from sparseclust.heads import EmbeddingHead
    >>> from sparseclust.sparse import SparseTensor
    >>> x = SparseTensor(torch.ones(2, 8), torch.tensor([[0, 7, 7, 7], [0, 7, 7, 8]]))
    >>> EmbeddingHead(8, spatial_size=768)(x).shape
    torch.Size([2, 3])
    """

    def __init__(
        self,
        in_channels: int,
        *,
        spatial_size: int | Sequence[int],
        dim: int = 3,
        mode: Literal["offset", "free"] = "offset",
    ) -> None:
        super().__init__()
        sizes = [spatial_size] if isinstance(spatial_size, int) else list(spatial_size)
        if dim < 1 or not sizes or min(sizes) < 1:
            raise ValueError(f"spatial_size and dim must be positive, got {spatial_size} and {dim}")
        if mode not in ("offset", "free"):
            raise ValueError(f"mode must be 'offset' or 'free', got {mode!r}")
        self.sizes = sizes
        self.dim = dim
        self.mode = mode
        self.linear = nn.Linear(in_channels, dim)

    def forward(self, features: SparseTensor) -> Tensor:
        """Return the embeddings (n, dim)."""
        shift = torch.tanh(self.linear(features.feats))
        if self.mode == "free":
            return shift
        return shift + self._places(features, shift.dtype)

    def _places(self, features: SparseTensor, dtype: torch.dtype) -> Tensor:
        ndim = features.ndim
        if ndim > self.dim or len(self.sizes) not in (1, ndim):
            raise ValueError(
                f"dim={self.dim} and spatial_size={self.sizes} do not fit an image of {ndim} axes"
            )
        total = torch.promote_types(dtype, torch.float32)
        scale = 2.0 / torch.tensor(self.sizes, dtype=total, device=features.device)
        stride = features.coords.new_tensor(features.stride)
        places = (features.coords[:, 1:].to(total) + 0.5) * stride * scale - 1.0
        return nn.functional.pad(places, (0, self.dim - ndim))


class MarginHead(nn.Module):
    """Width (sigma) of each voxel's particle in the embedding space: ``max_margin * sigmoid(linear(x))``.

    Parameters
    ----------
    in_channels : int
        Features per voxel.
    dim : int
        1: one margin, the result is (n,). More: one per axis of the embedding, the result is (n, dim).
    max_margin : float
        Upper bound, in units of the embedding space.
    initial_margin : float, optional
        What an untrained head predicts, on average; half of the bound when not given. Particles much
        smaller than the margin start inside one another: choose it near the size of a particle.

    Raises
    ------
    ValueError
        If ``0 < initial_margin < max_margin`` does not hold.

    Examples
    --------
    >>> import torch
    >>> from sparseclust.heads import MarginHead
    >>> from sparseclust.sparse import SparseTensor
    >>> x = SparseTensor(torch.zeros(1, 8), torch.tensor([[0, 7, 7, 7]]))
    >>> round(MarginHead(8, initial_margin=0.25)(x).item(), 6)
    0.25
    """

    def __init__(
        self,
        in_channels: int,
        *,
        dim: int = 1,
        max_margin: float = 2.0,
        initial_margin: float | None = None,
    ) -> None:
        super().__init__()
        self.dim = dim
        self.max_margin = max_margin
        self.linear = nn.Linear(in_channels, dim)
        if initial_margin is not None:
            if not 0.0 < initial_margin < max_margin:
                raise ValueError(f"initial_margin must lie between 0 and {max_margin}, got {initial_margin}")
            nn.init.constant_(self.linear.bias, math.log(initial_margin / (max_margin - initial_margin)))

    def forward(self, features: SparseTensor) -> Tensor:
        """Return the margins: (n,) for ``dim == 1``, else (n, dim)."""
        margins: Tensor = self.max_margin * torch.sigmoid(self.linear(features.feats))
        return margins.squeeze(1) if self.dim == 1 else margins


class SeedinessHead(nn.Module):
    """How well each voxel's embedding stands for its particle: ``sigmoid(linear(x))``, (n,).

    Parameters
    ----------
    in_channels : int
        Features per voxel.

    Examples
    --------
    >>> import torch
    >>> from sparseclust.heads import SeedinessHead
    >>> from sparseclust.sparse import SparseTensor
    >>> SeedinessHead(8)(SparseTensor(torch.ones(2, 8), torch.tensor([[0, 7, 7, 7], [0, 7, 7, 8]]))).shape
    torch.Size([2])
    """

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.linear = nn.Linear(in_channels, 1)

    def forward(self, features: SparseTensor) -> Tensor:
        """Return the seediness (n,) between 0 and 1."""
        return torch.sigmoid(self.linear(features.feats)).squeeze(1)


class SemanticHead(nn.Module):
    """Scores of the semantic classes: ``linear(x)``, logits (n, num_classes).

    Parameters
    ----------
    in_channels : int
        Features per voxel.
    num_classes : int

    Examples
    --------
    >>> import torch
    >>> from sparseclust.heads import SemanticHead
    >>> from sparseclust.sparse import SparseTensor
    >>> SemanticHead(8, 5)(SparseTensor(torch.ones(2, 8), torch.tensor([[0, 7, 7, 7], [0, 7, 7, 8]]))).shape
    torch.Size([2, 5])
    """

    def __init__(self, in_channels: int, num_classes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(in_channels, num_classes)

    def forward(self, features: SparseTensor) -> Tensor:
        """Return the logits (n, num_classes)."""
        logits: Tensor = self.linear(features.feats)
        return logits


class EdgeAffinityHead(nn.Module):
    """Whether the two ends of an edge belong to one particle.

    Parameters
    ----------
    in_channels : int
        Features per voxel.
    hidden : int
        Width of the hidden layer.
    bridges : bool
        Judge edges between voxels that do not touch by an MLP of their own, which knows their length as well.

    Notes
    -----
    ``MLP([|f_i - f_j|, f_i + f_j])``, and ``MLP'([|f_i - f_j|, f_i + f_j, |x_i - x_j|])`` of bridges, the
    length in voxels: the same for both directions of an edge.

    Examples
    --------
    >>> import torch
    >>> from sparseclust.heads import EdgeAffinityHead
    >>> from sparseclust.sparse import SparseTensor
    >>> x = SparseTensor(torch.ones(2, 8), torch.tensor([[0, 7, 7, 7], [0, 7, 7, 8]]))
    >>> EdgeAffinityHead(8)(x, torch.tensor([[0], [1]])).shape
    torch.Size([1])
    """

    def __init__(self, in_channels: int, *, hidden: int = 32, bridges: bool = False) -> None:
        super().__init__()
        self.mlp = _edge_mlp(2 * in_channels, hidden)
        self.bridge_mlp = _edge_mlp(2 * in_channels + 1, hidden) if bridges else None

    def forward(self, features: SparseTensor, edges: Tensor) -> Tensor:
        """Return one logit per column of ``edges`` (2, m), rows of ``features``."""
        if edges.ndim != 2 or len(edges) != 2:
            raise ValueError(f"edges must have shape (2, m), got {tuple(edges.shape)}")
        first, second = (features.feats.index_select(0, end) for end in edges)
        columns = torch.cat([(first - second).abs(), first + second], dim=1)
        logits: Tensor = self.mlp(columns).squeeze(1)
        if self.bridge_mlp is None:
            return logits
        places = features.coords[:, 1:]
        step = places.index_select(0, edges[0]) - places.index_select(0, edges[1])
        bridge = torch.nonzero(step.abs().amax(dim=1) > 1).squeeze(1)
        length = step[bridge].to(columns.dtype).norm(dim=1, keepdim=True)
        of_bridges = self.bridge_mlp(torch.cat([columns[bridge], length], dim=1)).squeeze(1)
        return logits.index_put((bridge,), of_bridges)


def _edge_mlp(width: int, hidden: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, hidden), nn.LeakyReLU(), nn.Linear(hidden, 1))
