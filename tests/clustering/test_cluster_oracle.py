"""The rule assignment="argmax", leftover="nearest" against labels of the 2020 reference code."""

import json
from typing import Any, NamedTuple

import numpy as np
import pytest

from sparseclust.clustering import GaussianKernelClusterer, cluster_embeddings


class Case(NamedTuple):
    name: str
    embeddings: np.ndarray
    margins: np.ndarray
    seediness: np.ndarray
    thresholds: dict[str, float]
    labels: dict[str, np.ndarray]
    seeds: np.ndarray
    status: dict[str, str]


@pytest.fixture(scope="module")
def cases(oracle_dir) -> dict[str, Case]:
    z = np.load(oracle_dir / "clusterer.npz")
    assert json.loads(str(z["meta"]))["kind"] == "clusterer"
    return {str(name): _case(z, i, str(name)) for i, name in enumerate(z["name"])}


def _case(z: Any, i: int, name: str) -> Case:
    rows = slice(z["offsets"][i], z["offsets"][i + 1])
    return Case(
        name,
        z["emb"][z["emb_offsets"][i] : z["emb_offsets"][i + 1]].reshape(-1, z["dim"][i]),
        z["margins"][rows],
        z["seediness"][rows],
        {"seed_threshold": float(z["s0"][i]), "kernel_threshold": float(z["p0"][i])},
        {kind: z[f"labels_{kind}"][rows] for kind in ("np32", "np64", "torch")},
        z["seed_index"][z["seed_offsets"][i] : z["seed_offsets"][i + 1]],
        {kind: str(z[f"status_{kind}"][i]) for kind in ("np32", "np64", "torch")},
    )


def _ours(case: Case, **options: Any) -> np.ndarray:
    rule = {"assignment": "argmax", "leftover": "nearest"} | options
    return cluster_embeddings(case.embeddings, case.margins, case.seediness, **case.thresholds, **rule)


def _smallest_exponent(case: Case) -> np.ndarray:
    """``-ln p`` of the largest kernel at each point, over the seeds that the reference code found."""
    least = np.full(len(case.margins), np.inf)
    x, sigma = case.embeddings.astype(float), case.margins.astype(float)
    for i in case.seeds:
        least = np.minimum(least, np.sum((x - x[i]) ** 2, axis=1) / (2 * sigma[i] ** 2))
    return least


@pytest.mark.parametrize(
    ("kind", "dtype"), [("np32", np.float32), ("np64", np.float64), ("torch", np.float32)]
)
def test_labels_agree_wherever_a_kernel_does_not_underflow(cases, kind, dtype):
    compared = 0
    for case in cases.values():
        if case.status[kind] != "ok" or len(case.seeds) == 0:
            continue
        ours, theirs = _ours(case), case.labels[kind]
        # They take the argmax of p: where the largest is denormal or 0, it is no longer the nearest kernel.
        exponent = _smallest_exponent(case)
        resolved = exponent < -np.log(np.finfo(dtype).tiny)
        assert np.array_equal(ours[resolved], theirs[resolved]), case.name
        assert np.all(theirs[exponent > 750] == 0), case.name
        compared += int(resolved.sum())
    assert compared > 60_000


def test_seeds_agree(cases):
    for case in cases.values():
        if case.status["np32"] == "ok" and len(case.seeds):
            clusterer = GaussianKernelClusterer(**case.thresholds, assignment="argmax")
            clusterer.fit_predict(case.embeddings, case.margins, case.seediness)
            assert np.array_equal(clusterer.seeds_, case.seeds), case.name


def test_the_dtype_of_the_input_never_decides(cases):
    for case in cases.values():
        if case.status["np64"] != "ok":
            continue
        wide = case._replace(embeddings=case.embeddings.astype(float), margins=case.margins.astype(float))
        assert np.array_equal(_ours(case), _ours(wide)), case.name


def test_without_a_seed_nothing_is_clustered(cases):
    case = cases["one/above"]
    thresholds = case.thresholds | {"seed_threshold": 0.95}
    assert _ours(case._replace(thresholds=thresholds)).tolist() == [-1]


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("hang/seediness_zero_and_s0_zero", [0, 1]),
        ("hang/negative_seediness", [0, 1]),
        ("hang/sigma_zero_second", [0, 1, 2]),
    ],
)
def test_cases_that_never_ended_there_end_here(cases, name, labels):
    assert cases[name].status["np64"] == "does not terminate"
    assert _ours(cases[name]).tolist() == labels


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("hang/p0_is_one", "kernel_threshold must lie strictly between 0 and 1"),
        ("hang/sigma_nan", "margins must be numbers >= 0: 1 of 2 rows"),
        ("hang/embedding_nan", "embeddings must be finite: 1 of 2 rows"),
        ("hang/embedding_inf", "embeddings must be finite: 1 of 2 rows"),
    ],
)
def test_invalid_cases_that_never_ended_there_are_refused(cases, name, message):
    with pytest.raises(ValueError, match=message):
        _ours(cases[name])


def test_a_point_whose_kernels_all_underflow_joins_the_nearest(cases):
    case = cases["underflow/nearer_to_1_but_label0"]
    assert case.labels["np32"].tolist() == [0, 1, 0]
    assert _ours(case).tolist() == [0, 1, 1]


def test_greedy_and_argmax_differ_only_between_kernels(cases):
    case = cases["overlap0/n300k25_s0"]
    greedy = _ours(case, assignment="greedy", leftover="noise")
    argmax = _ours(case, leftover="noise")
    assert np.array_equal(greedy < 0, argmax < 0)
    assert 0 < np.mean(greedy != argmax) < 0.5
