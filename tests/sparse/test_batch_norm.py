"""The compiled batch normalisation against torch's."""

import copy

import pytest
import torch
from torch import nn

from sparseclust.backbones import UResNet
from sparseclust.sparse import BatchNorm, SparseTensor
from sparseclust.sparse._batch_norm import batch_norm_act, batch_norm_act_reference


def make_norm(channels, dtype=torch.float32):
    norm = nn.BatchNorm1d(channels).to(dtype)
    for tensor in (norm.weight, norm.bias, norm.running_mean):
        nn.init.normal_(tensor)
    return norm


def results(function, norm, x, slope, upper):
    """Output, gradients and running statistics, of a copy of the layer."""
    norm, x = copy.deepcopy(norm), x.detach().requires_grad_()
    y = function(x, norm, slope)
    gradients = torch.autograd.grad(y, [x, norm.weight, norm.bias], upper)
    return [y.detach(), *gradients, norm.running_mean, norm.running_var, norm.num_batches_tracked]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("channels", [1, 3, 16, 300])
@pytest.mark.parametrize("n", [1, 2, 255, 4096, 9001])
def test_equal_to_torch(n, channels, training):
    norm = make_norm(channels, torch.float64).train(training)
    x, upper = (torch.randn(2, n, channels) + torch.arange(channels)).double()
    expected = results(batch_norm_act_reference, norm, x, 0.01, upper)
    for a, b in zip(results(batch_norm_act, norm, x, 0.01, upper), expected):
        torch.testing.assert_close(a, b, rtol=1e-7, atol=1e-7 * max(1.0, float(b.abs().max())))


# Without activation: rounding decides on which side of its kink a number falls.
@pytest.mark.parametrize(("n", "channels"), [(255, 300), (9001, 1), (5000, 16)])
def test_in_float32_no_less_exact_than_torch(n, channels):
    norm, exact_norm = make_norm(channels), make_norm(channels, torch.float64)
    exact_norm.load_state_dict(norm.state_dict())
    x, upper = torch.randn(2, n, channels) + torch.arange(channels)
    exact = results(batch_norm_act_reference, exact_norm, x.double(), 1.0, upper.double())
    ours, theirs = (results(f, norm, x, 1.0, upper) for f in (batch_norm_act, batch_norm_act_reference))
    for a, b, c in zip(ours, theirs, exact):
        scale = float(c.abs().max())
        assert (a - c).abs().max() <= 2 * (b - c).abs().max() + 1e-6 * scale


def test_a_mean_much_larger_than_the_deviation():
    x, norm = 1000 + torch.randn(5000, 4), nn.BatchNorm1d(4)
    exact = batch_norm_act_reference(x.double(), copy.deepcopy(norm).double(), 1.0)
    error = (batch_norm_act(x, norm, 1.0) - exact).abs().max()
    assert error <= 2 * (batch_norm_act_reference(x, norm, 1.0) - exact).abs().max()


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("mean", [0.0, 1e3, 1e4])
def test_moments_of_float32_as_in_float64(mean, threads):
    x = mean + torch.randn(40_000, 48)
    norm = nn.BatchNorm1d(48, momentum=1.0)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    batch_norm_act(x, norm, 1.0)
    torch.set_num_threads(before)
    variances, means = torch.var_mean(x.double(), dim=0)
    torch.testing.assert_close(norm.running_mean.double(), means, rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(norm.running_var.double(), variances, rtol=1e-6, atol=0.0)


def test_first_and_second_derivatives():
    norm = make_norm(3, torch.float64)

    def function(x, weight, bias):
        layer = copy.deepcopy(norm)
        del layer.weight, layer.bias
        layer.weight, layer.bias = weight, bias
        return batch_norm_act(x, layer, 0.1)

    arguments = [torch.randn(7, 3).double(), norm.weight.detach(), norm.bias.detach()]
    for training in (True, False):
        norm.train(training)
        assert torch.autograd.gradcheck(function, [a.requires_grad_() for a in arguments])
        assert torch.autograd.gradgradcheck(function, arguments)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_equal_for_any_number_of_threads(dtype):
    before = torch.get_num_threads()
    norm, x, upper = (
        make_norm(48, dtype),
        torch.randn(20_000, 48).to(dtype),
        torch.randn(20_000, 48).to(dtype),
    )
    found = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        found.append(results(batch_norm_act, norm, x, 0.01, upper))
    torch.set_num_threads(before)
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], other))


def test_one_layer_several_times_before_the_way_back():
    norm, x = make_norm(4), torch.randn(300, 4)
    sum(batch_norm_act(rows, norm, 0.1).sum() for rows in (x[:1], x, x[:200])).backward()
    assert torch.isfinite(norm.weight.grad).all()


def test_rows_out_of_order_in_memory():
    x = torch.randn(6, 500).T
    norm = make_norm(6)
    upper = torch.randn(6, 500).T
    for a, b in zip(
        results(batch_norm_act, norm, x, 1.0, upper),
        results(batch_norm_act, norm, x.contiguous(), 1.0, upper.contiguous()),
    ):
        assert torch.equal(a, b)


def test_infinity_passes_without_a_warning():
    x = torch.randn(300, 3, dtype=torch.float64)
    x[8, 2] = torch.inf
    norm, upper = make_norm(3, torch.float64), torch.randn(300, 3).double()
    for a, b in zip(*(results(f, norm, x, 0.1, upper) for f in (batch_norm_act, batch_norm_act_reference))):
        torch.testing.assert_close(a, b, equal_nan=True)


def test_not_a_number_stays_in_its_column():
    x = torch.randn(300, 3)
    x[7, 1] = torch.nan
    y = batch_norm_act(x, make_norm(3), 0.01)
    assert y.isnan().all(dim=0).tolist() == [False, True, False]
    assert y.isnan().any(dim=0).tolist() == [False, True, False]


def test_layers_without_the_compiled_passes(make_coords):
    coords = make_coords(2)
    x = torch.randn(len(coords), 4)
    for norm in (
        nn.BatchNorm1d(4, affine=False),
        nn.BatchNorm1d(4, momentum=None),
        nn.BatchNorm1d(4, track_running_stats=False),
    ):
        expected = nn.functional.leaky_relu(copy.deepcopy(norm)(x), 0.3)
        torch.testing.assert_close(batch_norm_act(x, norm, 0.3), expected)
    half = BatchNorm(4)(SparseTensor(x.bfloat16(), coords), negative_slope=0.3)
    assert half.dtype == torch.bfloat16


def test_a_network_equals_its_layers_one_by_one(make_coords):
    coords = make_coords(3)
    net = UResNet(4, base_channels=8, depth=2)
    x = SparseTensor(torch.randn(len(coords), 4), coords)
    fused = copy.deepcopy(net)(x).feats
    for module in net.modules():
        if type(module).__name__ == "NormAct":
            module.forward = nn.Sequential(*module).forward
    torch.testing.assert_close(fused, net(x).feats, rtol=1e-5, atol=1e-5)
