"""Files of predictions: finished once, the same bytes after any interruption, never over something else."""

import os
import shutil
import subprocess
import sys
import threading
import time

import h5py
import numpy as np
import pytest
import torch

from sparseclust import _lock as lock
from sparseclust.clustering import AffinityGraphClusterer, GaussianKernelClusterer
from sparseclust.data import EventStore, VoxelInputs, write_events
from sparseclust.models import create_model, semantic_unet
from sparseclust.pipeline import Predictor, SemanticClassifier, TiledNetwork, predict_file
from sparseclust.pipeline._production import fingerprint
from sparseclust.testing import random_event

SIZE = 64


def make_predictor(seed=1, **options):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = create_model("edge_spice", spatial_size=SIZE, base_channels=4, depth=2, reps=1)
    clusterer = options.pop("clusterer", AffinityGraphClusterer(threshold=0.5))
    return Predictor(model, clusterer, inputs=VoxelInputs(SIZE), **{"batch_size": 2} | options)


def write_inputs(path, n=7):
    rng = np.random.default_rng(n)
    write_events(path, [random_event(rng, spatial_size=SIZE) for _ in range(n)])
    return path


@pytest.fixture
def source(tmp_path):
    return write_inputs(tmp_path / "events.h5")


@pytest.fixture
def target(tmp_path):
    return tmp_path / "out" / "events.pred.h5"


def test_a_finished_file_is_kept(source, target):
    counted = []
    first = predict_file(make_predictor(), source, target, advance=counted.append)
    assert (first.path, first.n_events, first.new) == (target, 7, True)
    assert counted == [1] * 7
    assert set(first.seconds) == {"read", "collate", "network", "cluster", "write"}
    assert all(seconds > 0 for seconds in first.seconds.values())
    before = target.stat().st_ino, target.stat().st_mtime_ns
    again = predict_file(make_predictor(), source, target)
    assert (again.n_events, again.new, again.seconds) == (7, False, {})
    assert (target.stat().st_ino, target.stat().st_mtime_ns) == before
    assert [path.name for path in target.parent.iterdir()] == [target.name]


def test_the_bytes_depend_on_nothing_else(source, target, tmp_path):
    predict_file(make_predictor(), source, target)
    once = target.read_bytes()
    predictor = make_predictor()
    list(predictor.predict(EventStore(source)))  # no state of the predictor
    shutil.copy(source, tmp_path / "copy.h5")  # nor the name of the input
    predict_file(predictor, tmp_path / "copy.h5", tmp_path / "copy.pred.h5")
    assert (tmp_path / "copy.pred.h5").read_bytes() == once


