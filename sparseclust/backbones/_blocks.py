"""Building blocks of the residual U-Net."""

import itertools
from typing import Literal

from torch import nn

from sparseclust.sparse import BatchNorm, LayerNorm, LeakyReLU, Linear, SparseTensor, SubmanifoldConv

Norm = Literal["batch", "layer", "none"]
_NORMS: dict[str, type[nn.Module]] = {"batch": BatchNorm, "layer": LayerNorm}


def make_norm(norm: Norm, channels: int) -> nn.Module:
    """Return the normalisation of that name; the identity for "none"."""
    if norm == "none":
        return nn.Identity()
    if norm not in _NORMS:
        raise ValueError(f"norm must be 'batch', 'layer' or 'none', got {norm!r}")
    return _NORMS[norm](channels)


class NormAct(nn.Sequential):
    """A normalisation and a LeakyReLU behind it, in one pass where the normalisation can do both."""

    def forward(self, x: SparseTensor) -> SparseTensor:
        """Normalise and activate the features of ``x``."""
        norm, act = self
        fused = isinstance(norm, BatchNorm) and isinstance(act, LeakyReLU)
        y: SparseTensor = norm(x, negative_slope=act.negative_slope) if fused else act(norm(x))
        return y


def norm_act(norm: Norm, channels: int) -> nn.Sequential:
    """Return a normalisation followed by a LeakyReLU of slope 0.01."""
    return NormAct(make_norm(norm, channels), LeakyReLU())


class ResidualBlock(nn.Module):
    """Two 3^ndim submanifold convolutions around which the input passes by.

    Parameters
    ----------
    in_channels, out_channels : int
    norm : {"batch", "layer", "none"}
    ndim : int

    Notes
    -----
    Pre-activation: ``y = shortcut(x) + conv(act(norm(conv(act(norm(x))))))``. The shortcut is the identity,
    or a matrix without bias where the number of channels changes.

    References
    ----------
    He et al., "Identity Mappings in Deep Residual Networks", 1603.05027, figure 4e.
    """

    def __init__(self, in_channels: int, out_channels: int, *, norm: Norm, ndim: int) -> None:
        super().__init__()
        self.shortcut = (
            nn.Identity() if in_channels == out_channels else Linear(in_channels, out_channels, bias=False)
        )
        self.residual = nn.Sequential(
            norm_act(norm, in_channels),
            SubmanifoldConv(in_channels, out_channels, ndim=ndim),
            norm_act(norm, out_channels),
            SubmanifoldConv(out_channels, out_channels, ndim=ndim),
        )

    def forward(self, x: SparseTensor) -> SparseTensor:
        """Add the residual to the shortcut."""
        shortcut: SparseTensor = self.shortcut(x)
        residual: SparseTensor = self.residual(x)
        return x.with_feats(shortcut.feats + residual.feats)


def residual_blocks(
    in_channels: int, out_channels: int, reps: int, *, norm: Norm, ndim: int
) -> nn.Sequential:
    """Return ``reps`` blocks in a row; the first changes the number of channels."""
    widths = [in_channels] + [out_channels] * reps
    return nn.Sequential(*(ResidualBlock(a, b, norm=norm, ndim=ndim) for a, b in itertools.pairwise(widths)))
