"""Worker processes change no label, end with their parent, and are missed when they die."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import Executor, Future
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np
import pytest
import torch
from processes import all_end

from sparseclust.clustering import AffinityGraphClusterer, GaussianKernelClusterer
from sparseclust.data import VoxelInputs
from sparseclust.models import create_model
from sparseclust.pipeline import Predictor
from sparseclust.pipeline._workers import LabelPool
from sparseclust.testing import random_event

SIZE = 64


def make_predictor(clusterer, **options):
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = create_model("edge_spice", spatial_size=SIZE, base_channels=4, depth=2, initial_margin=0.1)
    return Predictor(model, clusterer, inputs=VoxelInputs(SIZE), batch_size=2, **options)


def test_predictions_are_the_same_in_the_same_order(rng):
    predictor = make_predictor(AffinityGraphClusterer(threshold=0.5), outputs=["margins"])
    events = [random_event(rng, spatial_size=SIZE) for _ in range(9)]
    alone = list(predictor.predict(events))
    beside = list(predictor.predict(iter(events), workers=1))
    assert [p.event for p in beside] == events
    for a, b in zip(alone, beside):
        np.testing.assert_array_equal(a.labels, b.labels)
        np.testing.assert_array_equal(a.outputs["margins"], b.outputs["margins"])
        np.testing.assert_array_equal(a.edges, b.edges)
        np.testing.assert_array_equal(a.affinity, b.affinity)


class AtOnce(Executor):
    """No processes: what would be sent to one is done here."""

    def __init__(self, workers, **options):
        pass

    def submit(self, function, *arguments):
        done = Future()
        done.set_result(function(*arguments))
        return done


@pytest.mark.parametrize("refine", [False, True])
def test_kernels_and_repairs_beside_the_network(rng, monkeypatch, refine):
    monkeypatch.setattr("sparseclust.pipeline._workers.ProcessPoolExecutor", AtOnce)
    predictor = make_predictor(GaussianKernelClusterer(0.3), refine=refine)
    events = [random_event(rng, spatial_size=SIZE) for _ in range(15)]
    for a, b in zip(predictor.predict(events), predictor.predict(events, workers=2), strict=True):
        np.testing.assert_array_equal(a.labels, b.labels)


def test_seconds_add_up(rng):
    predictor = make_predictor(AffinityGraphClusterer())
    assert set(predictor.seconds.values()) == {0.0}

    def slow():
        for _ in range(3):
            time.sleep(0.05)
            yield random_event(rng, spatial_size=SIZE)

    begin = time.perf_counter()
    list(predictor.predict(slow()))
    assert sum(predictor.seconds.values()) <= time.perf_counter() - begin
    assert predictor.seconds["read"] >= 0.15
    assert all(seconds > 0 for seconds in predictor.seconds.values())


def test_a_number_of_workers():
    with pytest.raises(ValueError, match="workers must be at least 0, got -1"):
        make_predictor(AffinityGraphClusterer()).predict([], workers=-1)


WITH_A_WORKER = """
import os, signal, sys
import numpy as np
from test_workers import make_predictor
from sparseclust.clustering import AffinityGraphClusterer
from sparseclust.testing import random_event

def events():
    rng = np.random.default_rng(1)
    while True:
        yield random_event(rng)

if __name__ == "__main__":
    import multiprocessing
    for i, _ in enumerate(make_predictor(AffinityGraphClusterer()).predict(events(), workers=1)):
        if i == 4:
            print(multiprocessing.active_children()[0].pid, flush=True)
"""


@pytest.fixture
def running(tmp_path):
    """A process that predicts for ever, and the number of its worker."""
    script = tmp_path / "script.py"
    script.write_text(WITH_A_WORKER)
    path = os.pathsep.join([os.path.dirname(__file__), *sys.path])
    command = [sys.executable, str(script)]
    environment = {**os.environ, "PYTHONPATH": path}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        yield process, int(process.stdout.readline())
        process.kill()


def test_workers_of_a_killed_process_end(running):
    process, worker = running
    process.kill()
    process.wait(timeout=600)
    assert all_end(worker)


def test_a_killed_worker_is_an_error(running):
    process, worker = running
    os.kill(worker, signal.SIGKILL)
    _, err = process.communicate(timeout=600)
    assert process.returncode == 1
    assert BrokenProcessPool.__name__ in err


def _large(flag):
    Path(flag).touch()
    return bytes(200_000_000)


@pytest.mark.parametrize("delay", [0.0, 0.03, 0.1, 0.2])
def test_a_worker_killed_while_it_sends_is_an_error(tmp_path, delay):
    """A pool alone would wait for the rest for ever."""
    flag = tmp_path / "begun"
    with LabelPool(2, AffinityGraphClusterer()) as pool:
        task = pool._pool.submit(_large, flag)
        while not (flag.exists() or task.done()):
            time.sleep(0.005)
        time.sleep(delay)
        for worker in list(pool._pool._processes):
            os.kill(worker, signal.SIGKILL)
        try:
            assert len(pool.result(task)) == 200_000_000  # it was faster
        except BrokenProcessPool:
            assert task.exception() is not None
