"""The job scripts of examples/slurm, with stand-ins for the batch system: what they start, runs."""

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

from sparseclust.cli import main
from sparseclust.clustering import AffinityGraphClusterer
from sparseclust.data import VoxelInputs, open_events, write_events
from sparseclust.models import create_model
from sparseclust.pipeline import Predictor
from sparseclust.testing import random_event

SCRIPTS = Path(__file__).resolve().parents[2] / "examples" / "slurm"
RECORD = """#!/bin/bash
while [[ $1 != *.sif ]]; do shift; done
printf '%s\\n' "${@:2}" > "$RECORD"
env > "$RECORD.env"
"""
SRUN = """#!/bin/bash
SLURM_PROCID=0 SLURM_STEP_NUM_TASKS=1 SLURM_STEP_NUM_NODES=1 exec "$@"
"""


@pytest.fixture
def job(tmp_path, monkeypatch):
    """Run a script and then, here, the command that it would run in the container."""
    programs = tmp_path / "programs"
    programs.mkdir()
    for name, text in (("apptainer", RECORD), ("srun", SRUN)):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)

    def run(script, *arguments, **variables):
        record = tmp_path / "record"
        path = f"{programs}{os.pathsep}{os.environ['PATH']}"
        environment = {"PATH": path, "RECORD": str(record), "SPARSECLUST_IMAGE": "x.sif", **variables}
        subprocess.run([SCRIPTS / script, *map(str, arguments)], env=environment, check=True, cwd=tmp_path)
        program, *command = record.read_text().splitlines()
        assert program == "sparseclust"
        with monkeypatch.context() as patch:
            for line in Path(f"{record}.env").read_text().splitlines():
                name, _, value = line.partition("=")
                if name.startswith(("SLURM", "PBS")):
                    patch.setenv(name, value)
            return command, main(command)

    return run


@pytest.fixture
def inputs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(1)
    with torch.random.fork_rng():
        model = create_model("edge_spice", spatial_size=64, base_channels=4, depth=2, reps=1)
    Predictor(model, AffinityGraphClusterer(), inputs=VoxelInputs(64)).save("model.pt")
    for name in "abc":
        write_events(f"{name}.h5", [random_event(rng)])
    return ["a.h5", "b.h5", "c.h5"]


def test_slurm(job, inputs, tmp_path):
    for number in range(2):
        array = {f"SLURM_ARRAY_TASK_{k}": str(v) for k, v in {"ID": number + 1, "MIN": 1, "COUNT": 2}.items()}
        _, status = job("predict.sbatch", "model.pt", "out", *inputs, SLURM_CPUS_PER_TASK="3", **array)
        assert status == 0
        assert "OMP_NUM_THREADS=3" in (tmp_path / "record.env").read_text()
    made = sorted(path.name for path in Path("out").iterdir())
    assert made == ["a.pred.h5", "b.pred.h5", "c.pred.h5"]
    _, status = job("merge.sbatch", "out/all.h5", *(f"out/{name}" for name in made))
    assert status == 0
    assert len(open_events("out/all.h5")) == 3


def test_pbs(job, inputs):
    for number in range(2):
        variables = {"PARTS": "2", "MODEL": "model.pt", "OUTPUT": "out", "FILES": "[abc].h5"}
        _, status = job("predict.pbs", PBS_ARRAY_INDEX=str(number + 1), **variables)
        assert status == 0
    assert len(list(Path("out").glob("*.pred.h5"))) == 3


def test_training_goes_on(job, inputs):
    tiny = ["--size", "64", "--network.base_channels", "4", "--network.depth", "2", "--network.reps", "1"]
    tiny += ["--accelerator", "cpu", "--workers", "0"]
    for steps in ("1", "2"):
        command, status = job("train.sbatch", "run", *inputs[:2], "--max_steps", steps, *tiny)
        assert status == 0
        assert ("--resume" in command) == (steps == "2")
    assert torch.load("run/last.ckpt", weights_only=True)["global_step"] == 2
