"""Models with published architectures."""

from collections.abc import Sequence
from typing import Literal

from sparseclust.backbones import UResNetDecoder, UResNetEncoder
from sparseclust.heads import EmbeddingHead, MarginHead, SeedinessHead
from sparseclust.models._branched import Branch, BranchedNet
from sparseclust.models._registry import register_model


@register_model
def spice(
    in_channels: int = 4,
    *,
    spatial_size: int | Sequence[int] = 768,
    base_channels: int = 32,
    depth: int = 5,
    reps: int = 2,
    margin_dim: int = 1,
    initial_margin: float | None = None,
    norm: Literal["batch", "layer", "none"] = "batch",
    ndim: int = 3,
) -> BranchedNet:
    """Scalable proposal-free instance clustering embeddings: one U-ResNet encoder, two decoders.

    Parameters
    ----------
    in_channels : int
        Features per voxel: energy and ``ndim`` normalised coordinates.
    spatial_size : int or sequence of int
        Edge of the volume in voxels.
    base_channels, depth, reps
        As :class:`sparseclust.backbones.UResNetEncoder`.
    margin_dim : int
        1: one margin per voxel; ``ndim``: one per axis.
    initial_margin : float, optional
        As :class:`sparseclust.heads.MarginHead`.
    norm : {"batch", "layer", "none"}
    ndim : int
        Axes of the image and of the embedding space.

    Returns
    -------
    BranchedNet
        Outputs: "embeddings" (n, ndim), "margins" (n,) or (n, margin_dim), "seediness" (n,).

    References
    ----------
    Koh et al., 2007.03083, section 3.

    Examples
    --------
    >>> import torch
    >>> from sparseclust.models import spice
    >>> from sparseclust.sparse import SparseTensor
    >>> x = SparseTensor(torch.ones(2, 4), torch.tensor([[0, 7, 7, 7], [0, 7, 7, 8]]))
    >>> {name: tuple(y.shape) for name, y in spice(base_channels=8, depth=2)(x).items()}
    {'embeddings': (2, 3), 'margins': (2,), 'seediness': (2,)}
    """
    encoder = UResNetEncoder(
        in_channels, base_channels=base_channels, depth=depth, reps=reps, norm=norm, ndim=ndim
    )
    embedding, seediness = (
        UResNetDecoder(encoder.channels, reps=reps, norm=norm, ndim=ndim) for _ in range(2)
    )
    width = encoder.channels[0]
    heads = {
        "embeddings": EmbeddingHead(width, spatial_size=spatial_size, dim=ndim),
        "margins": MarginHead(width, dim=margin_dim, initial_margin=initial_margin),
    }
    branches = {
        "embedding": Branch(embedding, heads),
        "seediness": Branch(seediness, {"seediness": SeedinessHead(width)}),
    }
    return BranchedNet(encoder, branches)
