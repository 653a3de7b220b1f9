"""SpatialEmbeddingLoss: values, gradients, symmetries, extremes, peers."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sparseclust.losses import SpatialEmbeddingLoss, functional
from sparseclust.losses._partition import Partition, _dense
from sparseclust.losses._reference import spatial_embedding_terms

TERMS = ("mask", "seed", "smooth", "repulsion")
Inputs = dict[str, torch.Tensor]


def _inputs(n: int, *, seed: int, axes: int = 0, ids: int = 4, groups: int = 3) -> Inputs:
    generator = torch.Generator().manual_seed(seed)
    draw = {"generator": generator, "dtype": torch.float64}
    return {
        "embeddings": torch.randn(n, 2, **draw).requires_grad_(),
        "margins": (0.3 + torch.rand(*((n, axes) if axes else (n,)), **draw)).requires_grad_(),
        "seediness": torch.rand(n, **draw).requires_grad_(),
        "instance": torch.randint(-1, ids, (n,), generator=generator),
        "group": torch.randint(0, groups, (n,), generator=generator) * 1000 - 7,
    }


def _gradients(total: torch.Tensor, inputs: Inputs) -> list[torch.Tensor]:
    leaves = [inputs[name] for name in ("embeddings", "margins", "seediness")]
    return list(torch.autograd.grad(total, leaves, retain_graph=True, materialize_grads=True))


def _one_term(name: str, **options: Any) -> SpatialEmbeddingLoss:
    weights = {f"{term}_weight": float(term == name) for term in TERMS}
    return SpatialEmbeddingLoss(**weights, **options)


def _shuffled(inputs: Inputs, order: torch.Tensor) -> Inputs:
    return {
        name: tensor.detach()[order].requires_grad_(tensor.requires_grad) for name, tensor in inputs.items()
    }


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(1, 40),
    seed=st.integers(0, 10_000),
    axes=st.sampled_from([0, 1, 2]),
    ids=st.integers(0, 5),
    groups=st.integers(1, 4),
    fused=st.booleans(),
    with_event=st.booleans(),
    options=st.fixed_dictionaries(
        {
            "mask": st.sampled_from(["bce", "focal", "lovasz"]),
            "balance": st.booleans(),
            "average": st.sampled_from(["group", "cluster", "voxel"]),
            "seed": st.sampled_from(["squared", "l1", "huber"]),
            "smooth": st.sampled_from(["squared", "l1"]),
        }
    ),
)
def test_equals_the_reference(
    n: int,
    seed: int,
    axes: int,
    ids: int,
    groups: int,
    fused: bool,
    with_event: bool,
    options: dict[str, Any],
) -> None:
    inputs = _inputs(n, seed=seed, axes=axes, ids=ids, groups=groups)
    if with_event:
        inputs["event"] = torch.where(inputs["group"] < 1500, 8, 3)
    expected = spatial_embedding_terms(**inputs, repulsion_distance=1.5, **options)
    for name in TERMS:
        loss = _one_term(name, repulsion_distance=1.5, **options)
        loss.fused = fused
        got = loss(**inputs)
        assert got["loss"].item() == pytest.approx(expected[name].item(), rel=1e-10, abs=1e-14)
        assert got[name].item() == got["loss"].item()
        assert not got[name].requires_grad
        for ours, theirs in zip(
            _gradients(got["loss"], inputs), _gradients(expected[name], inputs), strict=True
        ):
            # A narrow kernel makes large terms, whose small sum is as far off as they are.
            scale = theirs.abs().max().item() if theirs.numel() else 0.0
            torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12 + 1e-9 * scale)


@pytest.mark.parametrize("axes", [0, 2])
@pytest.mark.parametrize("name", TERMS)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"balance": True},
        {"mask": "focal"},
        {"mask": {"bce": 0.5, "lovasz": 2.0}},
        {"seed": "l1", "smooth": "l1"},
        {"seed": "huber", "average": "cluster"},
    ],
)
def test_gradcheck(name: str, axes: int, options: dict[str, Any]) -> None:
    inputs = _inputs(9, seed=3, axes=axes, ids=3, groups=2)
    loss = _one_term(name, repulsion_distance=2.0, **options)
    truth = {"instance": inputs["instance"], "group": inputs["group"]}
    # The target of the seediness is detached: differentiate with respect to the seediness only.
    fixed = [inputs["embeddings"], inputs["margins"]] if name != "seed" else []

    def function(*leaves: torch.Tensor) -> torch.Tensor:
        *moved, seediness = leaves
        embeddings, margins = moved or (inputs["embeddings"].detach(), inputs["margins"].detach())
        return loss(embeddings, margins, seediness, **truth)["loss"]

    assert torch.autograd.gradcheck(function, (*fixed, inputs["seediness"]))


def test_values_by_hand() -> None:
    # Two clusters of two voxels on a line, centroids 1 and 5, margins 1 and 2; one background voxel at 3.
    terms = SpatialEmbeddingLoss(repulsion_distance=5.0)(
        torch.tensor([[0.0], [2.0], [4.0], [6.0], [3.0]], dtype=torch.float64),
        torch.tensor([0.5, 1.5, 2.0, 2.0, 9.0], dtype=torch.float64),
        torch.tensor([1.0, 1.0, 1.0, 1.0, 1.0], dtype=torch.float64),
        instance=torch.tensor([7, 7, 3, 3, -1]),
        group=torch.zeros(5, dtype=torch.long),
    )

    def foreign(z: float) -> float:
        return -math.log1p(-math.exp(-z))

    first = (0.5 + 0.5 + foreign(9 / 2) + foreign(25 / 2) + foreign(4 / 2)) / 5
    second = (1 / 8 + 1 / 8 + foreign(25 / 8) + foreign(9 / 8) + foreign(4 / 8)) / 5
    seed = (2 * (1 - math.exp(-0.5)) ** 2 + 2 * (1 - math.exp(-1 / 8)) ** 2 + 1) / 5
    assert terms["mask"].item() == pytest.approx((first + second) / 2, rel=1e-5)
    assert terms["seed"].item() == pytest.approx(seed)
    assert terms["smooth"].item() == pytest.approx((0.25 + 0.0) / 2)
    assert terms["repulsion"].item() == pytest.approx(1.0)
    assert terms["loss"].item() == pytest.approx(terms["mask"].item() + seed + 10 * 0.125)


def test_balance_by_hand() -> None:
    embeddings = torch.tensor([[-1.0], [1.0], [2.0]], dtype=torch.float64)
    group = torch.zeros(3, dtype=torch.long)
    ones = torch.ones(3, dtype=torch.float64)
    terms = SpatialEmbeddingLoss(balance=True)(
        embeddings, ones, ones, instance=torch.tensor([0, 0, -1]), group=group
    )
    assert terms["mask"].item() == pytest.approx((0.5 - math.log1p(-math.exp(-2.0))) / 2, rel=1e-5)


@pytest.mark.parametrize("mask", ["bce", "focal", "lovasz"])
def test_order_and_ids_do_not_matter(mask: Any) -> None:
    inputs = _inputs(60, seed=1)
    loss = SpatialEmbeddingLoss(mask=mask, repulsion_weight=1.0, repulsion_distance=2.0)
    total = loss(**inputs)["loss"]
    gradients = _gradients(total, inputs)
    order = torch.randperm(60, generator=torch.Generator().manual_seed(5))
    renamed = _shuffled(inputs, order)
    names = torch.tensor([90, 5, 1 << 60, 11, -1])  # index -1 stays -1
    renamed["instance"] = names[renamed["instance"]]
    renamed["group"] = -3 * renamed["group"]
    again = loss(**renamed)["loss"]
    assert again.item() == pytest.approx(total.item(), rel=1e-12)
    for moved, gradient in zip(_gradients(again, renamed), gradients, strict=True):
        torch.testing.assert_close(moved, gradient[order], rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize("mask", ["bce", "focal"])
def test_second_derivatives_without_the_compiled_term(mask: Any) -> None:
    inputs = _inputs(9, seed=3, ids=3, groups=2)
    loss = _one_term("mask", mask=mask)
    loss.fused = False

    def function(embeddings: torch.Tensor, margins: torch.Tensor) -> torch.Tensor:
        return loss(**{**inputs, "embeddings": embeddings, "margins": margins})["loss"]

    assert torch.autograd.gradgradcheck(function, (inputs["embeddings"], inputs["margins"]))
    loss.fused = True
    with pytest.raises(NotImplementedError, match="fused = False"):
        torch.autograd.grad(
            function(inputs["embeddings"], inputs["margins"]), inputs["margins"], create_graph=True
        )


@pytest.mark.parametrize("scale", [1, 3, 1 << 40])
def test_dense_ids_are_those_of_unique(scale: int) -> None:
    generator = torch.Generator().manual_seed(0)
    for n in (0, 1, 50):
        values = torch.randint(-30, 30, (n,), generator=generator) * scale
        for ours, theirs in zip(_dense(values), torch.unique(values, return_inverse=True), strict=True):
            assert torch.equal(ours, theirs)


def test_a_batch_costs_the_mean_of_its_groups() -> None:
    inputs = _inputs(60, seed=2)
    loss = SpatialEmbeddingLoss(repulsion_weight=1.0)
    together = loss(**inputs)
    rows = [torch.nonzero(inputs["group"] == g).squeeze(1) for g in inputs["group"].unique()]
    alone = [loss(**_shuffled(inputs, row)) for row in rows]
    for name in ("loss", *TERMS):
        assert together[name].item() == pytest.approx(
            sum(t[name].item() for t in alone) / len(alone), rel=1e-12
        )


@pytest.mark.parametrize("mask", ["bce", "lovasz"])
def test_a_batch_costs_the_mean_of_its_events(mask: Any) -> None:
    inputs = _inputs(90, seed=2, groups=5)
    event = torch.where(inputs["group"] < 1000, 1, 2)  # of two and of three groups
    loss = SpatialEmbeddingLoss(mask=mask, repulsion_weight=1.0)
    together = loss(**inputs, event=event)
    rows = [torch.nonzero(event == e).squeeze(1) for e in (1, 2)]
    alone = [loss(**_shuffled(inputs, row)) for row in rows]
    for name in ("loss", *TERMS):
        assert together[name].item() == pytest.approx((alone[0][name] + alone[1][name]).item() / 2, rel=1e-12)
    assert together["loss"].item() != pytest.approx(loss(**inputs)["loss"].item(), rel=1e-3)


@pytest.mark.parametrize("average", ["group", "cluster", "voxel"])
def test_terms_per_class(average: Any) -> None:
    inputs = _inputs(90, seed=2, groups=4)
    semantic = torch.where(inputs["group"] < 1000, 3, 1)
    inputs["instance"] = torch.where(inputs["group"] > 2500, -1, inputs["instance"])
    semantic = torch.where(inputs["group"] > 2500, 0, semantic)  # a class without truth
    loss = SpatialEmbeddingLoss(average=average)
    terms = loss(**inputs, semantic=semantic)
    assert set(terms) == {"loss", *TERMS} | {f"{name}/{c}" for name in ("loss", *TERMS) for c in (1, 3)}
    assert not any(value.requires_grad for name, value in terms.items() if name != "loss")
    for c in (1, 3):
        rows = torch.nonzero(semantic == c).squeeze(1)
        alone = loss(**_shuffled(inputs, rows))
        for name in ("loss", *TERMS):
            assert terms[f"{name}/{c}"].item() == pytest.approx(alone[name].item(), rel=1e-12)


def test_a_combination_is_the_weighted_sum() -> None:
    inputs = _inputs(60, seed=2)
    both = SpatialEmbeddingLoss(mask={"bce": 0.5, "lovasz": 2.0})(**inputs)["mask"].item()
    bce, lovasz = (SpatialEmbeddingLoss(mask=m)(**inputs)["mask"].item() for m in ("bce", "lovasz"))
    assert both == pytest.approx(0.5 * bce + 2 * lovasz)


def test_groups_without_truth_count_for_nothing() -> None:
    inputs = _inputs(60, seed=2)
    one = inputs["group"] == inputs["group"].min()
    inputs["instance"] = torch.where(one, -1, inputs["instance"])
    loss = SpatialEmbeddingLoss()
    total = loss(**inputs)["loss"]
    rest = loss(**_shuffled(inputs, torch.nonzero(~one).squeeze(1)))["loss"]
    assert total.item() == pytest.approx(rest.item(), rel=1e-12)
    assert all(not gradient[one].any() for gradient in _gradients(total, inputs))


@pytest.mark.parametrize("n", [0, 1, 5])
def test_no_truth_is_a_differentiable_zero(n: int) -> None:
    inputs = _inputs(n, seed=0)
    inputs["instance"] = torch.full((n,), -1)
    terms = SpatialEmbeddingLoss(repulsion_weight=1.0)(**inputs)
    assert [terms[name].item() for name in ("loss", *TERMS)] == [0.0] * 5
    terms["loss"].backward()
    for name in ("embeddings", "margins", "seediness"):
        gradient = inputs[name].grad
        assert gradient is not None
        assert not gradient.any()


def test_one_voxel() -> None:
    inputs = _inputs(1, seed=0)
    inputs["instance"] = torch.tensor([5])
    terms = SpatialEmbeddingLoss(repulsion_weight=1.0)(**inputs)
    assert terms["mask"].item() == 0.0
    assert terms["seed"].item() == pytest.approx((inputs["seediness"].item() - 1.0) ** 2)


def test_a_member_at_twenty_sigma_is_still_pulled() -> None:
    embeddings = torch.cat([torch.zeros(999, 3), torch.tensor([[20.0, 0.0, 0.0]])]).requires_grad_()
    zeros = torch.zeros(1000, dtype=torch.long)
    _one_term("mask")(embeddings, torch.ones(1000), torch.ones(1000), instance=zeros, group=zeros)[
        "loss"
    ].backward()
    assert embeddings.grad is not None
    # d/de of z / n, the centroid following at 1/n: about (20 - 0.02) / 1000.
    assert embeddings.grad[-1, 0].item() == pytest.approx(0.02, rel=5e-3)


@pytest.mark.parametrize("mask", ["bce", "focal", "lovasz"])
@pytest.mark.parametrize(("sigma", "scale"), [(1e-4, 1.0), (1.0, 1e4), (1e-4, 1e4), (0.0, 1e4), (1e4, 1e-4)])
def test_extremes_stay_finite_in_float32(mask: Any, sigma: float, scale: float) -> None:
    generator = torch.Generator().manual_seed(0)
    embeddings = (torch.randn(50, 3, generator=generator) * scale).requires_grad_()
    margins = torch.full((50,), sigma, requires_grad=True)
    instance = torch.arange(50) % 5
    with torch.no_grad():
        embeddings[:10] = 0.0  # voxels of all clusters in one place
    terms = SpatialEmbeddingLoss(mask=mask, repulsion_weight=1.0)(
        embeddings, margins, torch.rand(50, generator=generator), instance=instance, group=instance * 0
    )
    terms["loss"].backward()
    assert all(value.isfinite() for value in terms.values())
    for leaf in (embeddings, margins):
        assert leaf.grad is not None
        assert leaf.grad.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_low_precision_is_computed_in_float32(dtype: torch.dtype) -> None:
    inputs = _inputs(200, seed=4)
    low = {k: v.detach().to(dtype) if v.is_floating_point() else v for k, v in inputs.items()}
    loss = SpatialEmbeddingLoss(repulsion_weight=1.0)
    terms = loss(**low)
    assert terms["loss"].dtype == torch.float32
    widened = {k: v.double() if v.is_floating_point() else v for k, v in low.items()}
    assert terms["loss"].item() == pytest.approx(loss(**widened)["loss"].item(), rel=1e-5)


def test_autocast_does_not_lower_the_precision() -> None:
    inputs = {k: v.detach().float() if v.is_floating_point() else v for k, v in _inputs(200, seed=4).items()}
    expected = SpatialEmbeddingLoss(repulsion_weight=1.0)(**inputs)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        terms = SpatialEmbeddingLoss(repulsion_weight=1.0)(**inputs)
    assert {name: term.item() for name, term in terms.items()} == {k: v.item() for k, v in expected.items()}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"embeddings": torch.zeros(4)}, r"embeddings must have shape \(n, d\)"),
        ({"margins": torch.zeros(4, 3)}, r"margins must have shape \(4,\) or \(4, 2\)"),
        ({"seediness": torch.zeros(4, 1)}, "seediness must have shape"),
        ({"instance": torch.zeros(3, dtype=torch.long)}, "instance must have shape"),
        ({"group": torch.zeros(4)}, r"group must be integers.*\.long\(\)"),
        ({"seediness": torch.zeros(4, dtype=torch.long)}, "seediness must be floating point"),
        ({"event": torch.zeros(3, dtype=torch.long)}, "event must have shape"),
        ({"event": torch.arange(4), "group": torch.zeros(4).long()}, "event must be the same for all voxels"),
        ({"semantic": torch.arange(4), "group": torch.zeros(4).long()}, "semantic must be the same"),
    ],
)
def test_bad_input_is_named(change: Inputs, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SpatialEmbeddingLoss()(**{**_inputs(4, seed=0), **change})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mask": "dice"}, "mask must be one of"),
        ({"mask": {"bce": 1.0, "dice": 1.0}}, "mask must be one of"),
        ({"mask": {}}, "mask must be one of"),
        ({"average": "event"}, "average must be one of"),
        ({"seed": "l2"}, "seed must be one of"),
        ({"smooth": "huber"}, "smooth must be one of"),
    ],
)
def test_unknown_choice_is_refused(options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SpatialEmbeddingLoss(**options)


PEER_SETS = (
    "A_2events",
    "B_1event_1class",
    "C_single_cluster",
    "D_label_gaps",
    "E_singleton_clusters",
    "G_lowE_class4_present",
)


def _peer_inputs(vectors: Any, name: str) -> Inputs:
    def column(key: str) -> torch.Tensor:
        return torch.tensor(vectors[f"{name}/in/{key}"])

    return {
        "embeddings": column("emb").double().requires_grad_(),
        "margins": column("margins").double().requires_grad_(),
        "seediness": column("seediness").squeeze(1).double().requires_grad_(),
        "instance": column("cluster"),
        "group": column("batch") * 10 + column("shape"),
    }


@pytest.mark.parametrize("name", PEER_SETS)
def test_equals_an_independent_program_where_it_does_not_clip(oracle_dir: Path, name: str) -> None:
    with np.load(oracle_dir / "losses.npz") as vectors:
        inputs = _peer_inputs(vectors, name)
        terms = _one_term("mask")(**inputs)
        peer = f"{name}/spine_mask_only"
        assert terms["mask"].item() == pytest.approx(float(vectors[f"{peer}/out/mask_loss"]), rel=2e-6)
        assert terms["repulsion"].item() == pytest.approx(float(vectors[f"{peer}/out/inter_loss"]), abs=1e-7)
        squared = float(vectors[f"{name}/spine_focal_like_l2seed/out/seed_loss"])
        assert terms["seed"].item() == pytest.approx(squared, rel=2e-6)
        embeddings, margins, _ = _gradients(terms["loss"], inputs)
        for ours, key in ((embeddings, "emb"), (margins, "margins")):
            theirs = vectors[f"{peer}/grad/{key}"]
            np.testing.assert_allclose(ours.numpy(), theirs, atol=1e-5 * np.abs(theirs).max())


def test_costs_more_than_a_program_that_clips(oracle_dir: Path) -> None:
    with np.load(oracle_dir / "losses.npz") as vectors:
        terms = _one_term("mask")(**_peer_inputs(vectors, "F_overlapping"))
        assert terms["mask"].item() > 1.03 * float(vectors["F_overlapping/spine_mask_only/out/mask_loss"])


def _published_mask(vectors: Any, name: str, peer: str, scores: Any) -> tuple[torch.Tensor, float]:
    """Mean over classes, then events, of the Lovasz hinge on a function of z; ours and the peer's."""
    inputs = _peer_inputs(vectors, name)
    part = Partition.of(inputs["instance"], inputs["group"])
    centroids = part.means(inputs["embeddings"])
    sigmas = part.means(inputs["margins"].reshape(len(part.group)))
    per_cluster = []
    for k in range(part.n_clusters):
        rows = part.group == part.cluster_group[k]
        z = functional.kernel_exponent(inputs["embeddings"][rows], centroids[k], sigmas[k])
        own = part.label[rows] == k
        index = torch.zeros(len(z), dtype=torch.long)
        extra = torch.log1p(sigmas[k]) if peer.endswith("_2") else 0.0
        per_cluster.append(functional.lovasz_hinge(scores(z), own, index, 1)[0] + extra)
    mean = functional.segment_mean(torch.stack(per_cluster), part.cluster_group, len(part.group_size))
    event = torch.unique(inputs["group"]) // 10
    weight = part.group_weight("group", event[part.group], torch.float64)
    return torch.dot(mean, weight), float(vectors[f"{name}/{peer}/batch_col3/out/mask_loss"])


@pytest.mark.parametrize("name", ["A_2events", "B_1event_1class", "D_label_gaps"])
@pytest.mark.parametrize(
    ("peer", "scores"),
    [
        ("se_lovasz_inter", lambda z: -z - torch.log(-torch.expm1(-z))),
        ("se_lovasz_inter_2", lambda z: 2 * torch.exp(-z) - 1),
    ],
)
def test_lovasz_equals_the_published_code(oracle_dir: Path, name: str, peer: str, scores: Any) -> None:
    with np.load(oracle_dir / "losses.npz") as vectors:
        ours, theirs = _published_mask(vectors, name, peer, scores)
    assert ours.item() == pytest.approx(theirs, rel=1e-5)
