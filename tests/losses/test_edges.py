"""EdgeAffinityLoss: values, ignored edges, gradients."""

import math
from typing import Any

import pytest
import torch

from sparseclust.losses import EdgeAffinityLoss

EDGES = torch.tensor([[0, 1, 2, 3], [1, 2, 3, 4]])
INSTANCE = torch.tensor([5, 5, 2, -1, 2])  # a join, a cut, and two edges that do not count


def test_values_by_hand() -> None:
    terms = EdgeAffinityLoss(cut_weight=3.0)(torch.tensor([1.0, -2.0, 9.0, 9.0]), EDGES, instance=INSTANCE)
    join, cut = math.log1p(math.exp(-1.0)), math.log1p(math.exp(-2.0))
    assert terms["join"].item() == pytest.approx(join)
    assert terms["cut"].item() == pytest.approx(cut)
    assert terms["loss"].item() == pytest.approx((join + 3 * cut) / 4)


def test_focal_by_hand() -> None:
    terms = EdgeAffinityLoss(kind="focal")(torch.zeros(1), EDGES[:, :1], instance=INSTANCE)
    assert terms["loss"].item() == pytest.approx(0.25 * math.log(2.0))


def test_lovasz_by_hand() -> None:
    # Of the two edges that count one is a cut, with hinge error 0, and the other a join with error 2.
    terms = EdgeAffinityLoss(kind="lovasz")(torch.tensor([-1.0, -2.0, 9.0, 9.0]), EDGES, instance=INSTANCE)
    assert terms["loss"].item() == pytest.approx(2.0 * (1 - 1 / 2))
    assert terms["cut"].item() == pytest.approx(math.log1p(math.exp(-2.0)))


@pytest.mark.parametrize("kind", ["bce", "focal", "lovasz"])
def test_a_batch_costs_the_mean_of_its_events(kind: Any) -> None:
    generator = torch.Generator().manual_seed(0)
    logits, edges = torch.randn(60, generator=generator), torch.randint(0, 10, (2, 60), generator=generator)
    edges[:, 20:] += 10  # two events of ten voxels
    event, instance = torch.arange(20) // 10, torch.randint(-1, 3, (20,), generator=generator)
    loss = EdgeAffinityLoss(kind=kind)
    both = loss(logits, edges, instance=instance, event=event)["loss"].item()
    alone = [
        loss(logits[rows], edges[:, rows], instance=instance)["loss"] for rows in (slice(20), slice(20, 60))
    ]
    assert both == pytest.approx(sum(alone).item() / 2)
    assert both != pytest.approx(loss(logits, edges, instance=instance)["loss"].item(), rel=1e-3)


def test_distant_pairs_are_edges_too() -> None:
    edges = torch.tensor([[0, 0], [4, 1]])
    terms = EdgeAffinityLoss(cut_weight=1.0)(torch.zeros(2), edges, instance=torch.tensor([1, 1, 0, 0, 7]))
    assert terms["join"].item() == terms["cut"].item() == pytest.approx(math.log(2.0))


def test_ignored_edges_have_no_gradient_and_all_ignored_is_zero() -> None:
    logits = torch.randn(4, requires_grad=True, generator=torch.Generator().manual_seed(0))
    EdgeAffinityLoss()(logits, EDGES, instance=INSTANCE)["loss"].backward()
    assert logits.grad is not None
    assert (logits.grad != 0).tolist() == [True, True, False, False]
    logits.grad = None
    terms = EdgeAffinityLoss()(logits, EDGES, instance=torch.full((5,), -1))
    terms["loss"].backward()
    assert terms["loss"].item() == 0.0
    assert terms["join"].isnan()
    assert terms["cut"].isnan()
    assert logits.grad is not None
    assert not logits.grad.any()


def test_no_edge_is_a_differentiable_zero() -> None:
    logits = torch.zeros(0, requires_grad=True)
    terms = EdgeAffinityLoss()(logits, torch.zeros(2, 0, dtype=torch.long), instance=INSTANCE)
    terms["loss"].backward()
    assert terms["loss"].item() == 0.0


@pytest.mark.parametrize("kind", ["bce", "focal", "lovasz"])
def test_gradcheck(kind: str) -> None:
    logits = torch.tensor([0.3, -0.7, 2.0, 0.1], dtype=torch.float64, requires_grad=True)
    loss = EdgeAffinityLoss(kind=kind)  # type: ignore[arg-type]
    assert torch.autograd.gradcheck(lambda x: loss(x, EDGES, instance=INSTANCE)["loss"], (logits,))


def test_order_of_edges_and_of_their_ends_does_not_matter() -> None:
    logits = torch.tensor([0.3, -1.0, 2.0, 0.1])
    one = EdgeAffinityLoss()(logits, EDGES, instance=INSTANCE)["loss"]
    other = EdgeAffinityLoss()(logits.flip(0), EDGES.flip(0, 1), instance=INSTANCE)["loss"]
    assert one.item() == pytest.approx(other.item())


def test_large_logits_and_half_precision_stay_finite() -> None:
    logits = torch.tensor([-1e4, 1e4, 0.0, 0.0], dtype=torch.float16, requires_grad=True)
    terms = EdgeAffinityLoss(kind="focal")(logits, EDGES, instance=INSTANCE)
    terms["loss"].backward()
    assert terms["loss"].item() == pytest.approx(1e4, rel=1e-3)
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


def test_bad_input_is_named() -> None:
    with pytest.raises(ValueError, match=r"expected logits \(m,\) and edges \(2, m\)"):
        EdgeAffinityLoss()(torch.zeros(4), EDGES.T, instance=INSTANCE)
    with pytest.raises(ValueError, match="instance must have shape"):
        EdgeAffinityLoss()(torch.zeros(4), EDGES, instance=INSTANCE[:, None])
    with pytest.raises(ValueError, match="event must have shape"):
        EdgeAffinityLoss()(torch.zeros(4), EDGES, instance=INSTANCE, event=INSTANCE[1:])
    with pytest.raises(ValueError, match="cut_weight must be positive"):
        EdgeAffinityLoss(cut_weight=0.0)
    with pytest.raises(ValueError, match="kind must be one of"):
        EdgeAffinityLoss(kind="dice")  # type: ignore[arg-type]
