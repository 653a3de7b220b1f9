"""Tensors to arrays and back. The only file of this subpackage that imports torch."""

from typing import Any

import numpy.typing as npt
import torch


def to_numpy(tensor: torch.Tensor) -> npt.NDArray[Any]:
    """Values of a tensor, off the graph and on the host; half precision becomes float32, exactly."""
    if tensor.dtype in (torch.float16, torch.bfloat16):
        tensor = tensor.float()
    array: npt.NDArray[Any] = tensor.detach().cpu().numpy()
    return array


def from_numpy(array: npt.NDArray[Any], device: torch.device) -> torch.Tensor:
    """Tensor of the same values on a device."""
    return torch.from_numpy(array).to(device)
