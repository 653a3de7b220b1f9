"""SemanticLoss: values, ignored voxels, gradients, bad input."""

import math

import pytest
import torch

from sparseclust.losses import SemanticLoss

LOGITS = torch.tensor([[0.0, math.log(3.0)], [0.0, math.log(3.0)], [5.0, 0.0]])
SEMANTIC = torch.tensor([0, 1, 9])


def test_values_by_hand() -> None:
    terms = SemanticLoss(class_weights=[2.0, 1.0], ignore_index=9)(LOGITS, SEMANTIC)
    assert terms["loss"].item() == pytest.approx((2 * math.log(4) + math.log(4 / 3)) / 3)
    assert terms["accuracy"].item() == 0.5


def test_equals_torch_where_voxels_count() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(50, 4, generator=generator)
    semantic = torch.randint(-1, 4, (50,), generator=generator)
    weights = [1.0, 0.0, 3.0, 0.5]
    expected = torch.nn.functional.cross_entropy(logits, semantic, torch.tensor(weights), ignore_index=-1)
    assert SemanticLoss(class_weights=weights)(logits, semantic)["loss"].item() == pytest.approx(
        expected.item()
    )


@pytest.mark.parametrize("n", [0, 3])
def test_nothing_that_counts_is_a_differentiable_zero(n: int) -> None:
    logits = torch.zeros(n, 2, requires_grad=True)
    terms = SemanticLoss(class_weights=[1.0, 2.0])(logits, torch.full((n,), -1))
    terms["loss"].backward()
    assert terms["loss"].item() == 0.0
    assert terms["accuracy"].isnan()
    assert logits.grad is not None
    assert not logits.grad.any()


def test_gradcheck() -> None:
    logits = LOGITS.double().requires_grad_()
    loss = SemanticLoss(class_weights=[2.0, 1.0], ignore_index=9)
    assert torch.autograd.gradcheck(lambda x: loss(x, SEMANTIC)["loss"], (logits,))


def test_weights_are_no_state() -> None:
    assert not SemanticLoss(class_weights=[1.0, 2.0]).state_dict()


def test_bad_input_is_named() -> None:
    with pytest.raises(ValueError, match=r"expected logits \(n, classes\) and semantic \(n,\)"):
        SemanticLoss()(torch.zeros(4, 2), torch.zeros(3, dtype=torch.long))
    with pytest.raises(ValueError, match="expected 3 classes, one per weight, got 2"):
        SemanticLoss(class_weights=[1, 1, 1])(LOGITS, SEMANTIC)
    with pytest.raises(ValueError, match="class_weights must be"):
        SemanticLoss(class_weights=[1.0, -1.0])
