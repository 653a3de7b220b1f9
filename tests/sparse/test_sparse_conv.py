"""The convolution operator: against dense convolutions, its gradients, its registration with torch."""

import itertools

import pytest
import torch
from torch import Tensor, nn

from sparseclust.sparse import (
    InverseConv,
    SparseTensor,
    StridedConv,
    SubmanifoldConv,
    available_engines,
    sparse_conv,
    strided_map,
    submanifold_map,
    use_engine,
)

ENGINES = sorted(name for name, state in available_engines().items() if state == "ok")
DENSE = {1: nn.functional.conv1d, 2: nn.functional.conv2d, 3: nn.functional.conv3d}
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-10}


def dense_conv(image: Tensor, weight: Tensor, *, stride: int, padding: int) -> Tensor:
    """Correlate an image (b, in, *shape) with weights (k0, …, in, out), offset by offset in 4D."""
    ndim = image.ndim - 2
    if ndim in DENSE:
        return DENSE[ndim](image, weight.movedim((-1, -2), (0, 1)), stride=stride, padding=padding)
    image = nn.functional.pad(image, (padding, padding) * ndim)
    size = weight.shape[0]
    count = [(n - size) // stride + 1 for n in image.shape[2:]]
    total = image.new_zeros(len(image), weight.shape[-1], *count)
    for offset in itertools.product(range(size), repeat=ndim):
        cut = tuple(slice(o, o + stride * (n - 1) + 1, stride) for o, n in zip(offset, count))
        total += torch.einsum("bi...,io->bo...", image[(slice(None), slice(None), *cut)], weight[offset])
    return total


def at(image: Tensor, coords: Tensor) -> Tensor:
    """Rows of an image (b, c, *shape) at the voxels."""
    return image.movedim(1, -1)[tuple(coords.long().unbind(1))]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize(("ndim", "size"), [(1, 5), (2, 3), (2, 5), (3, 1), (3, 3), (4, 3)])
def test_submanifold_conv_is_the_masked_dense_one(make_coords, engine, dtype, ndim, size):
    shape = [6] * ndim
    coords = make_coords(ndim, size=6, fill=0.1 if ndim == 4 else 0.3)
    x = SparseTensor(torch.randn(len(coords), 3, dtype=dtype), coords)
    layer = SubmanifoldConv(3, 5, size, ndim=ndim, bias=True).to(dtype)
    nn.init.uniform_(layer.bias)
    with use_engine(engine):
        y = layer(x)
    weight = layer.weight.view(*[size] * ndim, 3, 5)
    expected = at(dense_conv(x.dense(shape), weight, stride=1, padding=size // 2), coords) + layer.bias
    torch.testing.assert_close(y.feats, expected, rtol=0, atol=TOLERANCE[dtype])


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize(("ndim", "stride"), [(1, 3), (2, 2), (3, 2), (3, 3), (4, 2)])
def test_strided_conv_is_the_dense_one_at_occupied_cells(make_coords, engine, dtype, ndim, stride):
    coords = make_coords(ndim, size=6, fill=0.1)
    x = SparseTensor(torch.randn(len(coords), 3, dtype=dtype), coords)
    layer = StridedConv(3, 5, stride, ndim=ndim).to(dtype)
    with use_engine(engine):
        y = layer(x)
    weight = layer.weight.view(*[stride] * ndim, 3, 5)
    image = dense_conv(x.dense([6] * ndim), weight, stride=stride, padding=0)
    torch.testing.assert_close(y.feats, at(image, y.coords), rtol=0, atol=TOLERANCE[dtype])
    assert y.stride == stride
    assert y.batch_size == x.batch_size


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("ndim", "stride"), [(1, 3), (2, 2), (3, 2)])
def test_inverse_conv_is_the_dense_transposed_one(make_coords, engine, ndim, stride):
    transposed = {
        1: nn.functional.conv_transpose1d,
        2: nn.functional.conv_transpose2d,
        3: nn.functional.conv_transpose3d,
    }
    coords = make_coords(ndim, size=6)
    x = SparseTensor(torch.randn(len(coords), 3, dtype=torch.float64), coords)
    layer = InverseConv(4, 5, stride, ndim=ndim, bias=True).double()
    with use_engine(engine):
        middle = StridedConv(3, 4, stride, ndim=ndim).double()(x)
        y = layer(middle, like=x)
    weight = layer.weight.view(*[stride] * ndim, 4, 5).movedim((-2, -1), (0, 1))
    image = transposed[ndim](middle.dense([6 // stride] * ndim), weight, stride=stride)
    torch.testing.assert_close(y.feats, at(image, coords) + layer.bias, rtol=0, atol=1e-10)
    assert y.coords is x.coords


def test_inverse_conv_in_four_dimensions_is_the_adjoint(make_coords):
    coords = make_coords(4, size=4)
    x = SparseTensor(torch.randn(len(coords), 3, dtype=torch.float64), coords)
    down, up = StridedConv(3, 4, ndim=4).double(), InverseConv(4, 3, ndim=4).double()
    up.weight.data = down.weight.data.transpose(1, 2)
    y = down(x)
    z = y.with_feats(torch.randn_like(y.feats))
    torch.testing.assert_close((y.feats * z.feats).sum(), (x.feats * up(z, like=x).feats).sum())


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("kind", ["submanifold", "strided", "inverse"])
def test_gradients(make_coords, engine, kind):
    coords = make_coords(2, size=4, batch=2)
    kernel_map = submanifold_map(coords, 3) if kind == "submanifold" else strided_map(coords, 2)[1]
    kernel_map = kernel_map.transposed() if kind == "inverse" else kernel_map
    feats = torch.randn(kernel_map.n_source, 2, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(kernel_map.volume, 2, 3, dtype=torch.float64, requires_grad=True)

    def conv(feats: Tensor, weight: Tensor) -> Tensor:
        return sparse_conv(feats, weight, kernel_map)

    with use_engine(engine):
        assert torch.autograd.gradcheck(conv, (feats, weight))
        assert torch.autograd.gradgradcheck(conv, (feats, weight))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("n", [0, 1, 30])
def test_opcheck(make_coords, engine, n):
    m = submanifold_map(make_coords(2)[:n], 3)
    feats, weight = torch.randn(n, 2, requires_grad=True), torch.randn(9, 2, 3, requires_grad=True)
    grad = torch.randn(n, 3, requires_grad=True)
    conv = torch.ops.sparseclust.sparse_conv.default
    gradient = torch.ops.sparseclust.sparse_conv_weight_grad.default
    torch.library.opcheck(conv, (feats, weight, m.source, m.target, m.splits, m.n_target, m.centre, engine))
    torch.library.opcheck(gradient, (feats, grad, m.source, m.target, m.splits, m.centre, engine))


@pytest.mark.parametrize(("n_in", "n_out"), [(1, 1), (3, 4), (16, 48), (96, 96)])
def test_engines_agree(make_coords, n_in, n_out):
    coords = make_coords(3)
    results = []
    for engine in ENGINES:
        torch.manual_seed(1)
        x = SparseTensor(torch.randn(len(coords), n_in, requires_grad=True), coords)
        layer = SubmanifoldConv(n_in, n_out)
        with use_engine(engine):
            y = layer(x).feats
            y.square().sum().backward()
        results.append((y, x.feats.grad, layer.weight.grad))
    for other in results[1:]:
        for one, two in zip(results[0], other):
            assert (one - two).abs().max() <= 1e-5 * one.abs().max()


def test_non_contiguous_arguments(make_coords):
    m = submanifold_map(make_coords(3), 3)
    feats = torch.randn(2, m.n_source).T.requires_grad_()
    weight = torch.randn(3, 2, 27).permute(2, 1, 0).requires_grad_()
    expected = sparse_conv(feats.detach().contiguous(), weight.detach().contiguous(), m)
    y = sparse_conv(feats, weight, m)
    assert torch.equal(y, expected)
    y.sum().backward()


def test_feats_without_gradient_get_none(make_coords):
    coords = make_coords(3)
    layer = SubmanifoldConv(2, 2)
    x = SparseTensor(torch.randn(len(coords), 2), coords)
    layer(x).feats.sum().backward()
    assert x.feats.grad is None
    assert layer.weight.grad is not None


@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
def test_autocast_computes_in_half_and_sums_in_float32(make_coords, half):
    coords = make_coords(3, fill=0.9)
    layer = SubmanifoldConv(8, 8)
    x = SparseTensor(torch.randn(len(coords), 8), coords)
    with torch.autocast("cpu", dtype=half):
        y = layer(x)
    assert y.dtype == half
    exact = sparse_conv(x.feats.to(half).double(), layer.weight.to(half).double(), submanifold_map(coords, 3))
    # One rounding per offset and one of the sum, not 27 of a growing sum.
    assert (y.feats.double() - exact).abs().max() < 2 * torch.finfo(half).eps * exact.abs().max()
    y.feats.float().square().sum().backward()
    assert layer.weight.grad.dtype == torch.float32


# Choosing the engine breaks the graph; torch then looks at .grad of what flows over the break, and warns.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
def test_a_compiled_function_around_the_operator(make_coords):
    m = submanifold_map(make_coords(3), 3)
    feats, weight = torch.randn(m.n_source, 2, requires_grad=True), torch.randn(27, 2, 3)

    def around(feats: Tensor) -> Tensor:
        return torch.relu(sparse_conv(feats * 2, weight, m)).sum()

    expected = torch.autograd.grad(around(feats), feats)[0]
    compiled = torch.compile(around, backend="aot_eager")
    torch.testing.assert_close(torch.autograd.grad(compiled(feats), feats)[0], expected)


def test_bad_arguments_are_refused(make_coords):
    m = submanifold_map(make_coords(3), 3)
    feats, weight = torch.zeros(m.n_source, 2), torch.zeros(27, 2, 3)
    with pytest.raises(ValueError, match="feats must have shape"):
        sparse_conv(feats[1:], weight, m)
    with pytest.raises(ValueError, match="weight must have shape"):
        sparse_conv(feats, weight[1:], m)
    with pytest.raises(ValueError, match="cast one"):
        sparse_conv(feats, weight.double(), m)
    with pytest.raises(ValueError, match="meta"):
        sparse_conv(feats.to("meta"), weight, m)
