"""One encoder, several decoders, several heads on each."""

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Any, cast

import torch
from torch import Tensor, nn

from sparseclust.backbones import Decoder, Encoder
from sparseclust.heads import EdgeHead, Head
from sparseclust.sparse import SparseTensor

_NONE: Mapping[str, Any] = MappingProxyType({})


class Branch(nn.Module):
    """A decoder and the heads that share its features.

    Parameters
    ----------
    decoder : Decoder
        A module; see :class:`sparseclust.backbones.Decoder`.
    heads : mapping of str to Head
        Modules by the name of their output; see :class:`sparseclust.heads.Head`.
    edge_heads : mapping of str to EdgeHead
        Modules that score pairs of voxels; see :class:`sparseclust.heads.EdgeHead`. With any of them the
        outputs include ``"edges"`` (2, m), the pairs: those that touch, then those that the caller adds.
    """

    def __init__(
        self,
        decoder: Decoder,
        heads: Mapping[str, Head] = _NONE,
        *,
        edge_heads: Mapping[str, EdgeHead] = _NONE,
    ) -> None:
        super().__init__()
        self.decoder = cast(nn.Module, decoder)
        self.heads = nn.ModuleDict({name: cast(nn.Module, head) for name, head in heads.items()})
        self.edge_heads = nn.ModuleDict({name: cast(nn.Module, head) for name, head in edge_heads.items()})

    @property
    def outputs(self) -> list[str]:
        """Names of the outputs."""
        return [*self.heads, *self.edge_heads, *(["edges"] if self.edge_heads else [])]

    def forward(self, pyramid: list[SparseTensor], pairs: Tensor | None = None) -> dict[str, Tensor]:
        """Return the output of every head; ``pairs`` (2, m) are scored beside the touching voxels."""
        features = self.decoder(pyramid)
        outputs = {name: head(features) for name, head in self.heads.items()}
        if self.edge_heads:
            edges = features.edges()
            outputs["edges"] = edges if pairs is None else torch.cat([edges, pairs], dim=1)
            outputs |= {name: head(features, outputs["edges"]) for name, head in self.edge_heads.items()}
        return outputs


class BranchedNet(nn.Module):
    """One encoder whose pyramid feeds several branches.

    Parameters
    ----------
    encoder : Encoder
        A module; see :class:`sparseclust.backbones.Encoder`.
    branches : mapping of str to Branch
    bridge_radius : float
        The edge heads also judge gaps: pieces at most so many voxels apart are to be offered to them, as
        ``pairs``. 0: touching voxels alone.

    Attributes
    ----------
    config : dict or None
        For a model of the registry, the arguments that build it again: ``create_model(**config)``.

    Raises
    ------
    ValueError
        If two outputs have the same name.

    Examples
    --------
    >>> import torch
    >>> from sparseclust.backbones import UResNetDecoder, UResNetEncoder
    >>> from sparseclust.heads import SemanticHead
    >>> from sparseclust.models import Branch, BranchedNet
    >>> from sparseclust.sparse import SparseTensor
    >>> encoder = UResNetEncoder(1, base_channels=8, depth=2)
    >>> decoder = UResNetDecoder(encoder.channels)
    >>> heads = {"semantic": SemanticHead(decoder.out_channels, 5)}
    >>> net = BranchedNet(encoder, {"semantic": Branch(decoder, heads)})
    >>> net(SparseTensor(torch.ones(1, 1), torch.tensor([[0, 7, 7, 7]])))["semantic"].shape
    torch.Size([1, 5])
    """

    def __init__(
        self, encoder: Encoder, branches: Mapping[str, Branch], *, bridge_radius: float = 0.0
    ) -> None:
        super().__init__()
        names = [name for branch in branches.values() for name in branch.outputs]
        if len(names) != len(set(names)):
            raise ValueError(f"every output needs a name of its own, got {names}")
        self.config: dict[str, Any] | None = None
        self.bridge_radius = bridge_radius
        self.encoder = cast(nn.Module, encoder)
        self.branches = nn.ModuleDict(branches)

    @property
    def outputs(self) -> list[str]:
        """Names of the outputs of all branches."""
        return [name for branch in self.branches.values() for name in cast(Branch, branch).outputs]

    def forward(
        self, x: SparseTensor, pairs: Tensor | None = None, *, only: Collection[str] | None = None
    ) -> dict[str, Tensor]:
        """Return all outputs by name: one row per voxel in the order of ``x``, or one per edge.

        ``pairs`` (2, m) int64 are rows of voxels that edge heads score beside those that touch. ``only``:
        branches that give none of these outputs are not run.
        """
        pyramid = self.encoder(x)
        outputs: dict[str, Tensor] = {}
        for branch in self.branches.values():
            if only is None or not set(only).isdisjoint(cast(Branch, branch).outputs):
                outputs.update(branch(pyramid, pairs))
        return outputs
