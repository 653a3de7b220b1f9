"""Batch normalisation and a LeakyReLU behind it in two passes over the features, and two on the way back."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from sparseclust.sparse import _kernels
from sparseclust.sparse.engines._threads import in_threads, threads_for

_Vector = npt.NDArray[np.float64]
_Moments = tuple[_Vector, _Vector]
_NUMBERS_PER_THREAD = 2**16


def batch_norm_act(x: Tensor, norm: nn.BatchNorm1d, slope: float) -> Tensor:
    """As the function of this name in ``_batch_norm``, for the layers and types that it sends here."""
    own = norm.training and len(x) > 1
    if own:
        moments = _moments(x)
        _follow(norm, moments, len(x))
    else:
        moments = _running(norm)
    out: Tensor = _NormAct.apply(  # type: ignore[no-untyped-call]
        x, norm.weight, norm.bias, moments, norm.eps, slope, own
    )
    return out


class _NormAct(torch.autograd.Function):
    """``leaky((x - mean) / sqrt(variance + eps) * weight + bias)``; ``own``: the moments are those of x."""

    # Infinities and NaN pass through as they do in torch: without a warning.
    @staticmethod
    @np.errstate(all="ignore")
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        moments: _Moments,
        eps: float,
        slope: float,
        own: bool,
    ) -> Tensor:
        ctx.save_for_backward(x, weight, bias)
        ctx.constants = moments, eps, slope, own
        scale, shift = _coefficients(weight, bias, moments, eps)
        rows = x.detach().contiguous().numpy()
        out = np.empty_like(rows)
        _over_rows(lambda low, high: _kernels.transform(rows, scale, shift, slope, low, high, out), rows)
        return torch.from_numpy(out)

    @staticmethod
    def backward(ctx: Any, upper: Tensor) -> tuple[Tensor | None, ...]:
        saved = ctx.saved_tensors  # once only: torch.utils.checkpoint hands them out one time
        wanted = [t for t, needed in zip(saved, ctx.needs_input_grad) if needed]
        if torch.is_grad_enabled():  # somebody differentiates once more
            found = iter(torch.autograd.grad(_by_torch(ctx, *saved), wanted, upper, create_graph=True))
        else:
            found = (t for t, needed in zip(_gradients(ctx, upper, *saved), ctx.needs_input_grad) if needed)
        return *(next(found) if needed else None for needed in ctx.needs_input_grad[:3]), *[None] * 4


def _by_torch(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    moments, eps, slope, own = ctx.constants
    mean, variance = (None, None) if own else (torch.from_numpy(a).to(x.dtype) for a in moments)
    out = functional.batch_norm(x, mean, variance, weight, bias, training=own, eps=eps)
    return functional.leaky_relu(out, slope)


@np.errstate(all="ignore")
def _gradients(
    ctx: Any, upper: Tensor, x: Tensor, weight: Tensor, bias: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of the rows, the weight and the bias."""
    (mean, variance), eps, slope, own = ctx.constants
    scale, shift = _coefficients(weight, bias, (mean, variance), eps)
    rows, uppers = (t.detach().contiguous().numpy() for t in (x, upper))
    total, product = _sums(
        lambda *args: _kernels.gradient_sums(rows, uppers, scale, shift, slope, *args), rows
    )
    dweight = (product - mean * total) / np.sqrt(variance + eps)
    level, tilt = total / len(rows) * own, dweight / np.sqrt(variance + eps) / len(rows) * own
    out = np.empty_like(rows)
    _over_rows(
        lambda low, high: _kernels.gradient(
            rows, uppers, scale, shift, slope, mean, level, tilt, low, high, out
        ),
        rows,
    )
    return torch.from_numpy(out), torch.from_numpy(dweight).to(x.dtype), torch.from_numpy(total).to(x.dtype)


def _coefficients(weight: Tensor, bias: Tensor, moments: _Moments, eps: float) -> tuple[_Vector, _Vector]:
    """Return ``a`` and ``b`` such that the normalised rows are ``a * x + b``."""
    mean, variance = moments
    scale = weight.detach().numpy() / np.sqrt(variance + eps)
    return scale, bias.detach().numpy() - mean * scale


@np.errstate(all="ignore")
def _moments(x: Tensor) -> _Moments:
    """Return mean and variance of each column, summed in float64."""
    rows = x.detach().contiguous().numpy()
    mean, square = _sums(lambda *args: _kernels.sums(rows, *args), rows) / len(rows)
    return mean, np.maximum(square - mean * mean, 0)


def _running(norm: Any) -> _Moments:
    return norm.running_mean.double().numpy(), norm.running_var.double().numpy()


def _follow(norm: Any, moments: _Moments, n: int) -> None:
    """Move the running statistics towards those of a batch of n rows."""
    mean, variance = moments
    for running, now in ((norm.running_mean, mean), (norm.running_var, variance * (n / (n - 1)))):
        running.lerp_(torch.from_numpy(now).to(running.dtype), norm.momentum)
    norm.num_batches_tracked.add_(1)


def _sums(work: Callable[..., None], rows: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Add up the sums of fixed blocks of rows, in order: the number of threads changes nothing."""
    parts = np.empty((_kernels.partial_sums(len(rows)), 2, rows.shape[1]))
    threads = threads_for(rows.size, _NUMBERS_PER_THREAD)
    in_threads(lambda t: work(t, threads, parts), threads)
    total: npt.NDArray[np.float64] = parts.sum(axis=0)
    return total


def _over_rows(work: Callable[[int, int], None], rows: npt.NDArray[Any]) -> None:
    threads = threads_for(rows.size, _NUMBERS_PER_THREAD)
    edges = [len(rows) * t // threads for t in range(threads + 1)]
    in_threads(lambda t: work(edges[t], edges[t + 1]), threads)
