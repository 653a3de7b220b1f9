"""The clusterer on tensors: bit-equal labels, whatever the size of its windows and blocks."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import RULES, problems

from sparseclust.clustering import GaussianKernelClusterer, _torch, cluster_embeddings


def _tensors(problem):
    return {
        name: torch.from_numpy(value) if isinstance(value, np.ndarray) else value
        for name, value in problem.items()
    }


@settings(max_examples=300, deadline=None)
@given(
    problems(),
    st.sampled_from(RULES),
    st.sampled_from([1, 2, 5, 64]),
    st.sampled_from([1, 8]),
    st.sampled_from([1, 100, 2**22]),
)
def test_labels_of_tensors_equal_the_reference(problem, rule, window, rounds, entries):
    problem |= {"assignment": rule[0], "leftover": rule[1]}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_torch, "_WINDOW", window)
        patch.setattr(_torch, "_ROUNDS", rounds)
        patch.setattr(_torch, "_ENTRIES", entries)
        labels = cluster_embeddings(**_tensors(problem), backend="torch")
    assert np.array_equal(labels.numpy(), cluster_embeddings(**problem, backend="reference"))


def test_a_wide_lower_kernel_does_not_cover_a_higher_candidate():
    """The last point becomes a seed in the first round, and claims all; the second one is still free."""
    x = torch.tensor([[0.0], [1.0], [1.05], [9.0]])
    margins, seediness = torch.tensor([0.1, 0.5, 0.1, 20.0]), torch.tensor([0.9, 0.8, 0.95, 0.7])
    assert cluster_embeddings(x, margins, seediness, backend="torch").tolist() == [1, 0, 0, 2]


def test_a_chain_of_claims_is_followed_to_its_end():
    """Each point claims the next one alone, so every other one is a seed, found one after the other."""
    n = 300
    x = torch.arange(n, dtype=torch.float64)[:, None]
    labels = cluster_embeddings(x, torch.ones(n), torch.linspace(1, 0.5, n), backend="torch")
    assert torch.equal(labels, torch.arange(n) // 2)


def test_a_batch_of_many_small_groups(rng):
    n = 5000
    arrays = (rng.random((n, 3)), np.full(n, 0.2), rng.random(n))
    options = {"group": rng.integers(0, 2000, n) * 2**40, "seed_threshold": 0.2, "min_size": 2}
    expected = cluster_embeddings(*arrays, **options, backend="reference")
    assert np.array_equal(cluster_embeddings(*arrays, **options, backend="torch"), expected)


def test_the_estimator_takes_the_backend(rng):
    arrays = (rng.random((200, 3)), np.full((200, 3), 0.2), rng.random(200))
    semantic = rng.integers(0, 3, 200)
    labels = [
        GaussianKernelClusterer({0: 0.2, 1: 0.5, 2: 0.8}, backend=backend).fit_predict(
            *arrays, semantic=semantic
        )
        for backend in ("numba", "torch")
    ]
    assert np.array_equal(*labels)


def test_arrays_in_arrays_out_and_tensors_mix_with_arrays():
    x, margins, seediness = np.zeros((3, 1)), np.ones(3), np.ones(3)
    assert isinstance(cluster_embeddings(x, margins, seediness, backend="torch"), np.ndarray)
    mixed = cluster_embeddings(torch.from_numpy(x), margins, seediness, group=[0, 1, 0], backend="torch")
    assert isinstance(mixed, torch.Tensor)
    assert mixed.tolist() == [0, 1, 0]
    integers = cluster_embeddings(torch.zeros((2, 1), dtype=torch.int64), [1, 1], [1, 1], backend="torch")
    assert integers.tolist() == [0, 0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"embeddings": torch.tensor([[0.0], [np.nan], [0.0]])},
            "embeddings must be finite: 1 of 3 .* row 1",
        ),
        ({"embeddings": torch.zeros(3)}, r"embeddings must have shape \(n, d\)"),
        ({"margins": torch.tensor([1.0, 1.0, -0.1])}, "margins must be numbers >= 0: 1 of 3 .* row 2"),
        ({"margins": torch.ones(3, 2)}, "margins must have shape"),
        ({"seediness": torch.tensor([np.nan, 1.0, 1.0])}, "seediness must not be NaN"),
        ({"seediness": torch.ones(2)}, r"seediness must have shape \(3,\)"),
        ({"group": torch.zeros(2, dtype=torch.int64)}, r"group must have shape \(3,\)"),
    ],
)
def test_bad_tensors_are_refused_like_arrays(change, message):
    good = {"embeddings": torch.zeros(3, 1), "margins": torch.ones(3), "seediness": torch.ones(3)}
    with pytest.raises(ValueError, match=message):
        cluster_embeddings(**(good | change), backend="torch")


def test_groups_of_tensors_must_be_integers():
    ones = torch.ones(2)
    with pytest.raises(TypeError, match="group must be integers, got dtype float32"):
        cluster_embeddings(torch.zeros(2, 1), ones, ones, group=ones, backend="torch")


@settings(max_examples=100, deadline=None)
@given(problems(), st.sampled_from(RULES), st.booleans())
def test_the_estimator_on_tensors_equals_the_one_on_arrays(problem, rule, per_class):
    """Labels and every attribute, without the tensors going through the arrays' way."""
    n = len(problem["embeddings"])
    rng = np.random.default_rng(n)
    arrays = {name: problem[name] for name in ("embeddings", "margins", "seediness")}
    arrays["semantic"], arrays["event"] = rng.integers(0, 3, n), rng.integers(-1, 2, n) * 2**40
    seed = {0: 0.2, 1: 0.5, 2: 0.8} if per_class else 0.5
    kernel = {0: 0.2, 1: 0.5, 2: 0.9} if per_class else problem["kernel_threshold"]
    options = {"min_size": problem["min_size"], "assignment": rule[0], "leftover": rule[1]}
    host = GaussianKernelClusterer(seed, kernel, **options)
    device = GaussianKernelClusterer(seed, kernel, **options, backend="torch")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(GaussianKernelClusterer, "_fit_arrays", None)
        labels = device.fit_predict(**_tensors(arrays))
    assert np.array_equal(labels.numpy(), host.fit_predict(**arrays))
    for name in ("labels_", "seeds_", "centroids_", "margins_", "scores_", "instances_"):
        ours, theirs = getattr(device, name), getattr(host, name)
        assert isinstance(ours, np.ndarray)
        assert ours.dtype == theirs.dtype
        assert ours.tobytes() == theirs.tobytes()


