"""Groups in threads: the same labels whatever their number, one thread in workers, forks survived."""

import multiprocessing
import os

import numpy as np
import pytest

from sparseclust.clustering import _compiled, _threads, cluster_embeddings


def _problem(rng, n=40_000, groups=11):
    owner = rng.integers(0, 300, n)
    x = rng.random((300, 3))[owner] + rng.normal(size=(n, 3)) * 0.02
    return {
        "embeddings": x,
        "margins": np.full(n, 0.03),
        "seediness": rng.random(n),
        "group": rng.choice(rng.integers(-9, 99, groups), n),
        "seed_threshold": 0.3,
    }


@pytest.mark.parametrize("options", [{}, {"assignment": "argmax", "leftover": "nearest", "min_size": 3}])
def test_labels_do_not_depend_on_the_number_of_threads(rng, monkeypatch, options):
    problem = _problem(rng) | options
    monkeypatch.setattr(_compiled, "available_threads", lambda: 1)
    expected = cluster_embeddings(**problem)
    for threads in (2, 3, 8):
        monkeypatch.setattr(_compiled, "available_threads", lambda threads=threads: threads)
        assert np.array_equal(cluster_embeddings(**problem), expected)


def test_groups_of_very_unequal_size_are_all_clustered(rng, monkeypatch):
    problem = _problem(rng)
    problem["group"] = np.where(np.arange(40_000) < 50, np.arange(40_000), 7)
    monkeypatch.setattr(_compiled, "available_threads", lambda: 1)
    expected = cluster_embeddings(**problem)
    monkeypatch.setattr(_compiled, "available_threads", lambda: 4)
    assert np.array_equal(cluster_embeddings(**problem), expected)


def _report(queue, problem):
    # A worker of PyTorch's DataLoader is such a process.
    queue.put((_threads.available_threads(), cluster_embeddings(**problem).tolist()))


def test_a_daemonic_process_has_one_thread(rng):
    problem = _problem(rng, n=200, groups=2)
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    worker = context.Process(target=_report, args=(queue, problem), daemon=True)
    worker.start()
    threads, labels = queue.get(timeout=600)
    worker.join()
    assert threads == 1
    assert labels == cluster_embeddings(**problem).tolist()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_process_does_not_wait_for_threads_it_lacks(rng, monkeypatch):
    monkeypatch.setattr(_compiled, "available_threads", lambda: 2)
    problem = _problem(rng)
    expected = cluster_embeddings(**problem)
    child = os.fork()
    if child == 0:
        os._exit(0 if np.array_equal(cluster_embeddings(**problem), expected) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
