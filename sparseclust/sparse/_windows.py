"""Which input sites an output site sees."""

import itertools
import math
import operator
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

PerAxis = int | Sequence[int]


class Window(NamedTuple):
    """Offsets ``dilation * j - padding``, j from 0 to ``kernel_size - 1``, around ``stride`` times a site."""

    kernel_size: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    padding: tuple[int, ...]

    @classmethod
    def of(
        cls,
        ndim: int,
        *,
        kernel_size: PerAxis | None = None,
        stride: PerAxis,
        dilation: PerAxis = 1,
        padding: PerAxis = 0,
    ) -> "Window":
        """Window on a coarser grid; without a kernel size, the sites of one coarse cell."""
        return cls(
            per_axis("kernel_size", stride if kernel_size is None else kernel_size, ndim),
            per_axis("stride", stride, ndim),
            per_axis("dilation", dilation, ndim),
            per_axis("padding", padding, ndim, positive=False),
        )

    @classmethod
    def centred(cls, ndim: int, kernel_size: PerAxis, dilation: PerAxis = 1) -> "Window":
        """Window around a site of the same grid; an even edge reaches one step further up than down."""
        sizes, steps = per_axis("kernel_size", kernel_size, ndim), per_axis("dilation", dilation, ndim)
        reach = tuple((size - 1) // 2 * step for size, step in zip(sizes, steps))
        return cls(sizes, (1,) * ndim, steps, reach)

    @property
    def volume(self) -> int:
        """Number of offsets."""
        return math.prod(self.kernel_size)

    def offsets(self) -> Tensor:
        """Return the offsets (volume, ndim) int64, lexicographic, the last axis fastest."""
        axes = [
            range(-first, size * step - first, step)
            for size, step, first in zip(self.kernel_size, self.dilation, self.padding)
        ]
        return torch.tensor(list(itertools.product(*axes)), dtype=torch.int64)


def per_axis(name: str, value: PerAxis, ndim: int, *, positive: bool = True) -> tuple[int, ...]:
    """One whole number per axis, from such a sequence or from one number for all."""
    values = value if isinstance(value, Sequence) else (value,) * ndim
    whole = tuple(operator.index(v) for v in values)
    if len(whole) != ndim or (positive and min(whole) < 1):
        wanted = "positive" if positive else "whole"
        raise ValueError(f"{name} must be {wanted}, one number or one per axis ({ndim}), got {value!r}")
    return whole


def collapse(values: tuple[int, ...]) -> int | tuple[int, ...]:
    """One number where all axes agree."""
    return values[0] if len(set(values)) == 1 else values
