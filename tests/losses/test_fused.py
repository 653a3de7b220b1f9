"""The fused mask term against the chunked one: values, gradients, registrations, threads, memory."""

from typing import Any

import pytest
import torch

from sparseclust.losses import functional
from sparseclust.losses._fused import mask_pairs
from sparseclust.losses._mask import Kernels, mask_cost
from sparseclust.losses._partition import Partition


def _problem(
    n: int,
    clusters: int,
    groups: int,
    *,
    seed: int = 0,
    spread: float = 1.0,
    dtype: torch.dtype = torch.float64,
) -> tuple[torch.Tensor, Kernels, Partition]:
    generator = torch.Generator().manual_seed(seed)
    draw = {"generator": generator, "dtype": torch.float64}
    group = torch.randint(0, groups, (n,), generator=generator)
    instance = torch.randint(-1, clusters, (n,), generator=generator)
    instance = torch.where(group == 1, -1, instance)  # a group without truth
    part = Partition.of(instance, group)
    k = part.n_clusters
    leaves = [
        spread * torch.randn(n, 3, **draw),
        spread * torch.randn(k, 3, **draw),
        0.3 + torch.rand(k, 3, **draw),
    ]
    embeddings, centroids, margins = (t.to(dtype).requires_grad_() for t in leaves)
    weights = [torch.rand(k, **draw).to(dtype) for _ in range(2)]
    return embeddings, Kernels(centroids, margins, *weights, weights[0]), part


def _op_arguments(embeddings: torch.Tensor, kernels: Kernels, part: Partition, term: str) -> tuple[Any, ...]:
    return (
        *(embeddings, kernels.centroids, kernels.margins, part.label, part.group, part.group_clusters),
        *(kernels.own_weight, kernels.foreign_weight, term, 1e-6),
    )


def _results(
    term: Any, problem: tuple[torch.Tensor, Kernels, Partition], **how: Any
) -> tuple[torch.Tensor, ...]:
    embeddings, kernels, part = problem
    total, cost = mask_cost(term, embeddings, kernels, part, **how)
    leaves = (embeddings, kernels.centroids, kernels.margins)
    return (total.detach(), cost, *torch.autograd.grad(total, leaves))


def _wide(problem: tuple[torch.Tensor, Kernels, Partition]) -> tuple[torch.Tensor, Kernels, Partition]:
    embeddings, k, part = problem
    kernels = Kernels(
        *(t.detach().double() for t in (k.centroids, k.margins, k.own_weight, k.foreign_weight, k.weight))
    )
    kernels.centroids.requires_grad_()
    kernels.margins.requires_grad_()
    return embeddings.detach().double().requires_grad_(), kernels, part


@pytest.mark.parametrize("term", ["bce", "focal", "lovasz"])
@pytest.mark.parametrize("spread", [0.0, 0.1, 3.0, 100.0])
@pytest.mark.parametrize(("n", "clusters", "groups"), [(1, 1, 1), (7, 3, 2), (300, 4, 3), (1500, 40, 2)])
def test_equals_the_chunked_path(term: Any, spread: float, n: int, clusters: int, groups: int) -> None:
    problem = _problem(n, clusters, groups, spread=spread)
    assert problem[2].n_clusters
    for ours, theirs in zip(
        _results(term, problem, fused=True),
        _results(term, problem, fused=False, max_pairs=1000),
        strict=True,
    ):
        scale = float(theirs.abs().max()) if theirs.numel() else 1.0
        torch.testing.assert_close(ours, theirs, rtol=1e-11, atol=1e-12 * max(scale, 1e-3))


@pytest.mark.parametrize("term", ["bce", "focal", "lovasz"])
@pytest.mark.parametrize("spread", [0.1, 1.0, 10.0])
def test_float32_loses_no_more_than_its_rounding(term: Any, spread: float) -> None:
    problem = _problem(3000, 30, 2, spread=spread, dtype=torch.float32)
    exact = _results(term, _wide(problem), fused=False)
    for ours, theirs in zip(_results(term, problem, fused=True), exact, strict=True):
        assert ours.dtype == torch.float32
        torch.testing.assert_close(ours.double(), theirs, rtol=1e-5, atol=2e-6 * float(theirs.abs().max()))


