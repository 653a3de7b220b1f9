"""Batch normalisation and a LeakyReLU behind it in two passes over the features, and two on the way back."""

from typing import Any

import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from sparseclust.sparse import _kernels
from sparseclust.sparse.engines._threads import empty_rows, parallel, threads_for

_Matrix = npt.NDArray[Any]
_NUMBERS_PER_THREAD = 2**13


def batch_norm_act(x: Tensor, norm: nn.BatchNorm1d, slope: float) -> Tensor:
    """As the function of this name in ``_batch_norm``, for the layers and types that it sends here."""
    own = norm.training and len(x) > 1
    moments = _follow(norm, x) if own else _running(norm)
    out: Tensor = _NormAct.apply(  # type: ignore[no-untyped-call]
        x, norm.weight, norm.bias, moments, norm.eps, slope, own
    )
    return out


class _NormAct(torch.autograd.Function):
    """``leaky((x - mean) / sqrt(variance + eps) * weight + bias)``, ``own``: by its own moments."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        moments: _Matrix,
        eps: float,
        slope: float,
        own: bool,
    ) -> Tensor:
        line = _kernels.coefficients(moments, weight.detach().numpy(), bias.detach().numpy(), eps)
        ctx.save_for_backward(x, weight, bias)
        ctx.constants = moments, eps, slope, own, line
        rows = _rows(x)
        out = empty_rows(len(rows), rows.shape[1], rows.dtype)
        _kernels.transform(parallel(), _threads(rows), rows, line, slope, out)
        return torch.from_numpy(out)

    @staticmethod
    def backward(ctx: Any, upper: Tensor) -> tuple[Tensor | None, ...]:
        saved = ctx.saved_tensors
        if not torch.is_grad_enabled():
            return *_gradients(ctx, saved[0], upper), *[None] * 4
        # Somebody differentiates once more.
        wanted = [t for t, needed in zip(saved, ctx.needs_input_grad) if needed]
        found = iter(torch.autograd.grad(_by_torch(ctx, *saved), wanted, upper, create_graph=True))
        return *(next(found) if needed else None for needed in ctx.needs_input_grad[:3]), *[None] * 4


def _by_torch(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    moments, eps, slope, own, _ = ctx.constants
    mean, variance = (None, None) if own else torch.from_numpy(moments).to(x.dtype)
    out = functional.batch_norm(x, mean, variance, weight, bias, training=own, eps=eps)
    return functional.leaky_relu(out, slope)


def _gradients(ctx: Any, x: Tensor, upper: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of the rows, the weight and the bias."""
    moments, eps, slope, own, line = ctx.constants
    rows, uppers = _rows(x), _rows(upper)
    out = empty_rows(len(rows), rows.shape[1], rows.dtype)
    found = _kernels.gradients(parallel(), _threads(rows), rows, uppers, line, slope, moments, eps, own, out)
    dweight, dbias = found.astype(rows.dtype)
    return torch.from_numpy(out), torch.from_numpy(dweight), torch.from_numpy(dbias)


def _running(norm: Any) -> _Matrix:
    return torch.stack([norm.running_mean, norm.running_var]).double().numpy()


def _follow(norm: Any, x: Tensor) -> _Matrix:
    """Return mean and variance of the columns, and move the running ones towards them."""
    rows = _rows(x)
    norm.num_batches_tracked.add_(1)
    # In place and unseen by autograd, as in torch: a graph of an earlier call may have saved them.
    running = norm.running_mean.numpy(), norm.running_var.numpy()
    found: _Matrix = _kernels.moments(parallel(), _threads(rows), rows, norm.momentum, *running)
    return found


def _rows(x: Tensor) -> _Matrix:
    return x.detach().contiguous().numpy()


def _threads(rows: _Matrix) -> int:
    return threads_for(rows.size, _NUMBERS_PER_THREAD)
