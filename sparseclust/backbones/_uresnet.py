"""Residual U-Net on sparse images."""

import itertools
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import nn

from sparseclust.backbones._blocks import Norm, make_norm, norm_act, residual_blocks
from sparseclust.sparse import InverseConv, SparseTensor, StridedConv, SubmanifoldConv


class UResNetEncoder(nn.Module):
    """The way down: residual blocks at every level, strided convolutions between the levels.

    Parameters
    ----------
    in_channels : int
        Features per voxel of the input.
    base_channels : int
        Features of the finest level.
    depth : int
        Number of levels; each halves the resolution.
    reps : int
        Residual blocks per level.
    stem_kernel_size : int
        Odd edge of the first convolution.
    growth : {"linear", "double"}
        Features of level i: ``base * (i + 1)`` or ``base * 2**i``.
    norm : {"batch", "layer", "none"}
    ndim : int

    Attributes
    ----------
    channels : list of int
        Features per level, finest first.

    Raises
    ------
    ValueError
        If a number is not positive, the stem is even, or a choice has another name.

    Notes
    -----
    Pre-activation throughout: a level's output has passed no norm; whoever takes it applies one.

    References
    ----------
    Domine, Terao, 1903.05663; Koh et al., 2007.03083.

    Examples
    --------
    >>> import torch
    >>> from sparseclust.backbones import UResNetEncoder
    >>> from sparseclust.sparse import SparseTensor
    >>> x = SparseTensor(torch.ones(2, 4), torch.tensor([[0, 7, 7, 7], [0, 7, 7, 8]]))
    >>> [(y.stride, len(y), y.feats.shape[1]) for y in UResNetEncoder(4, base_channels=8, depth=3)(x)]
    [(1, 2, 8), (2, 2, 16), (4, 2, 24)]
    """

    def __init__(
        self,
        in_channels: int,
        *,
        base_channels: int = 32,
        depth: int = 5,
        reps: int = 2,
        stem_kernel_size: int = 3,
        growth: Literal["linear", "double"] = "linear",
        norm: Norm = "batch",
        ndim: int = 3,
    ) -> None:
        super().__init__()
        if depth < 1 or reps < 1:
            raise ValueError(f"depth and reps must be positive, got {depth} and {reps}")
        if growth not in ("linear", "double"):
            raise ValueError(f"growth must be 'linear' or 'double', got {growth!r}")
        factors = [i + 1 if growth == "linear" else 2**i for i in range(depth)]
        self.channels = [base_channels * factor for factor in factors]
        self.stem = SubmanifoldConv(in_channels, base_channels, stem_kernel_size, ndim=ndim)
        self.levels = nn.ModuleList(residual_blocks(c, c, reps, norm=norm, ndim=ndim) for c in self.channels)
        self.downs = nn.ModuleList(
            nn.Sequential(norm_act(norm, fine), StridedConv(fine, coarse, ndim=ndim))
            for fine, coarse in itertools.pairwise(self.channels)
        )

    def forward(self, x: SparseTensor) -> list[SparseTensor]:
        """Return the pyramid, finest first."""
        pyramid = [self.levels[0](self.stem(x))]
        for down, level in zip(self.downs, self.levels[1:]):
            pyramid.append(level(down(pyramid[-1])))
        return pyramid


class UResNetDecoder(nn.Module):
    """The way up: inverse convolution, concatenation with the encoder's level, residual blocks.

    Parameters
    ----------
    encoder_channels : sequence of int
        ``channels`` of the encoder, finest first.
    reps : int
        Residual blocks per level.
    norm : {"batch", "layer", "none"}
    ndim : int

    Attributes
    ----------
    out_channels : int
        Features of the result, those of the encoder's finest level.

    Raises
    ------
    ValueError
        If there is no level, ``reps`` is not positive, or the norm has another name.

    Notes
    -----
    The result has passed a last norm but no activation: heads are linear in it.

    Examples
    --------
    >>> import torch
    >>> from sparseclust.backbones import UResNetDecoder, UResNetEncoder
    >>> from sparseclust.sparse import SparseTensor
    >>> x = SparseTensor(torch.ones(2, 4), torch.tensor([[0, 7, 7, 7], [0, 7, 7, 8]]))
    >>> encoder = UResNetEncoder(4, base_channels=8, depth=3)
    >>> UResNetDecoder(encoder.channels)(encoder(x))
    SparseTensor(2 voxels, 8 features, ndim=3, stride=1, batch_size=1)
    """

    def __init__(
        self, encoder_channels: Sequence[int], *, reps: int = 2, norm: Norm = "batch", ndim: int = 3
    ) -> None:
        super().__init__()
        if not encoder_channels or reps < 1:
            raise ValueError(
                f"needs one level and one block at least, got {list(encoder_channels)}, reps={reps}"
            )
        steps = list(itertools.pairwise(encoder_channels))[::-1]
        self.out_channels = encoder_channels[0]
        self.acts = nn.ModuleList(norm_act(norm, coarse) for _, coarse in steps)
        self.ups = nn.ModuleList(InverseConv(coarse, fine, ndim=ndim) for fine, coarse in steps)
        self.levels = nn.ModuleList(
            residual_blocks(2 * fine, fine, reps, norm=norm, ndim=ndim) for fine, _ in steps
        )
        self.last = make_norm(norm, self.out_channels)

    def forward(self, pyramid: Sequence[SparseTensor]) -> SparseTensor:
        """Return features on the voxels of ``pyramid[0]``."""
        x = pyramid[-1]
        for skip, act, up, level in zip(pyramid[-2::-1], self.acts, self.ups, self.levels):
            raised = up(act(x), like=skip)
            x = level(skip.with_feats(torch.cat([skip.feats, raised.feats], dim=1)))
        result: SparseTensor = self.last(x)
        return result


class UResNet(nn.Module):
    """Encoder and decoder in one: image to features at full resolution.

    Parameters
    ----------
    in_channels : int
        Features per voxel of the input.
    **encoder_kwargs
        As :class:`UResNetEncoder`; ``reps``, ``norm`` and ``ndim`` also shape the decoder.

    Attributes
    ----------
    out_channels : int
        Features per voxel of the result.

    Examples
    --------
    >>> import torch
    >>> from sparseclust.backbones import UResNet
    >>> from sparseclust.sparse import SparseTensor
    >>> x = SparseTensor(torch.ones(2, 4), torch.tensor([[0, 7, 7, 7], [0, 7, 7, 8]]))
    >>> UResNet(4, base_channels=8, depth=2)(x)
    SparseTensor(2 voxels, 8 features, ndim=3, stride=1, batch_size=1)
    """

    def __init__(self, in_channels: int, **encoder_kwargs: Any) -> None:
        super().__init__()
        shared = {key: encoder_kwargs[key] for key in ("reps", "norm", "ndim") if key in encoder_kwargs}
        self.encoder = UResNetEncoder(in_channels, **encoder_kwargs)
        self.decoder = UResNetDecoder(self.encoder.channels, **shared)
        self.out_channels = self.decoder.out_channels

    def forward(self, x: SparseTensor) -> SparseTensor:
        """Return features on the voxels of ``x``."""
        result: SparseTensor = self.decoder(self.encoder(x))
        return result
