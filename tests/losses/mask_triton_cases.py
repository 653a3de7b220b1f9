"""Cases of the mask term by Triton, run by test_mask_triton.py in a process of their own.

On the CPU the kernels are interpreted, which Triton has to know before it is imported.
"""

import os

import pytest
import torch

from sparseclust.losses import _triton
from sparseclust.losses._mask import Kernels, mask_cost
from sparseclust.losses._partition import Partition

DEVICE = "cpu" if os.environ.get("TRITON_INTERPRET") == "1" else "cuda"


def problem(n, clusters, groups, axes, spread, dtype):
    generator = torch.Generator().manual_seed(n + axes)
    group = torch.randint(0, groups, (n,), generator=generator)
    instance = torch.randint(-1, clusters, (n,), generator=generator)
    part = Partition.of(torch.where(group == 1, -1, instance), group)  # a group without truth
    k = part.n_clusters
    draw = {"generator": generator, "dtype": torch.float64}
    leaves = [
        spread * torch.randn(n, axes, **draw),
        spread * torch.randn(k, axes, **draw),
        0.3 + torch.rand(k, axes, **draw),
    ]
    weights = [torch.rand(k, **draw) for _ in range(2)]
    return [t.to(dtype) for t in leaves], [t.to(dtype) for t in weights], part


def by_triton(term, leaves, weights, part):
    ids = (part.label, part.group, part.group_clusters)
    moved = [t.to(DEVICE) for t in (*leaves, *ids, *weights)]
    return [t.cpu() for t in _triton.sweep(*moved, term, 1e-6)]


def in_chunks(term, leaves, weights, part):
    embeddings, centroids, margins = (t.double().requires_grad_() for t in leaves)
    kernels = Kernels(centroids, margins, *(w.double() for w in weights), weights[0].double())
    total, cost = mask_cost(term, embeddings, kernels, part, fused=False)
    return [total.detach(), cost, *torch.autograd.grad(total, (embeddings, centroids, margins))]


@pytest.mark.parametrize("term", ["bce", "focal"])
@pytest.mark.parametrize(
    ("n", "clusters", "groups", "axes", "spread", "dtype"),
    [
        (1, 1, 1, 1, 1.0, torch.float32),
        (30, 2, 3, 2, 0.0, torch.float32),
        (140, 3, 2, 3, 0.1, torch.float32),
        (140, 2, 2, 3, 1.0, torch.float64),
        (40, 3, 3, 5, 100.0, torch.float32),
    ],
)
def test_equals_the_chunked_path(n, clusters, groups, axes, spread, dtype, term):
    given = problem(n, clusters, groups, axes, spread, dtype)
    exact = in_chunks(term, *given)
    relative = 1e-5 if dtype == torch.float32 else 1e-11
    for ours, theirs in zip(by_triton(term, *given), exact, strict=True):
        assert ours.dtype == dtype
        scale = float(theirs.abs().max()) if theirs.numel() else 0.0
        torch.testing.assert_close(ours.double(), theirs, rtol=relative, atol=relative * scale + 1e-30)


def test_no_bit_changes_from_run_to_run():
    given = problem(140, 2, 3, 3, 0.1, torch.float32)
    first, second = (by_triton("bce", *given) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_without_clusters_there_is_nothing():
    leaves, weights, part = problem(20, 1, 1, 3, 1.0, torch.float32)
    part = Partition.of(torch.full((20,), -1), part.group)
    results = by_triton("bce", [leaves[0], *(t[:0] for t in leaves[1:])], [w[:0] for w in weights], part)
    assert results[0] == 0
    assert not results[2].any()
