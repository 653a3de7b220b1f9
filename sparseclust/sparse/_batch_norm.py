"""Batch normalisation and a LeakyReLU behind it."""

import importlib

import torch
from torch import Tensor, nn
from torch.nn import functional


def batch_norm_act(x: Tensor, norm: nn.BatchNorm1d, slope: float) -> Tensor:
    """``leaky_relu(norm(x), slope)``; a slope of 1 leaves the activation out.

    With fewer than two rows there is no variance: the running statistics are used, and stay as they are.
    """
    if not _is_compiled(x, norm):
        return batch_norm_act_reference(x, norm, slope)
    # Loads numba: not before it is needed.
    compiled = importlib.import_module("sparseclust.sparse._batch_norm_cpu")
    out: Tensor = compiled.batch_norm_act(x, norm, slope)
    return out


def batch_norm_act_reference(x: Tensor, norm: nn.BatchNorm1d, slope: float) -> Tensor:
    """Do the same by torch's own functions, on any device and in any type."""
    if len(x) > 1:
        out: Tensor = norm(x)
    else:
        mean, variance = norm.running_mean, norm.running_var
        out = functional.batch_norm(x, mean, variance, norm.weight, norm.bias, training=False, eps=norm.eps)
    return out if slope == 1 else functional.leaky_relu(out, slope)


def _is_compiled(x: Tensor, norm: nn.BatchNorm1d) -> bool:
    """Whether the compiled passes know this case; ``torch.compile`` fuses torch's own functions by itself."""
    return (
        x.device.type == "cpu"
        and x.dtype in (torch.float32, torch.float64)
        and x.numel() > 0
        and type(norm) is nn.BatchNorm1d
        and norm.affine
        and norm.weight.dtype == x.dtype
        and norm.track_running_stats
        and norm.momentum is not None
        and not torch.compiler.is_compiling()
    )
