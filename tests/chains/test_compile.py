"""torch.compile and torch.export: heads and losses whole, networks with breaks at our layers."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.torch_version import TorchVersion

from sparseclust.heads import EdgeAffinityHead, EmbeddingHead, MarginHead, SeedinessHead, SemanticHead
from sparseclust.losses import (
    EdgeAffinityLoss,
    MaximinAffinityLoss,
    SemanticLoss,
    SpatialEmbeddingLoss,
    functional,
    segment_mean,
)
from sparseclust.models import edge_spice
from sparseclust.sparse import SparseTensor
from sparseclust.testing import random_sparse_tensor

# Older versions of torch break a graph where a boolean mask decides how many rows there are.
_MASKS_ARE_TRACED = TorchVersion(torch.__version__) >= "2.13"

HEADS = [
    EmbeddingHead(8, spatial_size=32),
    EmbeddingHead(8, spatial_size=[32, 32, 16], dim=4),
    EmbeddingHead(8, spatial_size=32, mode="free"),
    MarginHead(8),
    MarginHead(8, dim=3),
    SeedinessHead(8),
    SemanticHead(8, 5),
]


@pytest.fixture(autouse=True)
def fresh_compiler():
    torch.compiler.reset()


def image(seed, channels=8):
    return random_sparse_tensor(np.random.default_rng(seed), channels=channels)


def whole(function):
    """Compile into one graph, where torch can, or fail."""
    return torch.compile(function, fullgraph=_MASKS_ARE_TRACED, backend="eager")


def check(compiled, plain, *args, **kwargs):
    """The same values and gradients."""
    inputs = [a for a in args if a.is_floating_point()]
    results = []
    for function in (compiled, plain):
        leaves = {id(a): a.detach().requires_grad_() for a in inputs}
        out = function(*(leaves.get(id(a), a) for a in args), **kwargs)
        loss = (out["loss"] if isinstance(out, dict) else out).sum()
        results.append([loss, *torch.autograd.grad(loss, list(leaves.values()), materialize_grads=True)])
    for one, two in zip(*results, strict=True):
        torch.testing.assert_close(one, two)


@pytest.mark.parametrize("head", HEADS, ids=lambda head: type(head).__name__)
def test_heads_are_one_graph(head):
    compiled = whole(head)
    for seed in (0, 1):
        torch.testing.assert_close(compiled(image(seed)), head(image(seed)))


@pytest.mark.parametrize("bridges", [False, True])
def test_edge_heads_are_one_graph(bridges):
    head, x = EdgeAffinityHead(8, bridges=bridges), image(0)
    torch.testing.assert_close(whole(head)(x, x.edges()), head(x, x.edges()))


@pytest.mark.parametrize("kind", ["bce", "focal", "lovasz"])
@pytest.mark.parametrize("per_event", [False, True])
def test_edge_losses_are_one_graph(kind, per_event):
    x, loss = image(0), EdgeAffinityLoss(kind=kind)
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(x.edges().shape[1], generator=generator)
    event = x.coords[:, 0].long() if per_event else None
    instance = torch.randint(-1, 4, (len(x),), generator=generator)
    check(whole(loss), loss, logits, x.edges(), instance=instance, event=event)


def test_semantic_loss_and_functional_forms_are_one_graph():
    generator = torch.Generator().manual_seed(0)
    a, b = torch.rand(40, 3, generator=generator), torch.rand(40, 3, generator=generator)
    z, own, index = a[:, 0], b[:, 0] > 0.5, torch.arange(40) // 20
    check(whole(SemanticLoss()), SemanticLoss(), a, index)
    check(whole(segment_mean), segment_mean, a, index, n=2)
    check(whole(functional.kernel_exponent), functional.kernel_exponent, a, b, z)
    check(whole(functional.mask_bce), functional.mask_bce, z, own)
    check(whole(functional.focal), functional.focal, z)
    check(whole(functional.seediness), functional.seediness, z, b[:, 0])
    check(whole(functional.margin_smoothness), functional.margin_smoothness, z, b[:, 0])
    check(whole(functional.centroid_repulsion), functional.centroid_repulsion, a, b)
    check(whole(functional.edge_bce), functional.edge_bce, z, own)
    check(whole(functional.lovasz_hinge), functional.lovasz_hinge, z, own, index, n=2)


def test_the_spatial_embedding_loss_is_called_as_it_is():
    """The number of clusters depends on the ids: one break around it, none inside, for events of any size."""
    loss = SpatialEmbeddingLoss()
    compiled = torch.compile(loss, backend="eager")
    for n in (300, 1, 50):
        generator = torch.Generator().manual_seed(n)
        outputs = (torch.rand(n, *rest, generator=generator) + 0.1 for rest in ((3,), (), ()))
        ids = {"instance": torch.randint(-1, 4, (n,), generator=generator), "group": torch.arange(n) % 2}
        check(compiled, loss, *outputs, **ids)

    def step(embeddings, margins, seediness):
        return loss(embeddings * 2, margins * 2, seediness / 2, **ids)["loss"] + 1

    found = torch._dynamo.explain(step)(torch.rand(50, 3), torch.rand(50), torch.rand(50))
    assert (found.graph_count, found.graph_break_count) == (2, 1)


def test_the_maximin_loss_is_called_as_it_is():
    loss = MaximinAffinityLoss()
    compiled = torch.compile(loss, backend="eager")
    for n, m in ((50, 120), (30, 80), (1, 0), (9, 3)):
        generator = torch.Generator().manual_seed(n)
        edges = torch.randint(0, n, (2, m), generator=generator)
        logits = torch.randn(m, generator=generator)
        check(compiled, loss, logits, edges=edges, instance=torch.randint(-1, 4, (n,), generator=generator))
    found = torch._dynamo.explain(lambda x: loss(x * 2, edges, instance=torch.arange(9))["loss"] + 1)(logits)
    assert (found.graph_count, found.graph_break_count) == (2, 1)


# A tensor that crosses a break is no leaf; torch looks at its .grad, and warns.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
def test_a_model_breaks_at_our_operations_only():
    net, x = edge_spice(spatial_size=32, base_channels=4, depth=2, reps=1).eval(), image(0, channels=4)
    found = torch._dynamo.explain(net)(x)
    assert found.graph_break_count > 0
    for reason in found.break_reasons:
        assert reason.user_stack[-1].filename.endswith("sparseclust/_eager.py"), reason.reason
    torch.compiler.reset()
    compiled = torch.compile(net, backend="eager")
    for seed in (1, 2):
        x = image(seed, channels=4)
        results = []
        for function in (compiled, net):
            outputs = function(x)
            loss = sum(values.sum() for name, values in outputs.items() if name != "edges")
            results.append([loss, *torch.autograd.grad(loss, list(net.parameters()))])
        for one, two in zip(*results, strict=True):
            torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-4)


class OnTensors(nn.Module):
    """A head as a program on tensors, which is what can be exported."""

    def __init__(self, head):
        super().__init__()
        self.head = head

    def forward(self, feats, coords):
        return self.head(SparseTensor(feats, coords, batch_size=2))


# Older versions of torch say so of a constant in a graph of their own.
@pytest.mark.filterwarnings("ignore:.*get_attr.* Node")
@pytest.mark.parametrize("head", HEADS, ids=lambda head: type(head).__name__)
def test_heads_can_be_exported_for_any_number_of_voxels(head):
    x, rows = image(0), torch.export.Dim("rows", min=2, max=1 << 40)
    shapes = {"feats": {0: rows}, "coords": {0: rows}}
    program = torch.export.export(OnTensors(head), (x.feats, x.coords), dynamic_shapes=shapes)
    y = image(1)
    assert len(y) != len(x)
    torch.testing.assert_close(program.module()(y.feats, y.coords), head(y))
