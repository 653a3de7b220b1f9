"""The sparse convolution, differentiable any number of times."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from sparseclust._eager import eager
from sparseclust.sparse._maps import KernelMap
from sparseclust.sparse.engines import Engine, Pairs, select_engine


@eager
def sparse_conv(feats: Tensor, weight: Tensor, kernel_map: KernelMap) -> Tensor:
    """Convolve the features of occupied sites.

    Parameters
    ----------
    feats : (n_source, in) float
        Rows in the order of the map's input coordinates.
    weight : (k, in, out) float
        One matrix per kernel offset, in the order of ``kernel_map.offsets``; same dtype and device.
    kernel_map : KernelMap

    Returns
    -------
    (n_target, out) float
        ``y[o] = sum_k sum_{(i, o) in pairs k} feats[i] @ weight[k]``; zero where no pair leads.

    Raises
    ------
    ValueError
        If shapes, dtypes or devices do not agree.

    Notes
    -----
    Costs ``2 * pairs * in * out`` operations; each gradient costs the same. Under autocast both arguments
    are cast to the autocast type. Half types are summed over the offsets in float32.

    Examples
    --------
    >>> import torch
    >>> from sparseclust.sparse import sparse_conv, submanifold_map
    >>> kernel_map = submanifold_map(torch.tensor([[0, 4], [0, 5], [1, 6]]), 3)
    >>> sparse_conv(torch.tensor([[1.0], [10.0], [100.0]]), torch.ones(3, 1, 1), kernel_map).tolist()
    [[11.0], [11.0], [100.0]]
    """
    _check(feats, weight, kernel_map)
    kind = feats.device.type
    if torch.is_autocast_enabled(kind):
        feats, weight = (t.to(torch.get_autocast_dtype(kind)) for t in (feats, weight))
    if feats.dtype != weight.dtype:
        raise ValueError(
            f"feats are {feats.dtype} and weight is {weight.dtype}: cast one of them, or use autocast"
        )
    way = _Way.along(kernel_map, select_engine(feats.device), both=feats.requires_grad)
    return _apply(_Convolve, feats, weight, way)


def _check(feats: Tensor, weight: Tensor, kernel_map: KernelMap) -> None:
    if feats.ndim != 2 or len(feats) != kernel_map.n_source:
        raise ValueError(f"feats must have shape ({kernel_map.n_source}, in), got {tuple(feats.shape)}")
    if weight.ndim != 3 or weight.shape[:2] != (kernel_map.volume, feats.shape[1]):
        raise ValueError(
            f"weight must have shape ({kernel_map.volume}, {feats.shape[1]}, out), got {tuple(weight.shape)}"
        )
    if not feats.device == weight.device == kernel_map.source.device:
        raise ValueError(
            f"feats are on {feats.device}, weight on {weight.device}, "
            f"the kernel map on {kernel_map.source.device}"
        )


class _Way(NamedTuple):
    """A kernel map for the engine that multiplies along it; the backward pass uses the same engine."""

    engine: Engine
    pairs: Pairs
    n_source: int
    n_target: int
    centre: int
    plan_back: Tensor | None

    @classmethod
    def along(cls, kernel_map: KernelMap, engine: Engine, *, both: bool) -> "_Way":
        m = kernel_map
        pairs = Pairs(m.source, m.target, m.splits, m.plan(engine))
        # A symmetric map is its own way back.
        plan_back = m.transposed().plan(engine) if both and m.centre < 0 else None
        return cls(engine, pairs, m.n_source, m.n_target, m.centre, plan_back)

    def back(self) -> "_Way":
        source, target, splits, plan = self.pairs
        if self.centre >= 0:
            return self
        pairs = Pairs(target, source, splits, self.plan_back)
        return _Way(self.engine, pairs, self.n_target, self.n_source, self.centre, plan)

    def weight_back(self, weight: Tensor) -> Tensor:
        """Weights of the way back; those of a symmetric map are mirrored."""
        weight = weight.transpose(1, 2)
        return weight.flip(0) if self.centre >= 0 else weight


# Each gradient is one of these two products again, so gradients have gradients.
class _Convolve(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, feats: Tensor, weight: Tensor, way: _Way) -> Tensor:
        ctx.save_for_backward(feats, weight)
        ctx.way = way
        return way.engine.convolve(feats, weight, way.pairs, way.n_target, way.centre)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        (feats, weight), way = ctx.saved_tensors, ctx.way
        dfeats = dweight = None
        if ctx.needs_input_grad[0]:
            dfeats = _apply(_Convolve, grad, way.weight_back(weight), way.back())
        if ctx.needs_input_grad[1]:
            dweight = _apply(_WeightGradient, feats, grad, way)
        return dfeats, dweight, None


class _WeightGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, feats: Tensor, upper: Tensor, way: _Way) -> Tensor:
        ctx.save_for_backward(feats, upper)
        ctx.way = way
        return way.engine.weight_gradient(feats, upper, way.pairs, way.centre)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        (feats, upper), way = ctx.saved_tensors, ctx.way
        dfeats = dupper = None
        if ctx.needs_input_grad[0]:
            dfeats = _apply(_Convolve, upper, way.weight_back(grad), way.back())
        if ctx.needs_input_grad[1]:
            dupper = _apply(_Convolve, feats, grad, way)
        return dfeats, dupper, None


def _apply(function: Any, a: Tensor, b: Tensor, way: _Way) -> Tensor:
    out: Tensor = function.apply(a, b, way)
    return out
