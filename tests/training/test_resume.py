"""A training that stopped anywhere and was resumed makes the same numbers as one that went on."""

import errno
import logging
import os
import pickle
import resource
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch

from sparseclust.data import RandomSymmetry, VoxelInputs
from sparseclust.models import create_model
from sparseclust.testing import random_event
from sparseclust.training import BudgetSchedule, EventDataModule, SpatialEmbeddingModule, train

SIZE = 32
STEPS = 9
logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)


def run(output, *, stop=None, resume=False, workers=0, steps=STEPS, channels=4, **options):
    """Train on 11 events in batches of 3; ``stop`` is called before each step and in each validation."""
    rng = np.random.default_rng(1)
    events = [random_event(rng, n_instances=6, voxels=30, spatial_size=SIZE) for _ in range(11)]
    data = EventDataModule(
        events,
        events[:3],
        inputs=VoxelInputs(SIZE),
        batch_size=3,
        num_workers=workers,
        transform=RandomSymmetry(SIZE),
    )
    torch.manual_seed(3 if resume else 0)
    model = create_model("edge_spice", spatial_size=SIZE, base_channels=channels, depth=2, reps=1)
    module = _Watched(model, learning_rate=1e-2)
    module.stop = stop
    options = {"ema_decay": 0.9, "patience": 10} | options
    schedule = BudgetSchedule(max_steps=steps)
    train(
        module,
        data,
        output=output,
        schedule=schedule,
        validate_every=2,
        resume=resume,
        accelerator="cpu",
        **options,
    )
    return module


class _Watched(SpatialEmbeddingModule):
    def on_fit_start(self):
        self.losses, self.validations = {}, {}

    def training_step(self, batch, batch_idx):
        if self.stop is not None:
            self.stop(self, "step")
        loss = super().training_step(batch, batch_idx)
        self.losses[self.global_step] = float(loss.detach())
        return loss

    def validation_step(self, batch, batch_idx):
        if self.stop is not None:
            self.stop(self, "validation")
        super().validation_step(batch, batch_idx)

    def log(self, name, value, **options):
        if name == "val/sbd":
            self.validations[self.global_step] = float(value)
        super().log(name, value, **options)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    return folder, run(folder)


def _assert_same(folder, whole):
    for name in ("last.ckpt", "model.pt"):
        a, b = (torch.load(path / name, weights_only=True) for path in (folder, whole))
        for content in (a, b):  # times differ
            content.pop("info", {}).pop("minutes", None)
            for state in content.get("callbacks", {}).values():
                state.pop("seconds", None)
        _assert_equal(a, b)


def _assert_equal(a, b, path=""):
    assert type(a) is type(b), path
    if isinstance(a, dict):
        assert list(a) == list(b), path
        for name in a:
            _assert_equal(a[name], b[name], f"{path}/{name}")
    elif isinstance(a, list):
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            _assert_equal(x, y, f"{path}/{i}")
    elif isinstance(a, torch.Tensor):
        assert torch.equal(a, b), path
    else:
        assert a == b, path


class _CrashError(RuntimeError):
    """Leaves no time to save anything, as a kill does."""


@pytest.mark.parametrize(("step", "place"), [(2, "step"), (7, "step"), (4, "validation")])
def test_killed_anywhere_and_resumed(tmp_path, whole, step, place):
    """The files are the same, optimizer and averages included, after the crash and the resumption."""

    def crash(module, where):
        if (module.global_step, where) == (step, place):
            raise _CrashError

    with pytest.raises(_CrashError):
        run(tmp_path, stop=crash)
    resumed = run(tmp_path, resume=True)
    first = (step - 1) // 2 * 2 if place == "validation" else step // 2 * 2
    assert list(resumed.losses) == list(range(first, STEPS))
    folder, module = whole
    assert resumed.losses.items() <= module.losses.items()
    assert resumed.validations.items() <= module.validations.items()
    _assert_same(tmp_path, folder)


@pytest.mark.parametrize(
    ("step", "place", "number"),
    [(2, "step", signal.SIGINT), (3, "step", signal.SIGTERM), (4, "validation", signal.SIGINT)],
)
def test_stopped_by_a_signal_and_resumed(tmp_path, whole, step, place, number):
    """Nothing that was done is lost, and a validation that was cut short is done again."""

    stopped = []

    def interrupt(module, where):
        if (module.global_step, where) == (step, place):
            stopped.append(module)
            os.kill(os.getpid(), number)

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, stop=interrupt)
    resumed = run(tmp_path, resume=True)
    assert list(resumed.losses) == list(range(step + (place == "step"), STEPS))
    folder, module = whole
    parts = [stopped[0].validations, resumed.validations]
    assert {**parts[0], **parts[1]} == module.validations
    assert not parts[0].keys() & parts[1].keys()
    _assert_same(tmp_path, folder)


