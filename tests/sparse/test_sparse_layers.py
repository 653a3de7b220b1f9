"""Properties of the layers that hold for any weights, and their degenerate inputs."""

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from sparseclust.sparse import (
    BatchNorm,
    Dropout,
    GlobalPool,
    InverseConv,
    LayerNorm,
    LeakyReLU,
    Linear,
    ReLU,
    Sequential,
    SparseTensor,
    StridedConv,
    SubmanifoldConv,
    cat,
)


class UpAndDown(nn.Module):
    """All three convolutions, rows aligned with the input."""

    def __init__(self, ndim: int) -> None:
        super().__init__()
        self.conv = SubmanifoldConv(2, 4, ndim=ndim, bias=True)
        self.down = StridedConv(4, 6, ndim=ndim, bias=True)
        self.up = InverseConv(6, 3, ndim=ndim, bias=True)

    def forward(self, x: SparseTensor) -> SparseTensor:
        y = self.conv(x)
        return self.up(self.down(y), like=y)


@pytest.mark.parametrize("ndim", [2, 3, 4])
def test_permuted_rows_give_permuted_rows(make_coords, ndim):
    coords = make_coords(ndim, size=4)
    feats = torch.randn(len(coords), 2, dtype=torch.float64)
    order = torch.randperm(len(coords))
    net = UpAndDown(ndim).double()
    y = net(SparseTensor(feats, coords))
    permuted = net(SparseTensor(feats[order], coords[order]))
    torch.testing.assert_close(permuted.feats, y.feats[order], rtol=0, atol=1e-12)


def test_events_do_not_see_one_another(make_coords):
    coords = make_coords(3, size=5)
    x = SparseTensor(torch.randn(len(coords), 2, dtype=torch.float64), coords)
    net = UpAndDown(3).double()
    apart = cat([net(event) for event in x.split()])
    together = net(cat(x.split()))
    torch.testing.assert_close(apart.feats, together.feats, rtol=0, atol=1e-12)


def test_shift_by_the_stride_changes_nothing(make_coords):
    coords = make_coords(3, size=5)
    feats = torch.randn(len(coords), 2, dtype=torch.float64)
    net = UpAndDown(3).double()
    shifted = coords + torch.tensor([0, -200, 4, 1000], dtype=torch.int32)
    y, z = net(SparseTensor(feats, coords)), net(SparseTensor(feats, shifted))
    torch.testing.assert_close(y.feats, z.feats, rtol=0, atol=1e-12)


@pytest.mark.parametrize("n", [0, 1])
def test_no_voxel_and_one_voxel(n):
    x = SparseTensor(torch.ones(n, 2, requires_grad=True), torch.full((n, 4), 2), batch_size=4)
    net = UpAndDown(3)
    norms = Sequential(BatchNorm(3), LayerNorm(3), LeakyReLU(), ReLU(), Linear(3, 5), Dropout())
    y = norms(net(x))
    assert y.feats.shape == (n, 5)
    for mode in ("mean", "sum", "max"):
        assert GlobalPool(mode)(y).shape == (4, 5)
    GlobalPool()(y).sum().backward()
    assert x.feats.grad.shape == x.feats.shape
    for name, parameter in [*net.named_parameters(), *norms.named_parameters()]:
        assert torch.isfinite(parameter.grad).all(), name


def test_layers_are_the_torch_layers_on_features(make_coords):
    coords = make_coords(2)
    x = SparseTensor(torch.randn(len(coords), 6), coords)
    for ours, theirs in [
        (BatchNorm(6), nn.BatchNorm1d(6)),
        (LayerNorm(6), nn.LayerNorm(6)),
        (LeakyReLU(0.2), nn.LeakyReLU(0.2)),
        (ReLU(), nn.ReLU()),
        (Dropout(1.0), nn.Dropout(1.0)),
    ]:
        y = ours(x)
        torch.testing.assert_close(y.feats, theirs(x.feats), rtol=1e-6, atol=1e-6)
        assert y.coords is x.coords
    linear = Linear(6, 2)
    assert torch.equal(linear(x).feats, x.feats @ linear.rows.weight.T + linear.rows.bias)


def test_batch_norm_of_one_voxel_uses_and_keeps_the_running_statistics():
    norm = BatchNorm(2)
    norm.rows.running_mean.fill_(3.0)
    y = norm(SparseTensor(torch.full((1, 2), 5.0), torch.zeros(1, 4, dtype=torch.int32)))
    torch.testing.assert_close(y.feats, torch.full((1, 2), 2.0), rtol=1e-4, atol=0)
    assert norm.rows.running_mean.tolist() == [3.0, 3.0]
    assert norm.rows.num_batches_tracked == 0


def test_global_pool_of_each_event():
    x = SparseTensor(torch.tensor([[1.0], [-5.0], [3.0]]), torch.tensor([[2, 0], [0, 0], [2, 1]]))
    assert GlobalPool("mean")(x).tolist() == [[-5.0], [0.0], [2.0]]
    assert GlobalPool("sum")(x).tolist() == [[-5.0], [0.0], [4.0]]
    assert GlobalPool("max")(x).tolist() == [[-5.0], [0.0], [3.0]]
    with pytest.raises(ValueError, match="mode"):
        GlobalPool("median")


def test_weights_have_one_layout_and_a_documented_range():
    for layer, shape, fan_in in [
        (SubmanifoldConv(4, 5, 3, ndim=2, bias=True), (9, 4, 5), 36),
        (StridedConv(4, 5, 3, ndim=4), (81, 4, 5), 324),
        (InverseConv(4, 5), (8, 4, 5), 4),
    ]:
        assert layer.weight.shape == shape
        bound = (6 / fan_in) ** 0.5
        assert 0.8 * bound < layer.weight.abs().max() <= bound
        assert layer.bias is None or not layer.bias.any()


def test_layers_refuse_what_does_not_fit(make_coords):
    x = SparseTensor(torch.ones(1, 2), torch.zeros(1, 4, dtype=torch.int32))
    with pytest.raises(ValueError, match="takes 3 features"):
        SubmanifoldConv(3, 4)(x)
    with pytest.raises(ValueError, match="in 2 dimensions"):
        StridedConv(2, 4, ndim=2)(x)
    with pytest.raises(ValueError, match="one per axis"):
        SubmanifoldConv(2, 2, (3, 3))
    with pytest.raises(ValueError, match="positive"):
        StridedConv(0, 4)


def test_reprs_name_the_arguments():
    assert (
        repr(SubmanifoldConv(2, 4, 5))
        == "SubmanifoldConv(2, 4, kernel_size=5, dilation=1, ndim=3, bias=False)"
    )


def test_checkpointing_changes_no_gradient(make_coords):
    coords, layers = make_coords(3), UpAndDown(3)
    gradients = []
    for run in (
        lambda x: layers(x).feats,
        lambda x: checkpoint(lambda x: layers(x).feats, x, use_reentrant=False),
    ):
        feats = torch.linspace(-1, 1, 2 * len(coords)).view(-1, 2).requires_grad_()
        loss = run(SparseTensor(feats, coords)).square().sum()
        gradients.append(torch.autograd.grad(loss, [feats, *layers.parameters()]))
    for plain, recomputed in zip(*gradients, strict=True):
        assert torch.equal(plain, recomputed)
