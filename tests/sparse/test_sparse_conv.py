"""The convolution operator: against dense convolutions, its gradients, its registration with torch."""

import itertools

import pytest
import torch
from torch import Tensor, nn

from sparseclust.sparse import (
    GenerativeConv,
    InverseConv,
    SparseTensor,
    StridedConv,
    SubmanifoldConv,
    available_engines,
    generative_map,
    sparse_conv,
    strided_map,
    submanifold_map,
    use_engine,
)

ENGINES = sorted(name for name, state in available_engines().items() if state == "ok")
DENSE = {1: nn.functional.conv1d, 2: nn.functional.conv2d, 3: nn.functional.conv3d}
DENSE_TRANSPOSED = {
    1: nn.functional.conv_transpose1d,
    2: nn.functional.conv_transpose2d,
    3: nn.functional.conv_transpose3d,
}
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-10}


def dense_conv(image: Tensor, weight: Tensor, *, stride, dilation) -> Tensor:
    """Correlate an image (b, in, *shape) with weights (k0, …, in, out), offset by offset in 4D."""
    ndim = image.ndim - 2
    if ndim in DENSE:
        return DENSE[ndim](image, weight.movedim((-1, -2), (0, 1)), stride=stride, dilation=dilation)
    sizes = zip(image.shape[2:], weight.shape, stride, dilation)
    count = [(n - d * (k - 1) - 1) // s + 1 for n, k, s, d in sizes]
    total = image.new_zeros(len(image), weight.shape[-1], *count)
    for place in itertools.product(*map(range, weight.shape[:ndim])):
        starts = zip(place, dilation, stride, count)
        cut = tuple(slice(j * d, j * d + s * (n - 1) + 1, s) for j, d, s, n in starts)
        total += torch.einsum("bi...,io->bo...", image[(slice(None), slice(None), *cut)], weight[place])
    return total


def padded(image: Tensor, lower, upper) -> Tensor:
    """Append zeros on both sides of every axis."""
    pairs = [width for ends in zip(reversed(lower), reversed(upper)) for width in ends]
    return nn.functional.pad(image, pairs)


def at(image: Tensor, coords: Tensor) -> Tensor:
    """Rows of an image (b, c, *shape) at the voxels."""
    return image.movedim(1, -1)[tuple(coords.long().unbind(1))]


def random_input(coords: Tensor, channels: int = 3, dtype: torch.dtype = torch.float64) -> SparseTensor:
    return SparseTensor(torch.randn(len(coords), channels, dtype=dtype), coords)


def random_layer(kind, *args, dtype=torch.float64, **kwargs):
    """A layer with a bias that is not zero, and its weights as an array over the axes."""
    layer = kind(*args, **kwargs).to(dtype)
    if layer.bias is not None:
        nn.init.uniform_(layer.bias)
    return layer, layer.weight.view(*layer.window.kernel_size, *layer.weight.shape[1:])


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize(
    ("size", "dilation"),
    [
        ((5,), (1,)),
        ((4,), (2,)),
        ((3, 3), (1, 1)),
        ((5, 2), (1, 3)),
        ((1, 1, 1), (1, 1, 1)),
        ((3, 3, 3), (1, 1, 1)),
        ((3, 1, 5), (2, 1, 1)),
        ((2, 2, 2), (1, 1, 1)),
        ((3, 3, 3, 3), (1, 1, 1, 1)),
        ((3, 1, 2, 1), (2, 1, 1, 1)),
    ],
)
def test_submanifold_conv_is_the_masked_dense_one(make_coords, engine, dtype, size, dilation):
    ndim = len(size)
    x = random_input(make_coords(ndim, size=6, fill=0.1 if ndim == 4 else 0.3), dtype=dtype)
    layer, weight = random_layer(
        SubmanifoldConv, 3, 5, size, dilation=dilation, ndim=ndim, bias=True, dtype=dtype
    )
    with use_engine(engine):
        y = layer(x)
    lower = [(k - 1) // 2 * d for k, d in zip(size, dilation)]
    upper = [k // 2 * d for k, d in zip(size, dilation)]
    image = padded(x.dense([6] * ndim), lower, upper)
    expected = at(dense_conv(image, weight, stride=(1,) * ndim, dilation=dilation), x.coords) + layer.bias
    torch.testing.assert_close(y.feats, expected, rtol=0, atol=TOLERANCE[dtype])


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
def test_even_windows_are_those_of_torch(make_coords):
    x = random_input(make_coords(2), dtype=torch.float32)
    layer, weight = random_layer(SubmanifoldConv, 3, 5, (4, 2), ndim=2, dtype=torch.float32)
    image = nn.functional.conv2d(x.dense([8, 8]), weight.movedim((-1, -2), (0, 1)), padding="same")
    torch.testing.assert_close(layer(x).feats, at(image, x.coords), rtol=0, atol=1e-5)


# Kernel size, stride, dilation per axis: cells, overlapping windows, gaps.
WINDOWS = [
    ((3,), (3,), (1,)),
    ((4,), (2,), (3,)),
    ((2, 2), (2, 2), (1, 1)),
    ((3, 2), (1, 3), (2, 1)),
    ((2, 2, 2), (2, 2, 2), (1, 1, 1)),
    ((3, 3, 3), (3, 3, 3), (1, 1, 1)),
    ((3, 3, 3), (2, 2, 2), (1, 1, 1)),
    ((2, 2, 2), (1, 1, 1), (1, 1, 1)),
    ((1, 3, 4), (2, 2, 1), (1, 2, 1)),
    ((2, 2, 2, 2), (2, 2, 2, 2), (1, 1, 1, 1)),
    ((3, 1, 2, 2), (2, 1, 2, 1), (1, 1, 1, 2)),
]
DENSE_WINDOWS = [window for window in WINDOWS if len(window[0]) in DENSE_TRANSPOSED]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize(("size", "stride", "dilation"), WINDOWS)
def test_strided_conv_is_the_dense_one(make_coords, engine, dtype, size, stride, dilation):
    ndim = len(size)
    # With this padding the image has no border: every window that holds a voxel of it is computed.
    full = [d * (k - 1) for k, d in zip(size, dilation)]
    x = random_input(make_coords(ndim, size=6, fill=0.1), dtype=dtype)
    layer, weight = random_layer(
        StridedConv,
        3,
        5,
        stride,
        kernel_size=size,
        dilation=dilation,
        padding=tuple(full),
        ndim=ndim,
        dtype=dtype,
    )
    with use_engine(engine):
        y = layer(x)
    image = dense_conv(padded(x.dense([6] * ndim), full, full), weight, stride=stride, dilation=dilation)
    torch.testing.assert_close(y.dense(image.shape[2:]), image, rtol=0, atol=TOLERANCE[dtype])
    assert y.stride == (stride[0] if len(set(stride)) == 1 else stride)
    assert y.batch_size == x.batch_size


@pytest.mark.parametrize("padding", [0, 1, (0, 2, 1)])
def test_strided_conv_with_the_padding_of_torch(make_coords, padding):
    x = random_input(make_coords(3, size=7), dtype=torch.float32)
    layer, weight = random_layer(StridedConv, 3, 5, 2, kernel_size=3, padding=padding, dtype=torch.float32)
    weight = weight.movedim((-1, -2), (0, 1))
    image = nn.functional.conv3d(x.dense([7] * 3), weight, stride=2, padding=padding)
    y = layer(x)
    voxels, limits = y.coords[:, 1:], torch.tensor(image.shape[2:])
    inside = ((voxels >= 0) & (voxels < limits)).all(dim=1)
    torch.testing.assert_close(y.select(inside).dense(image.shape[2:]), image, rtol=0, atol=1e-5)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("size", "stride", "dilation"), DENSE_WINDOWS)
def test_inverse_conv_is_the_dense_transposed_one(make_coords, engine, size, stride, dilation):
    ndim = len(size)
    full = tuple(d * (k - 1) for k, d in zip(size, dilation))
    window = {"kernel_size": size, "dilation": dilation, "padding": full, "ndim": ndim}
    x = random_input(make_coords(ndim, size=6))
    layer, weight = random_layer(InverseConv, 4, 5, stride, bias=True, **window)
    with use_engine(engine):
        middle = StridedConv(3, 4, stride, **window).double()(x)
        y = layer(middle, like=x)
    cells = [(5 + p) // s + 1 for p, s in zip(full, stride)]
    missing = tuple(6 - ((n - 1) * s - p + 1) for n, s, p in zip(cells, stride, full))
    image = DENSE_TRANSPOSED[ndim](
        middle.dense(cells),
        weight.movedim((-2, -1), (0, 1)),
        stride=stride,
        dilation=dilation,
        padding=full,
        output_padding=missing,
    )
    torch.testing.assert_close(y.feats, at(image, x.coords) + layer.bias, rtol=0, atol=1e-10)
    assert y.coords is x.coords


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("size", "stride", "dilation"), DENSE_WINDOWS)
def test_generative_conv_is_the_dense_transposed_one(make_coords, engine, size, stride, dilation):
    ndim = len(size)
    coords = make_coords(ndim, size=4)
    x = SparseTensor(torch.randn(len(coords), 4, dtype=torch.float64), coords, stride=stride)
    layer, weight = random_layer(GenerativeConv, 4, 5, stride, kernel_size=size, dilation=dilation, ndim=ndim)
    with use_engine(engine):
        y = layer(x)
    image = DENSE_TRANSPOSED[ndim](
        x.dense([4] * ndim), weight.movedim((-2, -1), (0, 1)), stride=stride, dilation=dilation
    )
    torch.testing.assert_close(y.dense(image.shape[2:]), image, rtol=0, atol=1e-10)
    assert (y.stride, y.batch_size) == (1, x.batch_size)


@pytest.mark.parametrize("window", [{}, {"kernel_size": 3, "dilation": 2, "padding": 1}])
def test_inverse_conv_in_four_dimensions_is_the_adjoint(make_coords, window):
    x = random_input(make_coords(4, size=4))
    down = StridedConv(3, 4, ndim=4, **window).double()
    up = InverseConv(4, 3, ndim=4, **window).double()
    up.weight.data = down.weight.data.transpose(1, 2)
    y = down(x)
    z = y.with_feats(torch.randn_like(y.feats))
    torch.testing.assert_close((y.feats * z.feats).sum(), (x.feats * up(z, like=x).feats).sum())


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    "build",
    [
        lambda c: submanifold_map(c, 3),
        lambda c: submanifold_map(c, (2, 4), dilation=2),
        lambda c: strided_map(c, 2)[1],
        lambda c: strided_map(c, 2, kernel_size=3, padding=1)[1],
        lambda c: strided_map(c, 2)[1].transposed(),
        lambda c: generative_map(c, (1, 2), kernel_size=2)[1],
    ],
)
def test_gradients(make_coords, engine, build):
    kernel_map = build(make_coords(2, size=4, batch=2, fill=0.4))
    feats = torch.randn(kernel_map.n_source, 2, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(kernel_map.volume, 2, 3, dtype=torch.float64, requires_grad=True)

    def conv(feats: Tensor, weight: Tensor) -> Tensor:
        return sparse_conv(feats, weight, kernel_map)

    with use_engine(engine):
        assert torch.autograd.gradcheck(conv, (feats, weight))
        assert torch.autograd.gradgradcheck(conv, (feats, weight))


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
