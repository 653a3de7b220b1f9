"""``sparseclust predict`` over many files: parts, faults among good inputs, resuming."""

import itertools
import os
import signal
import subprocess
import sys
import time
import types

import numpy as np
import pytest
import torch
from processes import in_processes

from sparseclust.cli import _predict, main
from sparseclust.cli._shard import Shard, parse_shard
from sparseclust.clustering import AffinityGraphClusterer
from sparseclust.data import EventStore, VoxelInputs, _sink, _store_writer, open_events, write_events
from sparseclust.models import create_model
from sparseclust.pipeline import Predictor, _production, predict_file
from sparseclust.testing import random_event

SIZE = 64


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A small model, and five files of two events."""
    folder = tmp_path_factory.mktemp("predict")
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = create_model("edge_spice", spatial_size=SIZE, base_channels=4, depth=2, reps=1)
    Predictor(model, AffinityGraphClusterer(), inputs=VoxelInputs(SIZE)).save(folder / "model.pt")
    rng = np.random.default_rng(0)
    for name in "abcde":
        write_events(folder / f"{name}.h5", [random_event(rng, spatial_size=SIZE) for _ in range(2)])
    return folder


def predict(folder, output, *arguments, files=("*.h5",)):
    inputs = [str(folder / name) for name in files]
    model = ["--model", str(folder / "model.pt"), "--output", str(output)]
    return main(["predict", *inputs, *model, *map(str, arguments)])


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_parts_make_the_whole(folder, tmp_path, capsys):
    assert predict(folder, tmp_path / "whole") == 0
    told = capsys.readouterr().out
    assert all(word in told for word in ("a.pred.h5: 2 events", "per second", "network", "write"))
    found = []
    for part in ("1/3", "2/3", "3/3"):
        assert predict(folder, tmp_path / "parts", "--shard", part) == 0
        found.append(names(tmp_path / "parts"))
    assert [len(part) for part in found] == [2, 4, 5]
    assert found[0] == ["a.pred.h5", "d.pred.h5"]
    for name in found[-1]:
        assert (tmp_path / "parts" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    capsys.readouterr()
    assert predict(folder, tmp_path / "whole") == 0
    assert capsys.readouterr().out.count("finished before") == 5
    assert EventStore(tmp_path / "whole" / "c.pred.h5").attrs["input"] == {"number": 3, "of": 5}


def test_more_parts_than_files(folder, tmp_path):
    assert predict(folder, tmp_path / "out", "--shard", "6/6") == 0
    assert not (tmp_path / "out").exists()


def test_the_part_of_a_job_array(folder, tmp_path, monkeypatch):
    for name, value in {"ID": 12, "MIN": 10, "STEP": 2, "COUNT": 5}.items():
        monkeypatch.setenv(f"SLURM_ARRAY_TASK_{name}", str(value))
    assert predict(folder, tmp_path, "--shard", "auto") == 0
    assert names(tmp_path) == ["b.pred.h5"]


SLURM = {f"SLURM_ARRAY_TASK_{k}": v for k, v in {"ID": "3", "MIN": "0", "STEP": "1", "COUNT": "8"}.items()}
TORCHRUN = {"RANK": "1", "WORLD_SIZE": "2"}
SRUN = {"SLURM_PROCID": "3", "SLURM_STEP_NUM_TASKS": "4"}


@pytest.mark.parametrize(
    ("text", "environment", "expected"),
    [
        ("2/5", SLURM, (2, 5)),
        ("auto", SLURM, (4, 8)),
        ("auto/10", SLURM, (4, 10)),
        ("auto", TORCHRUN, (2, 2)),
        ("auto", SRUN, (4, 4)),
        ("auto/4", SRUN, (4, 4)),
        ("auto", TORCHRUN | SRUN, (2, 2)),
        ("auto", SLURM | SRUN, (16, 32)),
        ("auto/20", {"PBS_ARRAY_INDEX": "7"}, (7, 20)),
        ("auto/20", {"PBS_ARRAY_INDEX": "7"} | TORCHRUN, (14, 40)),
    ],
)
def test_where_a_part_comes_from(text, environment, expected):
    assert parse_shard(text, environment) == Shard(*expected)


@pytest.mark.parametrize(
    ("text", "environment", "match"),
    [
        ("0/5", {}, "1 <= i <= n"),
        ("6/5", {}, "1 <= i <= n"),
        ("5", {}, "i/n, auto or auto/n"),
        ("a/b", {}, "i/n, auto or auto/n"),
        ("auto", {}, "neither a task of a job array"),
        ("auto", {"SLURM_PROCID": "0"}, "neither a task of a job array"),
        ("auto", {"PBS_ARRAY_INDEX": "7"}, "for -J 1-20 give auto/20"),
        ("auto/x", SLURM, "1 <= i <= n"),
        ("auto/3", SLURM, "4/3"),
        ("auto/3", SRUN, "there are 4 processes"),
    ],
)
def test_where_it_does_not(text, environment, match):
    with pytest.raises(ValueError, match=match):
        parse_shard(text, environment)


def test_every_file_is_in_one_part():
    for tasks in (1, 3):
        for ranks in (1, 4):
            found = [
                parse_shard(
                    f"auto/{tasks}",
                    {"PBS_ARRAY_INDEX": str(t + 1), "RANK": str(r), "WORLD_SIZE": str(ranks)},
                )
                for t in range(tasks)
                for r in range(ranks)
            ]
            assert found == [Shard(i + 1, tasks * ranks) for i in range(tasks * ranks)]


def test_unreadable_inputs_are_reported_and_the_rest_is_done(folder, tmp_path, capsys):
    for name in ("a.h5", "b.h5"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    (tmp_path / "half.h5").write_bytes((folder / "c.h5").read_bytes()[:-1000])
    (tmp_path / "model.pt").write_bytes((folder / "model.pt").read_bytes())
    files = ("half.h5", "a.h5", "missing.h5", "b.h5")
    assert predict(tmp_path, tmp_path / "out", files=files) == 2
    err = capsys.readouterr().err
    assert names(tmp_path / "out") == ["a.pred.h5", "b.pred.h5"]
    assert err.count("half.h5: expected a complete, undamaged HDF5 file") == 1
    assert "missing.h5: no such file" in err
    assert "2 of 4 inputs failed" in err


def test_a_full_disk_ends_the_run(folder, tmp_path, capsys, monkeypatch):
    calls = []

    def full(predictor, source, target, **options):
        calls.append(source)
        raise OSError(28, "No space left on device", str(target))

    monkeypatch.setattr("sparseclust.cli._predict.predict_file", full)
    assert predict(folder, tmp_path) == 2
    assert len(calls) == 1
    assert "No space left on device" in capsys.readouterr().err


def test_another_model_does_not_replace_predictions(folder, tmp_path, capsys):
    assert predict(folder, tmp_path, files=["a.h5"]) == 0
    assert predict(folder, tmp_path, "--embeddings", "true", files=["a.h5"]) == 2
    assert "a.pred.h5: holds predictions of other options" in capsys.readouterr().err
    assert "embeddings" not in open_events(tmp_path / "a.pred.h5")[0].extra
    assert predict(folder, tmp_path, "--embeddings", "true", "--overwrite", "true", files=["a.h5"]) == 0
    extra = open_events(tmp_path / "a.pred.h5")[0].extra
    assert {"embeddings", "margins", "seediness"} <= set(extra)


def test_tiles(folder, tmp_path):
    assert predict(folder, tmp_path / "whole", files=["a.h5"]) == 0
    assert predict(folder, tmp_path / "tiled", "--tile", 150, files=["a.h5"]) == 0
    for a, b in zip(*(open_events(tmp_path / name / "a.pred.h5") for name in ("whole", "tiled"))):
        np.testing.assert_array_equal(a.extra["label"], b.extra["label"])
    assert predict(folder, tmp_path / "dense", "--tile", 1, files=["a.h5"]) == 2


def _kill(*arguments, **options):
    os.kill(os.getpid(), signal.SIGKILL)


def _end(function, *, call, after=False):
    """Make a call of a function, or what comes after it, the end of the process."""
    number = itertools.count(1)

    def called(*arguments, **options):
        last = next(number) == call
        if last and not after:
            _kill()
        result = function(*arguments, **options)
        return _kill() if last else result

    return called


def _system(**functions):
    return types.SimpleNamespace(**{name: getattr(os, name) for name in dir(os)} | functions)


# What takes the place of what in the process to be killed, and what it has finished by then.
MOMENTS = {
    "before the lock": (_predict, "predict_file", _kill, 0),
    "before the first event": (_production, "write_predictions", _kill, 0),
    "in the first write": (_sink, "os", _system(pwrite=_end(os.pwrite, call=1)), 0),
    "in the middle": (_sink, "os", _system(pwrite=_end(os.pwrite, call=12)), 0),
    "before the rename": (_store_writer, "os", _system(replace=_kill), 0),
    "after the rename": (_store_writer, "os", _system(replace=_end(os.replace, call=1, after=True)), 1),
    "between two files": (_predict, "predict_file", _end(predict_file, call=1, after=True), 1),
    "in the second file": (_store_writer, "os", _system(replace=_end(os.replace, call=2)), 1),
}


def _killed(rank, folder, output, moment):
    module, name, function, _ = MOMENTS[moment]
    setattr(module, name, function)
    return predict(folder, output, files=["a.h5", "b.h5"])


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_at_any_moment_and_started_again(folder, tmp_path, capsys, moment):
    files, made = ["a.h5", "b.h5"], ["a.pred.h5", "b.pred.h5"]
    assert in_processes(1, _killed, folder, tmp_path, moment, group=False) == [None]
    finished = MOMENTS[moment][-1]
    assert [name for name in names(tmp_path) if not name.startswith(".")] == made[:finished]
    times = [(tmp_path / name).stat().st_mtime_ns for name in made[:finished]]
    assert predict(folder, tmp_path, files=files) == 0
    assert names(tmp_path) == made
    assert [(tmp_path / name).stat().st_mtime_ns for name in made[:finished]] == times
    assert capsys.readouterr().out.count("finished before") == finished
    assert predict(folder, tmp_path / "whole", files=files) == 0
    for name in made:
        assert (tmp_path / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_terminated_as_batch_systems_do_it(folder, tmp_path):
    """SIGTERM in the middle of a file leaves nothing behind."""
    rng = np.random.default_rng(1)
    write_events(tmp_path / "many.h5", [random_event(rng, spatial_size=SIZE)] * 3000)
    out = tmp_path / "out"
    arguments = ["predict", "many.h5", "--model", str(folder / "model.pt"), "--output", str(out)]
    with subprocess.Popen(
        [sys.executable, "-m", "sparseclust", *arguments],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    ) as process:
        while process.poll() is None and not list(out.glob(".*.tmp")):
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        err = process.communicate(timeout=600)[1]
    assert process.returncode in (130, -signal.SIGINT)
    assert "terminated; the same command goes on" in err
    assert names(out) == []