_KILLED = """
import os, signal, sys
sys.path.insert(0, {tests!r})
import test_resume

def kill(module, where):
    if (module.global_step, where) == (5, "step"):
        os.kill(os.getpid(), signal.SIGKILL)

test_resume.run({folder!r}, stop=kill, workers=1)
"""


def test_a_killed_process_is_resumed(tmp_path, whole):
    """With a worker process that reads ahead, which must not matter."""
    program = _KILLED.format(tests=os.path.dirname(__file__), folder=str(tmp_path))
    process = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program], timeout=1800, capture_output=True
    )
    assert process.returncode == -signal.SIGKILL, process.stderr.decode()
    run(tmp_path, resume=True, workers=1)
    _assert_same(tmp_path, whole[0])


def test_a_finished_training_goes_on(tmp_path):
    """From the weights of the last step, not from their average."""
    run(tmp_path / "short", steps=4)
    module = run(tmp_path / "short", steps=6, resume=True)
    assert list(module.losses) == [4, 5]
    checkpoint = torch.load(tmp_path / "short" / "last.ckpt", weights_only=True)
    assert any(
        not torch.equal(value, checkpoint["state_dict"][name])
        for name, value in checkpoint["current_model_state"].items()
    )


class _Code:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (str(self.path),))


def test_a_checkpoint_with_code_is_refused(tmp_path):
    torch.save({"sparseclust": {}, "state_dict": _Code(tmp_path / "run")}, tmp_path / "last.ckpt")
    with pytest.raises(ValueError, match="code"):
        run(tmp_path, resume=True)
    (tmp_path / "last.ckpt").write_bytes(pickle.dumps(_Code(tmp_path / "run")))
    with pytest.raises(ValueError, match="code"):
        run(tmp_path, resume=True)
    assert [path.name for path in tmp_path.iterdir()] == ["last.ckpt"]


def test_a_checkpoint_of_another_training_is_refused(tmp_path, whole):
    (tmp_path / "last.ckpt").write_bytes((whole[0] / "last.ckpt").read_bytes())
    with pytest.raises(ValueError, match=r"'base_channels': 4.* there, .*'base_channels': 6.* here"):
        run(tmp_path, resume=True, channels=6)
    with pytest.raises(ValueError, match=r"ema_decay 0\.9 there, None here"):
        run(tmp_path, resume=True, ema_decay=None)
    (tmp_path / "last.ckpt").write_bytes((whole[0] / "model.pt").read_bytes())
    with pytest.raises(ValueError, match="not a checkpoint"):
        run(tmp_path, resume=True)
    (tmp_path / "last.ckpt").write_bytes((whole[0] / "last.ckpt").read_bytes()[:-1000])
    with pytest.raises(ValueError, match="damaged"):
        run(tmp_path, resume=True)


def test_a_new_training_does_not_replace_another(tmp_path, whole):
    last = tmp_path / "last.ckpt"
    last.write_bytes((whole[0] / "last.ckpt").read_bytes())
    with pytest.raises(
        FileExistsError, match=r"last\.ckpt is the checkpoint of a training.*resume.*overwrite"
    ):
        run(tmp_path)
    assert last.read_bytes() == (whole[0] / "last.ckpt").read_bytes()
    assert run(tmp_path, overwrite=True, steps=1).global_step == 1
    assert last.read_bytes() != (whole[0] / "last.ckpt").read_bytes()


def test_a_full_disk_leaves_the_last_checkpoint(tmp_path, whole):
    """A limit on the size of files is as good as a full disk."""
    folder, _ = whole
    size = (folder / "last.ckpt").stat().st_size

    def fill(module, where):
        if (module.global_step, where) == (3, "step"):
            resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, hard))

    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        with pytest.raises(OSError, match="one before it is intact") as caught:
            run(tmp_path, stop=fill, patience=None)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert caught.value.errno in (errno.EFBIG, errno.ENOSPC)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["last.ckpt", "logs"]
    assert list(run(tmp_path, resume=True, patience=None).losses) == list(range(2, STEPS))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_stops_the_training(tmp_path, whole, value):
    """Before it spoils anything: the checkpoint, and what is made of it, are those of a sound training."""

    def spoil(module, where):
        if (module.global_step, where) == (5, "step"):
            module.loss.weights["mask"] = value

    with pytest.raises(ValueError, match=f"loss is {value} after 5 steps"):
        run(tmp_path, stop=spoil)
    assert torch.load(tmp_path / "last.ckpt", weights_only=True)["global_step"] == 4
    run(tmp_path, resume=True)
    _assert_same(tmp_path, whole[0])