def test_the_estimator_refuses_bad_tensors_like_arrays():
    x, ones = torch.zeros(3, 1), torch.ones(3)
    clusterer = GaussianKernelClusterer({0: 0.5}, backend="torch")
    with pytest.raises(ValueError, match=r"seed_threshold has no value for the classes \[1\]"):
        clusterer.fit_predict(x, ones, ones, semantic=torch.tensor([0, 1, 1]))
    with pytest.raises(ValueError, match="pass semantic="):
        clusterer.fit_predict(x, ones, ones)
    with pytest.raises(ValueError, match=r"event must have shape \(3,\)"):
        clusterer.fit_predict(x, ones, ones, semantic=[0, 0, 0], event=torch.zeros(2, dtype=torch.int64))
    with pytest.raises(TypeError, match="semantic must be integers"):
        clusterer.fit_predict(x, ones, ones, semantic=ones)
    with pytest.raises(ValueError, match="embeddings must be finite"):
        clusterer.fit_predict(x / 0, ones, ones, semantic=[0, 0, 0])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("rule", RULES)
def test_labels_on_the_gpu_equal_the_reference(rng, rule):
    n = 20_000
    arrays = (rng.random((n, 3), np.float32), 10.0 ** rng.uniform(-3, -1, n), rng.random(n))
    options = {"group": rng.integers(0, 20, n), "assignment": rule[0], "leftover": rule[1]}
    labels = cluster_embeddings(*(torch.from_numpy(a).cuda() for a in arrays), **options)
    assert labels.is_cuda
    assert np.array_equal(labels.cpu().numpy(), cluster_embeddings(*arrays, **options, backend="reference"))
