"""The command line as a user meets it: the whole chain, clear errors, Ctrl-C."""

import os
import re
import signal
import subprocess
import sys
import time

import h5py
import numpy as np
import pytest

from sparseclust.cli import main
from sparseclust.cli._main import COMMANDS
from sparseclust.cli._tables import HEADERS, comparison_rows, format_table, particle_rows
from sparseclust.data import Event, EventStore, open_events
from sparseclust.data.simulation import EventGenerator
from sparseclust.metrics import score_partition
from sparseclust.testing import random_event
from sparseclust.training import Scorer

SIZE = "96"
TINY = ["--size", SIZE, "--network.base_channels", "4", "--network.depth", "2", "--network.reps", "1"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Simulated events and a model trained for a few steps."""
    folder = tmp_path_factory.mktemp("cli")
    assert main(["simulate", str(folder / "events.h5"), "--events", "6", "--size", SIZE]) == 0
    train = [
        "train",
        str(folder / "events.h5"),
        "--validation",
        str(folder / "events.h5"),
        "--max_steps",
        "3",
    ]
    assert main([*train, *TINY, "--output", str(folder), "--workers", "0", "--accelerator", "cpu"]) == 0
    return folder


def test_simulated_file_holds_the_numbered_events(folder):
    events = EventStore(folder / "events.h5")
    assert events.attrs["content"] == "simulated events"
    expected = EventGenerator(rng=0, spatial_size=int(SIZE)).event(4)
    np.testing.assert_array_equal(events[4].coords, expected.coords)


def test_predict_and_evaluate(folder, capsys):
    inputs, model = folder / "events.h5", folder / "model.pt"
    assert main(["predict", str(inputs), "--model", str(model), "--output", str(folder / "out")]) == 0
    stored, given = open_events(folder / "out" / "events.pred.h5"), open_events(inputs)
    assert len(stored) == len(given)
    for a, b in zip(stored, given):
        np.testing.assert_array_equal(a.coords, b.coords)
        assert a.extra["label"].shape == (len(b),)
    capsys.readouterr()
    assert main(["evaluate", str(folder / "out" / "events.pred.h5")]) == 0
    from_file = capsys.readouterr().out
    page = folder / "new" / "report.html"
    assert (
        main(
            [
                "evaluate",
                str(inputs),
                "--model",
                str(model),
                "--report",
                str(page),
                "--shown",
                "2",
                "--show",
                "first",
            ]
        )
        == 0
    )
    from_model = capsys.readouterr().out
    assert from_file.splitlines()[1:] == from_model.splitlines()[1 : len(from_file.splitlines())]
    for word in ("DBSCAN", "published", "0.717", "Track"):
        assert word in from_file
    assert "events.h5, event 1" in page.read_text()
    assert "events.h5, event 2" not in page.read_text()


def test_the_report_shows_the_worst_events(folder, tmp_path):
    predictions = folder / "out" / "events.pred.h5"
    scores, worst = [], {}
    for number, event in enumerate(open_events(predictions)):
        scorer = Scorer()
        scorer.add(event, event.extra["label"])
        scores.append(np.mean(scorer.table()["sbd"]))
        for row in scorer.table():
            worst.setdefault(int(row["semantic"]), []).append((row["sbd"], number))
    page = tmp_path / "report.html"
    assert main(["evaluate", str(predictions), "--report", str(page), "--shown", "2"]) == 0
    titles = re.findall('data-title="([^"]*)"', page.read_text())
    order = np.lexsort([np.arange(len(scores)), scores])[:2]
    assert titles[:2] == [f"events.pred.h5, event {i}, SBD {scores[i]:.3f}" for i in order]
    of_classes = {number for found in worst.values() for _, number in sorted(found)[:4]}
    assert {int(re.search("event ([0-9]+)", title)[1]) for title in titles} == {*order} | of_classes


def test_evaluation_knows_the_volume_of_the_model(folder, tmp_path, capsys):
    """A PILArNet file with voxels outside the volume that the model was trained for is refused by name."""
    path = tmp_path / "large.h5"
    with h5py.File(path, "w") as file:
        rows = h5py.vlen_dtype(np.float32)
        point = file.create_dataset("point", (1,), rows)
        point[0] = np.array([int(SIZE), 0, 0, 1, 1, 0, 0, 3], np.float32)
        cluster = file.create_dataset("cluster", (1,), h5py.vlen_dtype(np.int64))
        cluster[0] = np.array([1, 0, 0, 0, 1, 2])
    for command in (["evaluate"], ["predict", "--output", str(tmp_path)]):
        err = _failure(capsys, *command, path, "--model", folder / "model.pt")
        assert "large.h5" in err
        assert SIZE in err
    assert main(["evaluate", str(path)]) == 2  # fits the default volume, but holds no predictions


def test_several_inputs_go_to_a_folder(folder, tmp_path):
    one, two = (str(folder / "events.h5") for _ in range(2))
    model = ["--model", str(folder / "model.pt")]
    assert main(["predict", one, two, *model, "--output", str(tmp_path / "one.h5")]) == 2
    assert main(["predict", one, *model, "--output", one]) == 2
    assert main(["predict", one, two, *model, "--output", str(tmp_path)]) == 2  # two files of one name
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "second.h5").write_bytes((folder / "events.h5").read_bytes())
    assert main(["predict", one, str(tmp_path / "second.h5"), *model, "--output", str(tmp_path)]) == 0
    assert {p.name for p in tmp_path.iterdir()} == {"second.h5", "events.pred.h5", "second.pred.h5"}


def test_options_from_a_file(folder, tmp_path):
    config = tmp_path / "simulate.yaml"
    config.write_text("events: 2\nsize: 64\nmix: crowded\n")
    out = tmp_path / "out.h5"
    assert main(["simulate", str(out), "--config", str(config)]) == 0
    assert len(open_events(out)) == 2


def test_help_and_version(capsys):
    assert main([]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in COMMANDS)
    assert main(["--version"]) == 0
    assert "sparseclust" in capsys.readouterr().out
    for name in COMMANDS:
        with pytest.raises(SystemExit) as stop:
            main([name, "--help"])
        assert stop.value.code == 0
        assert "--config" in capsys.readouterr().out


def test_info(capsys):
    assert main(["info"]) == 0
    out = capsys.readouterr().out
    assert "torch" in out
    assert "numba          ok" in out


def test_unknown_command(capsys):
    assert main(["cluster"]) == 2
    assert "demo" in capsys.readouterr().err


def _failure(capsys, *arguments):
    assert main([str(a) for a in arguments]) == 2
    return capsys.readouterr().err


def test_wrong_inputs_say_what_is_wrong(folder, tmp_path, capsys):
    model, events = folder / "model.pt", folder / "events.h5"
    missing = _failure(capsys, "predict", tmp_path / "no.h5", "--model", model)
    assert "no.h5" in missing
    assert "no such file" in missing
    half = tmp_path / "half.h5"
    half.write_bytes(events.read_bytes()[: events.stat().st_size // 2])
    assert "half.h5" in _failure(capsys, "predict", half, "--model", model, "--output", tmp_path)
    text = tmp_path / "text.h5"
    text.write_text("not HDF5")
    assert "text.h5" in _failure(capsys, "evaluate", text, "--model", model)
    other = tmp_path / "other.h5"
    with h5py.File(other, "w") as file:
        file["x"] = np.arange(3)
    assert "expected a PILArNet" in _failure(capsys, "evaluate", other, "--model", model)
    assert "sparseclust train" in _failure(capsys, "predict", events, "--model", tmp_path / "no.pt")
    assert "--model" in _failure(capsys, "evaluate", events)
    assert "abacus" in _failure(capsys, "predict", events, "--model", model, "--device", "abacus")
    assert "budget" in _failure(capsys, "train", events, "--validation", events)
    assert "crowded" in _failure(capsys, "simulate", tmp_path / "x.h5", "--mix", "soup")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["half.h5", "other.h5", "text.h5"]


# CPython ends by the signal itself, which shells show as 130 too, if Ctrl-C met an exec() of text on its way,
# such as the making of a dataclass, although it was caught.
STOPPED = (130, -signal.SIGINT)


def _interrupt(arguments, cwd, *, until, seconds=1200):
    """Start a command, send Ctrl-C when ``until()`` holds, and return its exit status and error output."""
    # A job in the background ignores Ctrl-C, and so would what it starts.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(
        [sys.executable, "-m", "sparseclust", *arguments],
        cwd=cwd,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    signal.signal(signal.SIGINT, before)
    end = time.monotonic() + seconds
    while not until() and process.poll() is None and time.monotonic() < end:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    return process, process.communicate(timeout=600)[1]


def test_interrupted_prediction_leaves_no_file(folder, tmp_path):
    many = tmp_path / "many.h5"
    assert main(["simulate", str(many), "--events", "2000", "--size", "64", "--mix", "single:mu-"]) == 0
    out = tmp_path / "out"
    out.mkdir()
    arguments = ["predict", str(many), "--model", str(folder / "model.pt"), "--output", str(out)]
    process, err = _interrupt(arguments, tmp_path, until=lambda: any(out.iterdir()))
    assert process.returncode in STOPPED
    assert "stopped" in err
    assert list(out.iterdir()) == []


def test_losses_by_name(folder, tmp_path):
    events = str(folder / "events.h5")
    arguments = ["train", events, "--validation", events, "--max_steps", "1", *TINY, "--workers", "0"]
    arguments += ["--output", str(tmp_path), "--overwrite", "true", "--accelerator", "cpu"]
    arguments += ["--loss.average", "voxel"]
    arguments += ["--loss.mask", "{bce: 1, lovasz: 0.5}", "--loss.seed", "l1", "--loss.edge", "focal"]
    assert main(arguments) == 0
    assert main([*arguments, "--loss.mask", "lovasz"]) == 0
    assert main([*arguments, "--loss.mask", "dice"]) == 2


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["train", "x.h5"], "the following arguments are required: validation"),
        (["train", "x.h5", "--validation", "x.h5", "--size", "big"], "--size: expected int, got big"),
        (["train", "x.h5", "--validation", "x.h5", "--max_steps", "x"], "--max_steps: expected int, got x"),
        (["predict", "x.h5", "--model", "m", "--label", "x"], "--label: expected Literal['fragment', "),
        (["info", "--nothing"], "unrecognized arguments: --nothing"),
        (["simulate", "x.h5", "--config", "absent.yaml"], "--config: File does not exist: "),
    ],
)
def test_wrong_options_are_told_in_a_line(arguments, told, capsys):
    assert main(arguments) == 2
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith(f"sparseclust {arguments[0]}: error: {told}")
    assert second == f"`sparseclust {arguments[0]} --help` lists the options"


def test_interrupted_training_resumes(folder, tmp_path):
    events = str(folder / "events.h5")
    arguments = ["train", events, "--validation", events, "--max_steps", "100000", *TINY, "--workers", "0"]
    arguments += ["--output", str(tmp_path), "--accelerator", "cpu"]
    log = tmp_path / "last.ckpt"  # written at the first validation: training runs
    process, err = _interrupt(arguments, tmp_path, until=log.exists)
    assert process.returncode in STOPPED
    assert "--resume true" in err
    import torch

    step = torch.load(log, weights_only=False)["global_step"]
    assert step >= 1
    arguments[arguments.index("100000")] = str(step + 2)
    assert main([*arguments, "--resume", "true"]) == 0
    assert torch.load(log, weights_only=False)["global_step"] == step + 2


def test_ctrl_c_inside_numba_is_ctrl_c(monkeypatch, tmp_path, capsys):
    """numba turns a KeyboardInterrupt that arrives between two of its steps into a SystemError."""

    def stop(*args, **kwargs):
        raise SystemError("returned a result with an exception set") from cause

    monkeypatch.setattr("sparseclust.cli._simulate.write_simulated", stop)
    cause = KeyboardInterrupt()
    assert main(["simulate", str(tmp_path / "x.h5")]) == 130
    assert "stopped" in capsys.readouterr().err
    assert main(["simulate", str(tmp_path / "x.h5"), "--events", "-1"]) == 2
    assert "--events and --first must not be negative, got -1 and 0" in capsys.readouterr().err
    cause = ValueError()
    with pytest.raises(SystemError):
        main(["simulate", str(tmp_path / "x.h5")])


def test_table_layout():
    scorer = Scorer()
    event = EventGenerator("single:mu-", rng=1, spatial_size=64).event(0)
    scorer.add(event, event.instance)
    rows = comparison_rows({"ours": scorer, "same": scorer})
    assert rows[0][:4] == ("Track", "ours", "1.000", "1.000")
    assert rows[1][0] == ""
    assert rows[2][:6] == ("", "published", "0.961", "0.988", "0.983", "0.717")
    lines = format_table(HEADERS, rows).splitlines()
    assert lines[0].split() == list(HEADERS)
    assert lines[1] == ""


def test_rows_over_all_classes_come_last(rng):
    scorer = Scorer()
    for _ in range(3):
        event = random_event(rng)
        scorer.add(event, event.instance)
    rows = comparison_rows({"ours": scorer, "same": scorer})
    names = [row[0] for row in rows if row[0]]
    assert names[-2:] == ["All", "Whole events"]
    n_classes = len(names) - 2
    assert rows[-4][-3] == f"{len(scorer.table())}"
    assert rows[-2][-3] == "3"
    assert [row[0] for row in particle_rows({"ours": scorer})] == [*names[:n_classes], "All"]


def test_touching_particles_have_a_row_of_their_own(rng):
    """Two tracks that touch, as one cluster; one that is alone; errors in units of the last digit."""
    coords = [[x, 0, 0] for x in range(10)] + [[50, y, 0] for y in range(5)]
    event = Event(coords, np.ones(15), np.ones(15, int), [0] * 6 + [1] * 4 + [2] * 5)
    scorer = Scorer()
    scorer.add(event, [0] * 10 + [1] * 5)
    [row] = particle_rows({"ours": scorer})
    assert row == ("Track", "ours", "1", "1.000", "1.000", "2", "0.500", f"{(0.75 + 4 / 7) / 2:.3f}")
    scorer.add(event, event.instance)
    [row, _] = comparison_rows({"ours": scorer})
    ari = score_partition(event.instance, [0] * 10 + [1] * 5).ari
    assert row[2].startswith(f"{(1 + ari) / 2:.3f}(")
    # the mean of two draws from two values, a half of their difference over the square root of two
    assert float(row[2][6:-1]) == pytest.approx(1000 * (1 - ari) / 2 / 2**0.5, rel=0.15)


def test_a_report_is_not_needed_to_score(folder, capsys):
    assert main(["evaluate", str(folder / "events.h5"), "--model", str(folder / "model.pt")]) == 0
    assert "report" not in capsys.readouterr().out


def test_configuration_is_printable(capsys):
    with pytest.raises(SystemExit):
        main(["simulate", "x.h5", "--print_config"])
    assert "events: 100" in capsys.readouterr().out
