"""Tensor in, tensor out: public functions are written for NumPy arrays and wrapped once, here."""

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeAlias

import numpy as np
import numpy.typing as npt

P = ParamSpec("P")

# What the public functions take and return: anything that NumPy turns into an array, or a torch.Tensor.
# Its type cannot be named here, where torch may be missing.
Array: TypeAlias = Any


def accepts_tensors(function: Callable[P, npt.NDArray[Any]]) -> Callable[P, Array]:
    """Let a function of arrays take tensors; the result then is a tensor on the device of the first one."""

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> Array:
        values: list[Any] = [*args, *kwargs.values()]
        tensor = first_tensor(*values)
        if tensor is None:
            return function(*args, **kwargs)
        from sparseclust.clustering import _torch

        arrays: list[Any] = [_torch.to_numpy(v) if _is_tensor(v) else v for v in values]
        named = dict(zip(kwargs, arrays[len(args) :]))
        result = function(*arrays[: len(args)], **named)
        return _torch.from_numpy(np.ascontiguousarray(result), tensor.device)

    return wrapper


def first_tensor(*values: Any) -> Any:
    """Return the first tensor among the values, or None."""
    return next((v for v in values if _is_tensor(v)), None)


def stays_on_device(backend: str, tensor: Any) -> bool:
    """Whether a backend works on tensors where they are, rather than on the arrays of the host.

    Left to itself on CUDA alone: the labels need float64, which not every other device has.
    """
    return backend == "torch" or (backend == "auto" and tensor.is_cuda)


def on_host(values: Array) -> npt.NDArray[Any]:
    """Return arrays as they are, and tensors as arrays."""
    if not _is_tensor(values):
        return np.asarray(values)
    from sparseclust.clustering import _torch

    return _torch.to_numpy(values)


def _is_tensor(value: object) -> bool:
    return type(value).__module__.startswith("torch")
