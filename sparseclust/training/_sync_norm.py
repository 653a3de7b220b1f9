"""Batch normalisation over the voxels of all processes."""

from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn import functional

from sparseclust.sparse import BatchNorm, SparseTensor
from sparseclust.training._lightning import lightning
from sparseclust.training._shares import world_size


class SyncBatchNorm(BatchNorm):
    """:class:`sparseclust.sparse.BatchNorm` whose batch in training mode is that of all processes.

    Notes
    -----
    torch's own needs CUDA. Parameters and buffers have the names of BatchNorm's. All processes must call it,
    those without voxels too. Sums over voxels are in float64.
    """

    def forward(self, x: SparseTensor, *, negative_slope: float = 1.0) -> SparseTensor:
        """Do as BatchNorm does."""
        if not self.training or world_size() == 1:
            return super().forward(x, negative_slope=negative_slope)
        norm: Any = self.rows
        feats = x.feats.to(torch.promote_types(x.feats.dtype, torch.float32))
        n, mean, variance = _moments(feats.detach())
        # No host waits for n: where there is no variance, the running one is taken, and stays as it is.
        own = n > 1
        norm.num_batches_tracked.add_(own)
        for running, new in ((norm.running_mean, mean), (norm.running_var, variance * n / (n - 1))):
            running.add_(torch.where(own, norm.momentum * (new - running), 0.0))
        mean = torch.where(own, mean, norm.running_mean)
        root = torch.rsqrt(torch.where(own, variance, norm.running_var) + norm.eps)
        share = torch.where(own, 1 / n, 0.0)
        out = _Normalise.apply(feats, norm.weight, norm.bias, mean, root, share)  # type: ignore[no-untyped-call]
        out = out if negative_slope == 1 else functional.leaky_relu(out, negative_slope)
        return x.with_feats(out.to(x.feats.dtype))


class SyncBatchNorms(lightning.plugins.LayerSync):
    """Lightning's plugin that makes every BatchNorm a SyncBatchNorm while a model trains."""

    def apply(self, model: nn.Module) -> nn.Module:
        """Convert; the layers stay where they are, and keep their parameters."""
        return _converted(model, BatchNorm, SyncBatchNorm)

    def revert(self, model: nn.Module) -> nn.Module:
        """Convert back."""
        return _converted(model, SyncBatchNorm, BatchNorm)


class _Normalise(torch.autograd.Function):
    """``(x - mean) * root * weight + bias``, with the roundings of ``_batch_norm_cpu``.

    Each row had the given share in the mean, 0 where the moments are not those of the rows.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, root: Tensor, share: Tensor
    ) -> Tensor:
        scale = weight * root
        ctx.save_for_backward(x, scale, mean, root, share)
        return x * scale.to(x) + (bias - mean * scale).to(x)

    @staticmethod
    def backward(ctx: Any, upper: Tensor) -> tuple[Tensor | None, ...]:
        x, scale, mean, root, share = ctx.saved_tensors
        sums = torch.stack([_sum(upper), _sum(upper.double() * x)])
        sums[1] = (sums[1] - mean * sums[0]) * root
        bias, weight = sums.to(x, copy=True)
        distributed.all_reduce(sums)
        level, tilt = sums[0] * share, sums[1] * root * share
        flow = upper - level.to(x) - (x - mean.to(x)) * tilt.to(x)
        return scale.to(x) * flow, weight, bias, None, None, None


def _moments(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Rows, mean and variance of the columns, over all processes."""
    count = x.new_full(x.shape[1:], len(x), dtype=torch.float64)
    sums = torch.stack([count, _sum(x), _sum(x.double().square())])
    distributed.all_reduce(sums)
    n = sums[0, 0]
    mean, square = sums[1:] / n
    return n, mean, (square - mean.square()).clamp_min(0)


def _sum(rows: Tensor) -> Tensor:
    return rows.sum(0, dtype=torch.float64)


def _converted(model: nn.Module, old: type[BatchNorm], new: type[BatchNorm]) -> nn.Module:
    for layer in model.modules():
        if type(layer) is old:
            # The two have the same attributes.
            layer.__class__ = new
    return model
