"""The terms, one by one: hand-computed values, gradients, extremes."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sparseclust.losses import functional as terms
from sparseclust.losses._reference import lovasz_hinge

LONG = torch.tensor([0, 0, 1, 0])


def _double(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(*shape, generator=generator, dtype=torch.float64).requires_grad_()


def test_segment_mean_averages_rows_and_leaves_empty_segments_undefined() -> None:
    values = torch.tensor([[1.0, 10.0], [3.0, 20.0], [5.0, 30.0]])
    mean = terms.segment_mean(values, torch.tensor([2, 0, 2]), 3)
    assert mean[[0, 2]].tolist() == [[3.0, 20.0], [3.0, 20.0]]
    assert mean[1].isnan().all()


def test_segment_mean_of_nothing() -> None:
    assert terms.segment_mean(torch.zeros(0, 3), torch.zeros(0, dtype=torch.long), 0).shape == (0, 3)


@pytest.mark.parametrize(
    ("margins", "expected"), [([2.0], 25 / 8), ([[2.0]], 25 / 8), ([[3.0, 2.0]], 9 / 18 + 16 / 8)]
)
def test_kernel_exponent_by_hand(margins: list[float], expected: float) -> None:
    z = terms.kernel_exponent(torch.tensor([[4.0, 5.0]]), torch.tensor([[1.0, 1.0]]), torch.tensor(margins))
    assert z.tolist() == pytest.approx([expected])


@pytest.mark.parametrize("z", [1e-5, 0.1, 0.69, 0.7, 0.71, 1.0, 5.0, 30.0])
def test_mask_bce_is_the_cross_entropy_of_the_kernel(z: float) -> None:
    own, foreign = terms.mask_bce(
        torch.tensor([z, z], dtype=torch.float64), torch.tensor([True, False]), eps=0.0
    )
    assert own.item() == z
    # 1 - exp(-z) in exact order of magnitude: expm1 and log1p of the standard library.
    assert foreign.item() == pytest.approx(
        -math.log(-math.expm1(-z)) if z < 1 else -math.log1p(-math.exp(-z))
    )


def test_mask_bce_in_float32_keeps_its_digits() -> None:
    z = torch.logspace(-5, 1.9, 200)
    exact = terms.mask_bce(z.double(), torch.zeros(200, dtype=torch.bool))
    torch.testing.assert_close(
        terms.mask_bce(z, torch.zeros(200, dtype=torch.bool)).double(), exact, rtol=2e-6, atol=0
    )


def test_mask_bce_is_finite_at_zero_and_far_away() -> None:
    z = torch.tensor([0.0, 0.0, 1e30, 1e30], requires_grad=True)
    cost = terms.mask_bce(z, torch.tensor([True, False, True, False]))
    assert cost.tolist() == pytest.approx([0.0, -math.log(1e-6), 1e30, 0.0])
    cost.sum().backward()
    assert z.grad is not None
    assert z.grad.tolist() == pytest.approx([1.0, -1e6, 1.0, 0.0], rel=1e-3)


def test_focal_by_hand() -> None:
    cost = torch.tensor([0.0, math.log(4.0)])  # p_t = 1 and 1/4
    assert terms.focal(cost).tolist() == pytest.approx([0.0, 0.75**2 * math.log(4.0)])
    assert terms.focal(cost, gamma=1.0).tolist() == pytest.approx([0.0, 0.75 * math.log(4.0)])


def test_seediness_does_not_move_the_kernel() -> None:
    predicted, kernel = _double(4), _double(4, seed=1)
    terms.seediness(predicted, kernel).sum().backward()
    assert kernel.grad is None
    torch.testing.assert_close(predicted.grad, 2 * (predicted - kernel).detach())


def test_margin_smoothness_sums_over_axes() -> None:
    cost = terms.margin_smoothness(torch.tensor([[1.0, 2.0]]), torch.tensor([[0.0, 4.0]]))
    assert cost.tolist() == [5.0]


def test_centroid_repulsion_stops_at_its_distance() -> None:
    first = torch.tensor([[0.0, 0.0], [0.0, 0.0], [1.0, 1.0]], requires_grad=True)
    cost = terms.centroid_repulsion(first, torch.tensor([[0.3, 0.4], [3.0, 4.0], [1.0, 1.0]]), distance=1.0)
    assert cost.tolist() == pytest.approx([0.25, 0.0, 1.0])
    cost.sum().backward()
    assert first.grad is not None
    assert first.grad.isfinite().all()


@pytest.mark.parametrize("kind", ["squared", "l1", "huber"])
def test_kinds_of_distance_by_hand(kind: Any) -> None:
    expected = {"squared": [0.0025, 0.25], "l1": [0.05, 0.5], "huber": [0.00125, 0.1 * (0.5 - 0.05)]}
    predicted, kernel = torch.tensor([0.05, 1.0]), torch.tensor([0.0, 0.5])
    assert terms.seediness(predicted, kernel, kind=kind).tolist() == pytest.approx(expected[kind])
    if kind != "huber":
        assert terms.margin_smoothness(predicted, kernel, kind=kind).tolist() == pytest.approx(expected[kind])


@pytest.mark.parametrize("seed", range(5))
def test_lovasz_hinge_equals_the_loop(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randn(60, generator=generator, dtype=torch.float64).requires_grad_()
    index = torch.randint(0, 5, (60,), generator=generator)
    own = (torch.rand(60, generator=generator) < 0.3) & (index != 2)  # segment 2 has no own row, 5 no row
    ours = terms.lovasz_hinge(scores, own, index, 6)
    theirs = [lovasz_hinge(scores[index == k], own[index == k]) for k in range(5)]
    torch.testing.assert_close(ours, torch.stack([*theirs, torch.zeros((), dtype=torch.float64)]))
    weight = torch.arange(1.0, 7.0, dtype=torch.float64)
    (gradient,) = torch.autograd.grad((ours * weight).sum(), scores)
    (expected,) = torch.autograd.grad((torch.stack(theirs) * weight[:5]).sum(), scores)
    torch.testing.assert_close(gradient, expected)


def test_lovasz_hinge_is_one_minus_iou_at_saturated_scores() -> None:
    # Scores of +-1 have hinge errors of 0 and 2: twice the loss of the prediction they stand for.
    own = torch.tensor([True, True, True, False, False])
    scores = torch.tensor([1.0, 1.0, -1.0, 1.0, -1.0])
    loss = terms.lovasz_hinge(scores, own, torch.zeros(5, dtype=torch.long), 1)
    assert loss.item() == pytest.approx(2 * (1 - 2 / 4))


def test_lovasz_hinge_equals_an_independent_program(oracle_dir: Path) -> None:
    with np.load(oracle_dir / "losses.npz") as vectors:
        for i in range(7):
            name = f"lovasz_hinge_flat/{i}"
            scores = torch.tensor(vectors[f"{name}/logits"]).double().requires_grad_()
            own = torch.tensor(vectors[f"{name}/labels"]) > 0
            loss = terms.lovasz_hinge(scores, own, torch.zeros(len(own), dtype=torch.long), 1)
            assert loss.item() == pytest.approx(float(vectors[f"{name}/value"]), rel=1e-6, abs=1e-7)
            (gradient,) = torch.autograd.grad(loss.sum(), scores)
            np.testing.assert_allclose(gradient.numpy(), vectors[f"{name}/grad"], atol=1e-6)


@pytest.mark.parametrize(
    "term",
    [
        lambda x, y: terms.segment_mean(x, torch.tensor([0, 1, 0, 1]), 2),
        lambda x, y: terms.kernel_exponent(x, y, 0.5 + x[:, 0]),
        lambda x, y: terms.kernel_exponent(x, y, 0.5 + x),
        lambda x, y: terms.mask_bce(3 * x, torch.eye(4, 3, dtype=torch.bool)),
        lambda x, y: terms.focal(x),
        lambda x, y: terms.seediness(x[0], torch.tensor([0.0, 0.5, 1.0])) + y[0],
        lambda x, y: terms.seediness(x[0], torch.tensor([0.0, 0.5, 1.0]), kind="huber") + y[0],
        lambda x, y: terms.lovasz_hinge(x[:, 0], torch.tensor([True, False, True, False]), LONG, 2),
        lambda x, y: terms.margin_smoothness(x, y),
        lambda x, y: terms.margin_smoothness(x, y, kind="l1"),
        lambda x, y: terms.centroid_repulsion(x, y, distance=0.9),
        lambda x, y: terms.edge_bce(x[:, 0], torch.tensor([True, False, True, False])),
    ],
)
def test_gradients(term: object) -> None:
    assert torch.autograd.gradcheck(term, (_double(4, 3), _double(4, 3, seed=1)))
