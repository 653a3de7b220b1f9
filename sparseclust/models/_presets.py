"""Models with published architectures."""

from collections.abc import Sequence
from typing import Literal

from sparseclust.backbones import UResNetDecoder, UResNetEncoder
from sparseclust.heads import EdgeAffinityHead, EmbeddingHead, MarginHead, SeedinessHead, SemanticHead
from sparseclust.models._branched import Branch, BranchedNet
from sparseclust.models._registry import register_model

Norm = Literal["batch", "layer", "none"]


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
    norm: Norm = "batch",
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
    branches = _embedding_branches(encoder, spatial_size, reps, margin_dim, initial_margin, norm, ndim)
    return BranchedNet(encoder, branches)


@register_model
def edge_spice(
    in_channels: int = 4,
    *,
    spatial_size: int | Sequence[int] = 768,
    base_channels: int = 32,
    depth: int = 5,
    reps: int = 2,
    margin_dim: int = 1,
    initial_margin: float | None = None,
    bridge_radius: float = 0.0,
    norm: Norm = "batch",
    ndim: int = 3,
) -> BranchedNet:
    """Spice with a third branch that says which touching voxels belong together.

    Connectivity separates most particles; the affinities of the edges between touching voxels say where
    particles that touch must be cut. Parameters as :func:`spice`, and

    bridge_radius : float
        As :func:`edge_unet`.

    Returns
    -------
    BranchedNet
        Outputs of :func:`spice`, "edges" (2, m), the pairs of touching voxels, and "affinity" (m,), logits.

    Examples
    --------
    >>> import torch
    >>> from sparseclust.models import edge_spice
    >>> from sparseclust.sparse import SparseTensor
    >>> x = SparseTensor(torch.ones(2, 4), torch.tensor([[0, 7, 7, 7], [0, 7, 7, 8]]))
    >>> outputs = edge_spice(base_channels=8, depth=2)(x)
    >>> outputs["edges"].shape, outputs["affinity"].shape
    (torch.Size([2, 1]), torch.Size([1]))
    """
    encoder = UResNetEncoder(
        in_channels, base_channels=base_channels, depth=depth, reps=reps, norm=norm, ndim=ndim
    )
    decoder = UResNetDecoder(encoder.channels, reps=reps, norm=norm, ndim=ndim)
    branches = _embedding_branches(encoder, spatial_size, reps, margin_dim, initial_margin, norm, ndim)
    branches["edges"] = _edge_branch(decoder, bridge_radius)
    return BranchedNet(encoder, branches, bridge_radius=bridge_radius)


@register_model
def edge_unet(
    in_channels: int = 4,
    *,
    base_channels: int = 32,
    depth: int = 5,
    reps: int = 2,
    bridge_radius: float = 6.0,
    norm: Norm = "batch",
    ndim: int = 3,
) -> BranchedNet:
    """U-ResNet that scores edges and nothing else: half the work of :func:`edge_spice`.

    It judges the edges between touching voxels, where particles must be cut, and the bridges between pieces
    that lie near, where a particle in several pieces must be joined.

    Parameters
    ----------
    in_channels : int
        Features per voxel.
    base_channels, depth, reps
        As :class:`sparseclust.backbones.UResNetEncoder`.
    bridge_radius : float
        Longest gap of a bridge, in voxels; 0 for touching voxels alone.
    norm : {"batch", "layer", "none"}
    ndim : int

    Returns
    -------
    BranchedNet
        Outputs: "edges" (2, m), the pairs of voxels, and "affinity" (m,), logits.

    Examples
    --------
    >>> import torch
    >>> from sparseclust.models import edge_unet
    >>> from sparseclust.sparse import SparseTensor
    >>> x = SparseTensor(torch.ones(3, 4), torch.tensor([[0, 7, 7, 7], [0, 7, 7, 8], [0, 7, 7, 11]]))
    >>> edge_unet(base_channels=8, depth=2)(x, pairs=torch.tensor([[1], [2]]))["edges"].tolist()
    [[0, 1], [1, 2]]
    """
    encoder = UResNetEncoder(
        in_channels, base_channels=base_channels, depth=depth, reps=reps, norm=norm, ndim=ndim
    )
    decoder = UResNetDecoder(encoder.channels, reps=reps, norm=norm, ndim=ndim)
    return BranchedNet(encoder, {"edges": _edge_branch(decoder, bridge_radius)}, bridge_radius=bridge_radius)


@register_model
def semantic_unet(
    in_channels: int = 4,
    *,
    num_classes: int = 5,
    base_channels: int = 32,
    depth: int = 5,
    reps: int = 2,
    norm: Norm = "batch",
    ndim: int = 3,
) -> BranchedNet:
    """U-ResNet that gives every voxel its semantic class.

    Parameters
    ----------
    in_channels : int
        Features per voxel.
    num_classes : int
    base_channels, depth, reps
        As :class:`sparseclust.backbones.UResNetEncoder`.
    norm : {"batch", "layer", "none"}
    ndim : int

    Returns
    -------
    BranchedNet
        Output: "semantic" (n, num_classes), logits.

    References
    ----------
    Domine, Terao, 1903.05663.

    Examples
    --------
    >>> import torch
    >>> from sparseclust.models import semantic_unet
    >>> from sparseclust.sparse import SparseTensor
    >>> x = SparseTensor(torch.ones(2, 4), torch.tensor([[0, 7, 7, 7], [0, 7, 7, 8]]))
    >>> semantic_unet(base_channels=8, depth=2)(x)["semantic"].shape
    torch.Size([2, 5])
    """
    encoder = UResNetEncoder(
        in_channels, base_channels=base_channels, depth=depth, reps=reps, norm=norm, ndim=ndim
    )
    decoder = UResNetDecoder(encoder.channels, reps=reps, norm=norm, ndim=ndim)
    head = SemanticHead(decoder.out_channels, num_classes)
    return BranchedNet(encoder, {"semantic": Branch(decoder, {"semantic": head})})


def _edge_branch(decoder: UResNetDecoder, bridge_radius: float) -> Branch:
    head = EdgeAffinityHead(decoder.out_channels, bridges=bridge_radius > 0)
    return Branch(decoder, edge_heads={"affinity": head})


def _embedding_branches(
    encoder: UResNetEncoder,
    spatial_size: int | Sequence[int],
    reps: int,
    margin_dim: int,
    initial_margin: float | None,
    norm: Norm,
    ndim: int,
) -> dict[str, Branch]:
    """Build the two branches of the published network."""
    embedding, seediness = (
        UResNetDecoder(encoder.channels, reps=reps, norm=norm, ndim=ndim) for _ in range(2)
    )
    width = encoder.channels[0]
    heads = {
        "embeddings": EmbeddingHead(width, spatial_size=spatial_size, dim=ndim),
        "margins": MarginHead(width, dim=margin_dim, initial_margin=initial_margin),
    }
    return {
        "embedding": Branch(embedding, heads),
        "seediness": Branch(seediness, {"seediness": SeedinessHead(width)}),
    }
