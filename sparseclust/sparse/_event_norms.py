"""Norms whose statistics belong to one event."""

import torch
from torch import Tensor, nn

from sparseclust.sparse._tensor import SparseTensor


class GroupNorm(nn.Module):
    """:class:`torch.nn.GroupNorm` over the voxels of each event.

    Parameters
    ----------
    num_groups : int
        The features are divided into so many equal groups, normalised one by one.
    num_channels : int
        Features per voxel.
    eps : float
        Added to the variance.
    affine : bool
        Learn a factor and a shift per feature.

    Raises
    ------
    ValueError
        If the groups do not divide the features.

    Notes
    -----
    ``y = (x - mean) / sqrt(var + eps) * weight + bias``, mean and (biased) variance over the voxels of one
    event and the features of one group, in training and evaluation alike: an event does not depend on the
    others of its batch. Where all these values are one number, as for an event of one voxel in groups of one
    feature, the result is ``bias``. Sums run in float64.

    References
    ----------
    Wu, He, "Group Normalization", 1803.08494.

    Examples
    --------
    >>> import torch
    >>> from sparseclust.sparse import GroupNorm, SparseTensor
    >>> x = SparseTensor(torch.tensor([[1.0], [3.0], [9.0]]), torch.tensor([[0, 5], [0, 6], [1, 5]]))
    >>> GroupNorm(1, 1, eps=0.0)(x.select(x.coords[:, 0] == 0)).feats.tolist()
    [[-1.0], [1.0]]
    """

    def __init__(self, num_groups: int, num_channels: int, *, eps: float = 1e-5, affine: bool = True) -> None:
        super().__init__()
        if num_groups < 1 or num_channels < 1 or num_channels % num_groups:
            raise ValueError(f"num_groups must divide num_channels, got {num_groups} and {num_channels}")
        self.num_groups = num_groups
        self.num_channels = num_channels
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(num_channels)) if affine else None
        self.bias = nn.Parameter(torch.zeros(num_channels)) if affine else None

    def extra_repr(self) -> str:
        """Show the arguments."""
        affine = self.weight is not None
        return f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={affine}"

    def forward(self, x: SparseTensor) -> SparseTensor:
        """Normalise the features of ``x``."""
        if x.feats.shape[1] != self.num_channels:
            raise ValueError(f"the layer takes {self.num_channels} features, got {x!r}")
        event = x.coords[:, 0].long()
        groups = x.feats.to(torch.promote_types(x.dtype, torch.float32))
        groups = groups.reshape(len(x), self.num_groups, self.num_channels // self.num_groups)
        centred = groups - _event_means(groups, event, x.batch_size)
        variance = _event_means(centred.square(), event, x.batch_size)
        feats = (centred * (variance + self.eps).rsqrt()).flatten(1)
        if self.weight is not None and self.bias is not None:
            feats = feats * self.weight + self.bias
        return x.with_feats(feats.to(x.dtype))


class InstanceNorm(GroupNorm):
    """:class:`torch.nn.InstanceNorm1d` over the voxels of each event: groups of one feature.

    Parameters
    ----------
    num_features : int
        Features per voxel.
    eps : float
        Added to the variance.
    affine : bool
        Learn a factor and a shift per feature.

    Raises
    ------
    ValueError
        If there is no feature.

    Notes
    -----
    An event of one voxel becomes ``bias``, or zero; torch refuses it in training.

    References
    ----------
    Ulyanov, Vedaldi, Lempitsky, "Instance Normalization", 1607.08022.

    Examples
    --------
    >>> import torch
    >>> from sparseclust.sparse import InstanceNorm, SparseTensor
    >>> x = SparseTensor(torch.tensor([[1.0], [3.0], [9.0]]), torch.tensor([[0, 5], [0, 6], [1, 5]]))
    >>> InstanceNorm(1, eps=0.0)(x.select(x.coords[:, 0] == 0)).feats.tolist()
    [[-1.0], [1.0]]
    """

    def __init__(self, num_features: int, *, eps: float = 1e-5, affine: bool = False) -> None:
        super().__init__(num_features, num_features, eps=eps, affine=affine)

    def extra_repr(self) -> str:
        """Show the arguments."""
        return f"{self.num_channels}, eps={self.eps}, affine={self.weight is not None}"


def _event_means(groups: Tensor, event: Tensor, batch_size: int) -> Tensor:
    """Mean of (n, g, c) over the rows of an event and over c, for each row (n, g, 1)."""
    sums = groups.new_zeros(batch_size, groups.shape[1], dtype=torch.float64)
    sums = sums.index_add(0, event, groups.sum(dim=2, dtype=torch.float64))
    count = torch.bincount(event, minlength=batch_size).clamp(min=1) * groups.shape[2]
    means = (sums / count[:, None]).index_select(0, event)
    return means[:, :, None].to(groups.dtype)