def test_half_a_file_is_written_again(source, target):
    predict_file(make_predictor(), source, target)
    whole = target.read_bytes()
    for part in (b"", whole[:8], whole[:600], whole[:-1], whole[: len(whole) // 2]):
        target.write_bytes(part)
        assert predict_file(make_predictor(), source, target).new
        assert target.read_bytes() == whole


def test_a_flipped_bit_is_found(source, target):
    predict_file(make_predictor(), source, target)
    whole = target.read_bytes()
    with h5py.File(target) as file:
        at = file["extra/label"].id.get_chunk_info(0).byte_offset
    spoiled = bytearray(whole)
    spoiled[at + 5] ^= 4
    target.write_bytes(spoiled)
    assert predict_file(make_predictor(), source, target).new
    assert target.read_bytes() == whole


def _refused(predictor, source, target, match, **options):
    before = target.read_bytes()
    with pytest.raises(FileExistsError, match=match):
        predict_file(predictor, source, target, **options)
    assert target.read_bytes() == before
    assert [path.name for path in target.parent.iterdir()] == [target.name]
    assert predict_file(predictor, source, target, overwrite=True, **options).new


def test_predictions_of_something_else_are_refused(source, target, tmp_path):
    predictor = make_predictor()
    predict_file(predictor, source, target)
    _refused(make_predictor(seed=2), source, target, "predictions of other model; choose")
    _refused(make_predictor(), write_inputs(tmp_path / "b.h5", 3), target, "of other events, model;")
    _refused(make_predictor(), source, target, "of other events, options", embeddings=True)


def test_files_of_another_kind_are_refused(source, target):
    target.parent.mkdir()
    target.write_text("a diary")
    _refused(make_predictor(), source, target, "no file of predictions")
    with h5py.File(target, "w") as file:
        file["diary"] = 1
    _refused(make_predictor(), source, target, "no file of predictions")
    shutil.copy(source, target)
    _refused(make_predictor(), source, target, "no file of predictions")


@pytest.mark.parametrize(
    "other",
    [
        {"seed": 2},
        {"batch_size": 3},
        {"classes": (0, 1)},
        {"precision": "bf16"},
        {"views": 2},
        {"clusterer": AffinityGraphClusterer(threshold=0.6)},
        {"clusterer": GaussianKernelClusterer(), "refine": True},
    ],
)
def test_the_fingerprint_of_a_predictor(other):
    same, different = make_predictor(), make_predictor(**other)
    assert fingerprint(same) == fingerprint(make_predictor())
    assert fingerprint(same) != fingerprint(different)


def test_the_fingerprint_of_a_classifier():
    predictor, network = make_predictor(), semantic_unet(base_channels=4, depth=2, reps=1)
    found = {fingerprint(predictor)}
    for options in ({}, {"min_size": 10}, {"views": 2}, {}):
        predictor.classifier = SemanticClassifier(network, inputs=VoxelInputs(SIZE), **options)
        found.add(fingerprint(predictor))
    assert len(found) == 4


def test_the_fingerprint_of_tiles_and_of_a_saved_model(tmp_path):
    predictor = make_predictor(clusterer=GaussianKernelClusterer({1: 0.2, 0: 0.3, 2: 0.1, 3: 0.4}))
    for name in ("model.pt", "model.safetensors"):
        predictor.save(tmp_path / name)
        assert fingerprint(Predictor.from_pretrained(tmp_path / name, batch_size=2)) == fingerprint(predictor)
    found = {fingerprint(predictor)}
    model = predictor.model
    for options in ({"voxels": 100}, {"voxels": 101}, {"voxels": 100, "overlap": 3}):
        predictor.model = TiledNetwork(model, **options)
        found.add(fingerprint(predictor))
    assert len(found) == 4


KILLED = """
import sys
from test_production import make_predictor
from sparseclust.pipeline import predict_file

done = []

def wait_to_be_killed(n):
    done.append(n)
    if len(done) == 9:
        print(flush=True)
        sys.stdin.read()

predict_file(make_predictor(), *sys.argv[1:], advance=wait_to_be_killed)
"""


def test_killed_and_started_again(tmp_path, target):
    source = write_inputs(tmp_path / "many.h5", 40)
    predict_file(make_predictor(), source, tmp_path / "expected.h5")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([os.path.dirname(__file__), *sys.path])}
    command = [sys.executable, "-c", KILLED, str(source), str(target)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, **pipes, env=environment) as process:
        process.stdout.readline()
        process.kill()
    left = sorted(path.suffix for path in target.parent.iterdir())
    assert left == [".lock", ".tmp"]
    assert predict_file(make_predictor(), source, target).new
    assert target.read_bytes() == (tmp_path / "expected.h5").read_bytes()
    assert [path.name for path in target.parent.iterdir()] == [target.name]


def test_the_second_writer_refuses(source, target):
    """The first one waits in the middle of the file."""
    begun, go_on = threading.Event(), threading.Event()

    def wait(n):
        begun.set()
        go_on.wait(600)

    first = threading.Thread(
        target=predict_file, args=(make_predictor(), source, target), kwargs={"advance": wait}
    )
    first.start()
    assert begun.wait(600)
    with pytest.raises(FileExistsError, match=f"is being written by process {os.getpid()} on "):
        predict_file(make_predictor(), source, target)
    go_on.set()
    first.join()
    assert not predict_file(make_predictor(), source, target).new


def locked_by(target, text):
    target.parent.mkdir(exist_ok=True)
    path = target.with_name(f".{target.name}.lock")
    path.write_text(text)
    return path


def test_what_a_dead_process_left_is_removed(source, target):
    host = lock.socket.gethostname()
    with subprocess.Popen(["true"]) as process:
        process.wait()
    reused = os.getpid()  # a number that now is another process
    for text in (f"{host} {process.pid} 17", f"{host} {reused} 17"):
        locked_by(target, text)
        left = target.with_name(f".{target.name}.12345678.tmp")
        left.write_text("half")
        with lock.exclusive(target):
            assert not left.exists()
        assert list(target.parent.iterdir()) == []


@pytest.mark.parametrize("text", ["elsewhere 1 17", "", "two words"])
def test_other_hosts_are_dead_when_they_show_no_life(target, text):
    path = locked_by(target, text)
    with pytest.raises(FileExistsError, match=r"remove .* or wait a minute"), lock.exclusive(target):
        pass
    old = path.stat().st_mtime - 2 * lock.SILENT
    os.utime(path, (old, old))
    with lock.exclusive(target):
        assert path.read_text() != text
    assert not path.exists()


def test_a_writer_shows_life(target, monkeypatch):
    monkeypatch.setattr(lock, "BEAT", 0.01)
    target.parent.mkdir()
    with lock.exclusive(target):
        path = target.with_name(f".{target.name}.lock")
        os.utime(path, (0, 0))
        last = time.monotonic() + 600
        while path.stat().st_mtime == 0 and time.monotonic() < last:
            time.sleep(0.01)
        assert path.stat().st_mtime > 0


def test_a_lock_that_was_taken_over_is_left_alone(target):
    target.parent.mkdir()
    with lock.exclusive(target):
        path = locked_by(target, "elsewhere 1 17")
    assert path.read_text() == "elsewhere 1 17"


def test_no_room_for_a_lock(target, monkeypatch):
    target.parent.mkdir()

    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(lock.os, "write", full)
    with pytest.raises(OSError, match=r"No space left on device: .*\.lock"), lock.exclusive(target):
        pass
    assert list(target.parent.iterdir()) == []


def test_many_take_over_at_once(target):
    """Of a dozen that find a dead process's lock, one at a time is in."""
    locked_by(target, f"{lock.socket.gethostname()} {os.getpid()} 17")
    inside, most, refused = [], [], []

    def enter(number):
        try:
            with lock.exclusive(target):
                inside.append(number)
                most.append(len(inside))
                threading.Event().wait(0.05)
                inside.remove(number)
        except FileExistsError:
            refused.append(number)

    threads = [threading.Thread(target=enter, args=(i,)) for i in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(most) == 1
    assert len(refused) + len(most) == 12


def test_one_that_is_late_to_take_over_never_removes_a_living_lock(target, monkeypatch):
    """Not for a moment, in which a third one could come in."""
    target.parent.mkdir()
    with lock.exclusive(target):
        [held] = target.parent.iterdir()
        there = []

        def holder(path, read=lock._holder):
            there.append(held.exists())
            return read(path)

        monkeypatch.setattr(lock, "_holder", holder)
        lock._remove(held, "a-dead-one 1 17", target)
        assert there == [True]
        assert list(target.parent.iterdir()) == [held]


def test_one_that_was_killed_while_it_took_over(target):
    """The next one waits until it is surely dead, and goes on."""
    dead = locked_by(target, f"{lock.socket.gethostname()} {os.getpid()} 17")
    turn = dead.with_name(f"{dead.name}.turn")
    turn.touch()
    os.utime(turn, (time.time() - 2 * lock.SILENT,) * 2)
    with lock.exclusive(target):
        assert not turn.exists()
    assert list(target.parent.iterdir()) == []
