"""MaximinAffinityLoss: values by hand, the loop over all pairs, and what a partition does with it."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from sparseclust.clustering import AffinityGraphClusterer
from sparseclust.losses import MaximinAffinityLoss
from sparseclust.losses._reference import maximin_loss

# 0-1-2 of instance 5 and 3-4 of instance 8; two edges between them, one of which leaks.
EDGES = torch.tensor([[0, 1, 3, 2, 1], [1, 2, 4, 3, 3]])
INSTANCE = torch.tensor([5, 5, 5, 8, 8])
LOGITS = torch.tensor([2.0, 1.0, 3.0, 0.5, -4.0])


def softplus(x: float) -> float:
    return math.log1p(math.exp(x))


def test_values_by_hand() -> None:
    terms = MaximinAffinityLoss()(LOGITS, EDGES, instance=INSTANCE)
    # Of the three pairs of 5, one hangs on the first edge and two on the second.
    join = 3 / 5 * (softplus(-2.0) + 2 * softplus(-1.0)) / 3 + 2 / 5 * softplus(-3.0)
    cut = 2 / 5 * softplus(0.5)  # two voxels would be lost
    assert terms["join"].item() == pytest.approx(join)
    assert terms["cut"].item() == pytest.approx(cut)
    assert terms["loss"].item() == pytest.approx(join + cut)


def test_only_edges_that_decide_have_a_gradient() -> None:
    logits = LOGITS.clone().requires_grad_()
    MaximinAffinityLoss()(logits, EDGES, instance=INSTANCE)["loss"].backward()
    assert logits.grad is not None
    assert (logits.grad != 0).tolist() == [True, True, True, True, False]
    assert logits.grad[3] > 0 > logits.grad[0]


def random_case(seed: int, *, n: int = 14, m: int = 30) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    edges = torch.randint(0, n, (2, m), generator=generator)
    instance = torch.randint(-1, 4, (n,), generator=generator)
    group = torch.randint(0, 2, (n,), generator=generator)
    # Ties are broken by the order of the edges, so there are none here.
    logits = (torch.randperm(m, generator=generator) - m / 2) / 8
    return logits.requires_grad_(), edges, instance, group


@pytest.mark.parametrize("seed", range(12))
def test_equals_the_loop_over_all_pairs(seed: int) -> None:
    logits, edges, instance, group = random_case(seed)
    fast = MaximinAffinityLoss()(logits, edges, instance=instance, group=group)["loss"]
    slow = maximin_loss(logits, edges, instance, group)
    assert fast.item() == pytest.approx(slow.item(), rel=1e-5, abs=1e-9)
    (ours,) = torch.autograd.grad(fast, logits)
    (theirs,) = torch.autograd.grad(slow, logits)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-7)


def test_order_of_voxels_and_names_of_instances_do_not_matter() -> None:
    logits, edges, instance, group = random_case(3, n=200, m=600)
    loss = MaximinAffinityLoss()
    expected = loss(logits, edges, instance=instance, group=group)["loss"].item()
    generator = torch.Generator().manual_seed(0)
    p, q = torch.randperm(200, generator=generator), torch.randperm(600, generator=generator)
    back = torch.argsort(p)
    renamed = torch.where(instance >= 0, 1000 - instance, -1)
    moved = loss(logits[q], back[edges[:, q]].flip(0), instance=renamed[p], group=5 - group[p])
    assert moved["loss"].item() == pytest.approx(expected)


def test_a_group_costs_what_it_costs_alone() -> None:
    logits, edges, instance, _ = random_case(5)
    alone = MaximinAffinityLoss()(logits, edges, instance=instance)["loss"].item()
    both = MaximinAffinityLoss()(
        torch.cat([logits, logits]),
        torch.cat([edges, edges + len(instance)], dim=1),
        instance=torch.cat([instance, instance]),  # the same names, yet other instances
        group=torch.arange(2 * len(instance)) // len(instance),
    )["loss"]
    assert both.item() == pytest.approx(alone)


def test_edges_between_groups_loops_and_unknown_ends_do_not_count() -> None:
    edges = torch.tensor([[0, 1, 2, 2], [1, 2, 3, 2]])
    instance, group = torch.tensor([0, 0, 0, -1]), torch.tensor([0, 0, 1, 1])
    logits = torch.tensor([1.0, math.inf, 9.0, -math.inf], requires_grad=True)
    terms = MaximinAffinityLoss()(logits, edges, instance=instance, group=group)
    assert terms["loss"].item() == pytest.approx(softplus(-1.0))  # the group of two voxels and no other
    terms["loss"].backward()
    assert logits.grad is not None
    assert (logits.grad[1:] == 0).all()


def test_pieces_of_one_instance_and_what_lies_between() -> None:
    # 0 and 2 are one instance in two pieces; each end of 1 costs the voxel that would be lost.
    edges, instance = torch.tensor([[0, 1], [1, 2]]), torch.tensor([3, 7, 3])
    terms = MaximinAffinityLoss()(torch.tensor([0.0, 0.0]), edges, instance=instance)
    # Pairs (0, 1) and (1, 2) weigh 1 / (3 * 2) each; the path from 0 to 2 is no path of the instance.
    assert terms["cut"].item() == pytest.approx(2 / 6 * math.log(2.0))
    assert terms["join"].item() == 0.0


def test_training_on_it_gives_the_true_partition() -> None:
    # Three rods in a row with 40 edges between neighbours: only the highest one is pushed in a step.
    rng = np.random.default_rng(0)
    instance = torch.arange(90) // 30
    inner = [(i, i + 1) for i in range(89) if i % 30 != 29]
    outer = [(i + k, j + k + 30) for k in (0, 30) for i, j in rng.integers(0, 30, (40, 2)).tolist()]
    edges = torch.tensor(inner + outer).T.contiguous()
    logits = torch.randn(edges.shape[1], generator=torch.Generator().manual_seed(0)).requires_grad_()
    optimizer = torch.optim.Adam([logits], lr=0.3)
    for _ in range(60):
        optimizer.zero_grad()
        MaximinAffinityLoss()(logits, edges, instance=instance)["loss"].backward()
        optimizer.step()
    clusterer = AffinityGraphClusterer(threshold=0.5, min_size=1)
    labels = clusterer.fit_predict(edges.numpy(), torch.sigmoid(logits).detach().numpy(), n=90)
    assert len(np.unique(np.stack([labels, instance.numpy()]), axis=1).T) == 3 == labels.max() + 1


def test_no_edge_is_a_zero_with_a_gradient() -> None:
    logits = torch.zeros(0, requires_grad=True)
    loss = MaximinAffinityLoss()(
        logits, torch.zeros(2, 0, dtype=torch.int64), instance=torch.zeros(0, dtype=torch.int64)
    )["loss"]
    loss.backward()
    assert loss.item() == 0.0


def test_half_precision_is_summed_in_float32() -> None:
    half = MaximinAffinityLoss()(LOGITS.bfloat16(), EDGES, instance=INSTANCE)["loss"]
    assert half.dtype == torch.float32
    assert half.item() == pytest.approx(
        MaximinAffinityLoss()(LOGITS, EDGES, instance=INSTANCE)["loss"].item(), rel=1e-2
    )


def test_mistakes_are_named() -> None:
    loss = MaximinAffinityLoss()
    with pytest.raises(ValueError, match=r"logits \(m,\) and edges \(2, m\)"):
        loss(LOGITS, EDGES.T, instance=INSTANCE)
    with pytest.raises(ValueError, match="group must have shape"):
        loss(LOGITS, EDGES, instance=INSTANCE, group=torch.zeros(3, dtype=torch.int64))
    with pytest.raises(ValueError, match="nan"):
        loss(torch.full((5,), math.nan), EDGES, instance=INSTANCE)
