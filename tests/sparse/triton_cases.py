"""Cases of the engine "triton", run by test_triton.py in a process of their own.

On the CPU the kernels are interpreted, which Triton has to know before it is imported.
"""

import os
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from sparseclust.backbones import UResNet
from sparseclust.sparse import (
    KernelMap,
    SparseTensor,
    available_engines,
    generative_map,
    sparse_conv,
    strided_map,
    submanifold_map,
    use_engine,
)
from sparseclust.sparse.engines import load_engine

DEVICE = "cpu" if os.environ.get("TRITON_INTERPRET") == "1" else "cuda"
TOLERANCE = {torch.float32: 1e-5, torch.float16: 2e-3, torch.bfloat16: 1e-2}


def track(n: int) -> Tensor:
    """Give voxels of a bent line, most of them with two neighbours."""
    t = torch.arange(n)
    bend = (4 * torch.sin(t / 9)).round().int()
    return torch.stack([torch.zeros_like(t), t - n // 2, bend, -bend // 2], dim=1).int()


def kinds(coords: Tensor) -> dict[str, KernelMap]:
    down = strided_map(coords, 2)[1]
    return {
        "submanifold": submanifold_map(coords, 3),
        "even": submanifold_map(coords, (2, 1, 2)),
        "dilated": submanifold_map(coords, (1, 3, 1), dilation=2),
        "strided": down,
        "inverse": down.transposed(),
        "overlapping": strided_map(coords, 2, kernel_size=3, padding=1)[1],
        "generative": generative_map(coords, 2)[1],
    }


KINDS = list(kinds(track(2)))


def results(kernel_map: KernelMap, n_in: int, n_out: int, dtype: torch.dtype) -> dict[str, list[Tensor]]:
    """Output and both gradients, exactly and by the engine."""
    torch.manual_seed(0)
    feats = torch.randn(kernel_map.n_source, n_in, device=DEVICE).to(dtype)
    weight = torch.randn(kernel_map.volume, n_in, n_out, device=DEVICE).to(dtype)
    upper = torch.randn(kernel_map.n_target, n_out, device=DEVICE).to(dtype)
    found = {}
    for name, kind in (("torch", torch.float64), ("triton", dtype)):
        x, w = (t.to(kind).requires_grad_() for t in (feats, weight))
        with use_engine(name):
            y = sparse_conv(x, w, kernel_map)
            found[name] = [y, *torch.autograd.grad(y, [x, w], upper.to(kind))]
        assert all(t.dtype == kind for t in found[name])
    return found


def agree(kernel_map: KernelMap, n_in: int, n_out: int, dtype: torch.dtype) -> None:
    found = results(kernel_map, n_in, n_out, dtype)
    for one, exact in zip(found["triton"], found["torch"], strict=True):
        assert one.shape == exact.shape
        assert one.isfinite().all()
        assert (one - exact).abs().max() <= TOLERANCE[dtype] * exact.abs().max()


def maps_agree(build: Callable[[], tuple[Tensor, KernelMap]]) -> None:
    found = []
    for name in ("torch", "triton"):
        with use_engine(name):
            found.append(build())
    assert torch.equal(found[0][0], found[1][0])
    for field in ("source", "target", "splits"):
        assert torch.equal(getattr(found[0][1], field), getattr(found[1][1], field))


@pytest.mark.parametrize("size", [3, (2, 1, 4), (1, 5, 1)])
def test_submanifold_maps_are_the_reference(make_coords, size):
    for coords in (make_coords(3, batch=2, low=-3), track(1), track(0), track(1100).flip(0)):
        here = coords.to(DEVICE)
        maps_agree(lambda here=here: (here, submanifold_map(here, size, dilation=(1, 2, 1))))


@pytest.mark.parametrize(
    "window",
    [
        {"stride": 2},
        {"stride": (2, 1, 3), "padding": (1, 0, 5)},
        {"stride": 2, "dilation": 3},
        {"stride": 2, "kernel_size": 3, "padding": 1},
        {"stride": 3, "kernel_size": 2},
    ],
)
def test_strided_maps_are_the_reference(make_coords, window):
    for coords in (make_coords(3, batch=2, low=-3), track(1), track(0), track(99).flip(0)):
        here = coords.to(DEVICE)
        maps_agree(lambda here=here: strided_map(here, **window))


def test_repeated_and_stray_voxels_are_refused():
    coords = track(9).to(DEVICE)
    with use_engine("triton"):
        with pytest.raises(ValueError, match="coalesce"):
            submanifold_map(coords[[0, 1, 2, 1]], 3)
        with pytest.raises(ValueError, match="coalesce"):
            strided_map(coords[[0, 1, 2, 1]], 2)
        coords[:2, 1:] = torch.tensor([[-(2**31)], [2**31 - 1]])
        with pytest.raises(ValueError, match="64-bit"):
            submanifold_map(coords, 3)


def test_the_engine_is_available():
    assert available_engines()["triton"] == "ok"


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_map(make_coords, kind):
    coords = make_coords(3, size=4, batch=2, low=-2)
    agree(kinds(coords.to(DEVICE))[kind], 5, 4, torch.float32)


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize(("n_in", "n_out"), [(1, 1), (4, 24), (33, 16), (24, 5)])
def test_any_number_of_channels_in_any_type(n_in, n_out, dtype):
    agree(strided_map(track(70).to(DEVICE), 2)[1], n_in, n_out, dtype)


@pytest.mark.parametrize(("n_in", "n_out", "dtype"), [(80, 17, torch.float32), (17, 136, torch.bfloat16)])
def test_more_channels_than_a_tile(n_in, n_out, dtype):
    agree(strided_map(track(4).to(DEVICE), 2)[1], n_in, n_out, dtype)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n", [1, 130])
def test_one_voxel_and_several_blocks_of_rows(kind, n):
    agree(kinds(track(n).to(DEVICE))[kind], 3, 3, torch.float32)


@pytest.mark.parametrize("size", [(3,), (3, 3), (3, 1, 1, 3)])
def test_other_dimensions(make_coords, size):
    agree(submanifold_map(make_coords(len(size), size=4).to(DEVICE), size), 3, 2, torch.float32)


def test_more_offsets_than_bits():
    agree(submanifold_map(track(12).to(DEVICE), (5, 5, 3)), 2, 2, torch.float32)


@pytest.mark.parametrize("kind", KINDS)
def test_no_voxel(kind):
    found = results(kinds(track(0).to(DEVICE))[kind], 3, 4, torch.float32)["triton"]
    assert [len(t) for t in found[:2]] == [0, 0]
    assert not found[2].any()


def test_rows_without_a_neighbour_are_zero():
    m = submanifold_map(track(3).to(DEVICE), 3)
    alone = KernelMap(m.source[:0], m.target[:0], m.splits * 0, 3, 3, m.offsets, m.stride)
    y, dx, dw = results(alone, 3, 4, torch.float32)["triton"]
    assert (y.shape, dx.shape, dw.shape) == ((3, 4), (3, 3), (27, 3, 4))
    assert not any(t.any() for t in (y, dx, dw))


def test_float64_goes_the_way_of_the_reference():
    m = submanifold_map(track(5).to(DEVICE), 3)
    feats, weight = torch.randn(5, 2, dtype=torch.float64), torch.randn(27, 2, 3, dtype=torch.float64)
    with use_engine("triton"):
        y = sparse_conv(feats.to(DEVICE), weight.to(DEVICE), m)
    with use_engine("torch"):
        assert torch.equal(y, sparse_conv(feats.to(DEVICE), weight.to(DEVICE), m))


def test_the_same_bits_again():
    m = strided_map(track(80).to(DEVICE), 2, kernel_size=(3, 2, 2))[1]
    first, again = (results(m, 7, 6, torch.float32)["triton"] for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))


def test_arguments_in_any_memory_layout():
    m = submanifold_map(track(9).to(DEVICE), (1, 3, 1))
    feats = torch.randn(5, 9, device=DEVICE).T
    weight = torch.randn(4, 5, 3, device=DEVICE).permute(2, 1, 0)
    with use_engine("triton"):
        y = sparse_conv(feats, weight, m)
        assert torch.equal(y, sparse_conv(feats.contiguous(), weight.contiguous(), m))


def test_a_plan_is_made_once_per_map_and_direction(monkeypatch):
    engine = load_engine("triton")
    made = []
    plan = engine.plan
    monkeypatch.setattr(engine, "plan", lambda pairs, n: made.append(n) or plan(pairs, n))
    _, down = strided_map(track(9).to(DEVICE), 2)
    feats = torch.randn(9, 2, device=DEVICE, requires_grad=True)
    weight = torch.randn(8, 2, 2, device=DEVICE)
    with use_engine("triton"):
        for _ in range(2):
            y = sparse_conv(feats, weight, down)
            sparse_conv(y, weight, down.transposed()).sum().backward()
    assert sorted(made) == sorted([9, down.n_target])


@pytest.mark.skipif(DEVICE == "cpu", reason="there is no device to wait for")
def test_nothing_waits_for_the_device_once_the_maps_exist():
    down = strided_map(track(99).to(DEVICE), 2)[1]
    m = submanifold_map(track(99).to(DEVICE), 3)
    feats = torch.randn(99, 8, device=DEVICE, requires_grad=True)
    weights = [torch.randn(v, 8, 8, device=DEVICE, requires_grad=True) for v in (27, 8, 8)]

    def step() -> None:
        y = sparse_conv(sparse_conv(feats, weights[0], m), weights[1], down)
        sparse_conv(y, weights[2], down.transposed()).sum().backward()

    with use_engine("triton"):
        step()
        torch.cuda.set_sync_debug_mode("error")
        try:
            step()
        finally:
            torch.cuda.set_sync_debug_mode("default")


def test_differentiable_twice():
    m = strided_map(track(6).to(DEVICE), 2)[1]
    torch.manual_seed(0)
    feats = torch.randn(6, 2, device=DEVICE, requires_grad=True)
    weight = torch.randn(8, 2, 3, device=DEVICE, requires_grad=True)
    seconds = {}
    for name in ("torch", "triton"):
        with use_engine(name):
            y = sparse_conv(feats, weight, m)
            firsts = torch.autograd.grad(y.square().sum(), [feats, weight], create_graph=True)
            seconds[name] = torch.autograd.grad(sum(g.square().sum() for g in firsts), [feats, weight])
    for one, other in zip(seconds["triton"], seconds["torch"], strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_a_small_network(make_coords):
    coords = torch.cat([track(16)[:, :3], make_coords(2, size=5, batch=1) + torch.tensor([1, -2, 0])])
    torch.manual_seed(0)
    net = UResNet(3, base_channels=4, depth=2, reps=1, ndim=2).to(DEVICE)
    values, upper = torch.randn(len(coords), 3), torch.randn(len(coords), net.out_channels)
    found = {}
    for name in ("torch", "triton"):
        feats = values.to(DEVICE).requires_grad_()
        with use_engine(name):
            y = net(SparseTensor(feats, coords.int().to(DEVICE))).feats
            found[name] = [y, *torch.autograd.grad(y, [feats, *net.parameters()], upper.to(DEVICE))]
    for one, other in zip(found["triton"], found["torch"], strict=True):
        assert (one - other).abs().max() <= 1e-4 * other.abs().max()