@pytest.mark.parametrize("term", ["bce", "focal", "lovasz"])
def test_gradcheck(term: str) -> None:
    embeddings, kernels, part = _problem(12, 3, 3)
    leaves = (embeddings, kernels.centroids, kernels.margins)

    def total(*leaves: torch.Tensor) -> torch.Tensor:
        return mask_pairs(*leaves, *_op_arguments(embeddings, kernels, part, term)[3:])[0]

    assert torch.autograd.gradcheck(total, leaves)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_registrations(dtype: torch.dtype) -> None:
    torch.library.opcheck(mask_pairs, _op_arguments(*_problem(50, 3, 3, dtype=dtype), "bce"))


def test_second_derivatives_are_refused() -> None:
    embeddings, kernels, part = _problem(50, 3, 3)
    total, *_ = mask_pairs(*_op_arguments(embeddings, kernels, part, "bce"))
    with pytest.raises(NotImplementedError, match="no second derivative"):
        torch.autograd.grad(total, embeddings, create_graph=True)


@pytest.mark.parametrize("term", ["bce", "lovasz"])
def test_threads_change_no_bit(term: Any) -> None:
    problem = _problem(20_000, 60, 3, dtype=torch.float32)
    before = torch.get_num_threads()
    try:
        results = []
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            results.append(_results(term, problem, fused=True))
    finally:
        torch.set_num_threads(before)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


def _fused_total(problem: tuple[torch.Tensor, Kernels, Partition]) -> torch.Tensor:
    with torch.no_grad():
        return mask_cost("bce", *problem, fused=True)[0]


def test_nan_is_not_hidden() -> None:
    embeddings, kernels, part = _problem(300, 3, 1)
    with torch.no_grad():
        embeddings[torch.nonzero(part.label == 3)[0]] = float("nan")
        embeddings[part.label < 3] += 1e6
    assert _fused_total((embeddings, kernels, part)).isnan()


def test_member_far_away_and_cluster_without_foreigners() -> None:
    embeddings = torch.tensor([[0.0], [20.0]], requires_grad=True)
    part = Partition.of(torch.tensor([4, 4]), torch.zeros(2, dtype=torch.long))
    ones = torch.ones(1)
    kernels = Kernels(torch.zeros(1, 1), torch.ones(1, 1), ones, ones, ones)
    total, _ = mask_cost("bce", embeddings, kernels, part, fused=True)
    (gradient,) = torch.autograd.grad(total, embeddings)
    assert total.item() == pytest.approx(200.0)
    assert gradient.squeeze(1).tolist() == pytest.approx([0.0, 20.0])


def test_non_contiguous_rows() -> None:
    embeddings, kernels, part = _problem(200, 3, 2)
    turned = embeddings.detach().T.contiguous().T.requires_grad_()
    assert not turned.is_contiguous()
    expected = _results("bce", (embeddings, kernels, part), fused=True)
    assert torch.equal(_results("bce", (turned, kernels, part), fused=True)[2], expected[2])


@pytest.mark.parametrize("max_pairs", [1, 10, 1000])
@pytest.mark.parametrize("term", ["bce", "focal", "lovasz"])
def test_chunks_change_nothing(term: Any, max_pairs: int) -> None:
    problem = _problem(40, 3, 3)
    whole = _results(term, problem, fused=False)
    for ours, theirs in zip(_results(term, problem, fused=False, max_pairs=max_pairs), whole, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_floor_of_the_margins_is_that_of_the_kernel() -> None:
    assert functional.kernel_exponent(torch.ones(1, 1), torch.zeros(1, 1), torch.zeros(1)).item() == (
        pytest.approx(0.5 / functional.MIN_MARGIN**2)
    )
