"""The sparse convolution as a torch operator, differentiable any number of times."""

from typing import Any

import torch
from torch import Tensor

from sparseclust._eager import eager
from sparseclust.sparse._maps import KernelMap
from sparseclust.sparse.engines import Pairs, load_engine, select_engine


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
    are cast to the autocast type. Half types are multiplied in that type, and summed over the offsets in
    float32.

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
    m, engine = kernel_map, select_engine(feats.device)
    plan = m.plan(engine)
    # A symmetric map is its own way back.
    back = m.transposed().plan(engine) if m.centre < 0 and feats.requires_grad else None
    out: Tensor = _convolve(
        feats, weight, m.source, m.target, m.splits, m.n_target, m.centre, engine.name, plan, back
    )
    return out


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


# The engine travels by name, so that the backward pass, which may run in another thread, uses the same one.
@torch.library.custom_op("sparseclust::sparse_conv", mutates_args=())
def _convolve(
    feats: Tensor,
    weight: Tensor,
    source: Tensor,
    target: Tensor,
    splits: Tensor,
    n_target: int,
    centre: int,
    engine: str,
    plan: Tensor | None = None,
    back: Tensor | None = None,
) -> Tensor:
    pairs = Pairs(source, target, splits, plan)
    return load_engine(engine).convolve(feats, weight, pairs, n_target, centre)


@torch.library.custom_op("sparseclust::sparse_conv_weight_grad", mutates_args=())
def _weight_gradient(
    feats: Tensor,
    grad: Tensor,
    source: Tensor,
    target: Tensor,
    splits: Tensor,
    centre: int,
    engine: str,
    plan: Tensor | None = None,
    back: Tensor | None = None,
) -> Tensor:
    return load_engine(engine).weight_gradient(feats, grad, Pairs(source, target, splits, plan), centre)


@_convolve.register_fake
def _(
    feats: Tensor,
    weight: Tensor,
    source: Tensor,
    target: Tensor,
    splits: Tensor,
    n_target: int,
    centre: int,
    engine: str,
    plan: Tensor | None = None,
    back: Tensor | None = None,
) -> Tensor:
    return feats.new_empty(n_target, weight.shape[2])


@_weight_gradient.register_fake
def _(
    feats: Tensor,
    grad: Tensor,
    source: Tensor,
    target: Tensor,
    splits: Tensor,
    centre: int,
    engine: str,
    plan: Tensor | None = None,
    back: Tensor | None = None,
) -> Tensor:
    return feats.new_empty(splits.shape[0] - 1, feats.shape[1], grad.shape[1])


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    """Both operators: two differentiable tensors, the map's three, plain values, the map's two plans."""
    ctx.save_for_backward(*inputs[:5], *inputs[-2:])
    ctx.centre, ctx.engine = inputs[-4:-2]


def _convolve_backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    feats, weight, *pairs = ctx.saved_tensors
    dfeats = dweight = None
    if ctx.needs_input_grad[0]:
        dfeats = _back(ctx, grad, weight, pairs, feats.shape[0])
    if ctx.needs_input_grad[1]:
        source, target, splits, plan, back = pairs
        dweight = _weight_gradient(feats, grad, source, target, splits, ctx.centre, ctx.engine, plan, back)
    return dfeats, dweight, *[None] * 8


def _weight_gradient_backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    feats, upper, *pairs = ctx.saved_tensors
    dfeats = dupper = None
    if ctx.needs_input_grad[0]:
        dfeats = _back(ctx, upper, grad, pairs, feats.shape[0])
    if ctx.needs_input_grad[1]:
        dupper = _forth(ctx, feats, grad, pairs, upper.shape[0])
    return dfeats, dupper, *[None] * 7


def _forth(ctx: Any, feats: Tensor, weight: Tensor, pairs: list[Tensor], n_target: int) -> Tensor:
    source, target, splits, plan, back = pairs
    out: Tensor = _convolve(
        feats, weight, source, target, splits, n_target, ctx.centre, ctx.engine, plan, back
    )
    return out


def _back(ctx: Any, grad: Tensor, weight: Tensor, pairs: list[Tensor], n_source: int) -> Tensor:
    """Convolve the other way. A symmetric map is its own way back, with mirrored weights."""
    source, target, splits, plan, back = pairs
    weight = weight.transpose(1, 2)
    if ctx.centre >= 0:
        return _forth(ctx, grad, weight.flip(0), pairs, n_source)
    return _forth(ctx, grad, weight, [target, source, splits, back, plan], n_source)


_convolve.register_autograd(_convolve_backward, setup_context=_keep)
_weight_gradient.register_autograd(_weight_gradient_backward, setup_context=_keep)
