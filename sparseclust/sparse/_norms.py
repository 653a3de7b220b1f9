"""Layers that treat every voxel alike: the torch layers, applied to the features."""

from typing import Literal

import torch
from torch import Tensor, nn

from sparseclust.sparse._batch_norm import batch_norm_act
from sparseclust.sparse._tensor import SparseTensor


class Sequential(nn.Sequential):
    """:class:`torch.nn.Sequential`: layers that take and return a sparse tensor, one after the other."""


class _PerVoxel(nn.Module):
    """Apply a torch module to the features; its parameters are found under ``rows``."""

    def __init__(self, rows: nn.Module) -> None:
        super().__init__()
        self.rows = rows

    def forward(self, x: SparseTensor) -> SparseTensor:
        """Transform the features of ``x``."""
        return x.with_feats(self.rows(x.feats))


class Linear(_PerVoxel):
    """:class:`torch.nn.Linear` on every voxel."""

    def __init__(self, in_features: int, out_features: int, *, bias: bool = True) -> None:
        super().__init__(nn.Linear(in_features, out_features, bias=bias))


class LayerNorm(_PerVoxel):
    """:class:`torch.nn.LayerNorm` over the features of each voxel."""

    def __init__(self, num_features: int, *, eps: float = 1e-5) -> None:
        super().__init__(nn.LayerNorm(num_features, eps=eps))


class LeakyReLU(_PerVoxel):
    """:class:`torch.nn.LeakyReLU` on every feature."""

    def __init__(self, negative_slope: float = 0.01) -> None:
        super().__init__(nn.LeakyReLU(negative_slope))
        self.negative_slope = negative_slope


class ReLU(_PerVoxel):
    """:class:`torch.nn.ReLU` on every feature."""

    def __init__(self) -> None:
        super().__init__(nn.ReLU())


class Dropout(_PerVoxel):
    """:class:`torch.nn.Dropout` on every feature."""

    def __init__(self, p: float = 0.5) -> None:
        super().__init__(nn.Dropout(p))


class BatchNorm(_PerVoxel):
    """:class:`torch.nn.BatchNorm1d` over all voxels of the batch.

    Parameters
    ----------
    num_features : int
    eps, momentum : float
        As in torch.

    Notes
    -----
    A variance needs two voxels. With fewer, training mode uses the running statistics and leaves them as
    they are: an empty event or a level that shrank to one voxel must not stop a training run.

    Examples
    --------
    >>> import torch
    >>> from sparseclust.sparse import BatchNorm, SparseTensor
    >>> x = SparseTensor(torch.ones(1, 4), torch.tensor([[0, 7, 7, 7]]))
    >>> BatchNorm(4)(x).feats.shape
    torch.Size([1, 4])
    """

    rows: nn.BatchNorm1d

    def __init__(self, num_features: int, *, eps: float = 1e-5, momentum: float = 0.1) -> None:
        super().__init__(nn.BatchNorm1d(num_features, eps=eps, momentum=momentum))

    def forward(self, x: SparseTensor, *, negative_slope: float = 1.0) -> SparseTensor:
        """Normalise the features of ``x``, and apply a LeakyReLU in the same pass if its slope is given."""
        return x.with_feats(batch_norm_act(x.feats, self.rows, negative_slope))


class GlobalPool(nn.Module):
    """Pool the voxels of each event into one row.

    Parameters
    ----------
    mode : {"mean", "sum", "max"}

    Raises
    ------
    ValueError
        If the mode has another name.

    Notes
    -----
    An event without voxels gives zeros in every mode.

    Examples
    --------
    >>> import torch
    >>> from sparseclust.sparse import GlobalPool, SparseTensor
    >>> x = SparseTensor(torch.ones(2, 1), torch.tensor([[0, 1], [0, 2]]), batch_size=2)
    >>> GlobalPool("sum")(x).tolist()
    [[2.0], [0.0]]
    """

    def __init__(self, mode: Literal["mean", "sum", "max"] = "mean") -> None:
        super().__init__()
        if mode not in ("mean", "sum", "max"):
            raise ValueError(f"mode must be 'mean', 'sum' or 'max', got {mode!r}")
        self.mode = mode

    def forward(self, x: SparseTensor) -> Tensor:
        """Return one row per event (batch_size, c)."""
        index = x.coords[:, :1].long().expand_as(x.feats)
        zeros = x.feats.new_zeros(x.batch_size, x.feats.shape[1])
        reduce = "amax" if self.mode == "max" else self.mode
        return torch.scatter_reduce(zeros, 0, index, x.feats, reduce, include_self=False)
