"""Two processes make the gradients, the norms and the scores of one."""

import csv
import logging
import os
import signal

import numpy as np
import pytest
import torch
from processes import in_processes
from torch import distributed

from sparseclust.data import Event, VoxelInputs, collate_events
from sparseclust.losses import SemanticLoss, SpatialEmbeddingLoss
from sparseclust.models import create_model
from sparseclust.sparse import BatchNorm, SparseTensor
from sparseclust.testing import random_event
from sparseclust.training import (
    BudgetSchedule,
    EventDataModule,
    SemanticModule,
    SpatialEmbeddingModule,
    train,
)
from sparseclust.training._batches import _shares
from sparseclust.training._launch import launch_options
from sparseclust.training._shares import share_of_mean
from sparseclust.training._sync_norm import SyncBatchNorm, SyncBatchNorms

SIZE = 32
logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)


def _events(n, seed=1):
    """Events of different sizes, one of them without voxels."""
    rng = np.random.default_rng(seed)
    events = [
        random_event(rng, n_instances=int(k), voxels=int(15 * k), spatial_size=SIZE)
        for k in rng.integers(1, 8, n - 1)
    ]
    events[0].instance[: len(events[0]) // 2] = -1
    return [*events, Event(np.zeros((0, 3)), np.zeros(0), np.zeros(0, int), np.zeros(0, int))]


def _module(dtype=torch.float32, name="edge_spice", **options):
    torch.manual_seed(0)
    model = create_model(name, spatial_size=SIZE, base_channels=4, depth=3, reps=1, initial_margin=0.2)
    return SpatialEmbeddingModule(model.to(dtype), **options)


def _batch(events, dtype):
    batch = collate_events(events, inputs=VoxelInputs(SIZE))
    feats = batch.tensor.feats.to(dtype)
    return type(batch)(batch.tensor.with_feats(feats), batch.semantic, batch.instance)


def _gradients(module, batch, share):
    loss = module._terms(batch, module(batch), share)["loss"]
    loss.backward()
    return float(loss.detach()), [p.grad.numpy() for p in module.parameters()]


def _share_of_gradients(rank, events, dtype, options):
    module = _module(dtype, **options)
    SyncBatchNorms().apply(module)
    part = _shares([len(e) for e in events], distributed.get_world_size())[rank]
    loss, gradients = _gradients(module, _batch([events[i] for i in part], dtype), share_of_mean)
    statistics = [b.numpy() for b in module.buffers()]
    return len(part), loss, gradients, statistics


def _semantic(rank, events):
    torch.manual_seed(0)
    model = create_model("semantic_unet", base_channels=4, depth=3, reps=1).double()
    module = SemanticModule(model, loss=SemanticLoss(class_weights=[1.0, 2.0, 3.0, 4.0, 5.0]))
    module.log = lambda *args, **options: None
    if rank is not None:
        SyncBatchNorms().apply(module)
        events = [events[i] for i in _shares([len(e) for e in events], 2)[rank]]
    loss = module.training_step(_batch(events, torch.float64), 0)
    loss.backward()
    return float(loss.detach()), [p.grad.numpy() for p in module.parameters()]


def test_gradients_of_a_classifier_are_those_of_one_process():
    events = _events(7)
    loss, whole = _semantic(None, events)
    (a, first), (b, second) = in_processes(2, _semantic, events)
    assert (a + b) / 2 == pytest.approx(loss, rel=1e-12)
    scale = max(np.abs(g).max() for g in whole)
    for expected, *found in zip(whole, first, second, strict=True):
        np.testing.assert_allclose(np.mean(found, axis=0), expected, rtol=0, atol=1e-10 * scale)


_CASES = {
    "edges and embeddings": {},
    "published": {"name": "spice"},
    "by cluster": {"loss": SpatialEmbeddingLoss(average="cluster", mask={"bce": 1, "lovasz": 1})},
    "without the edges that decide": {"maximin_weight": 0.0},
    "by voxel": {"loss": SpatialEmbeddingLoss(average="voxel")},
}


@pytest.mark.parametrize("case", _CASES)
def test_gradients_are_those_of_one_process(case):
    """In float64, where nothing but rounding is left; and the moving statistics of the norms."""
    options, events = _CASES[case], _events(7)
    module = _module(torch.float64, **options)
    loss, whole = _gradients(module, _batch(events, torch.float64), lambda *_: 1.0)
    parts = in_processes(2, _share_of_gradients, events, torch.float64, options)
    assert sum(n for n, *_ in parts) == 7
    assert np.mean([part[1] for part in parts]) == pytest.approx(loss, rel=1e-12)
    scale = max(np.abs(g).max() for g in whole)
    for expected, *found in zip(whole, *(gradients for _, _, gradients, _ in parts)):
        np.testing.assert_allclose(np.mean(found, axis=0), expected, rtol=0, atol=1e-10 * scale)
    for _, _, _, statistics in parts:
        for expected, found in zip(module.buffers(), statistics, strict=True):
            np.testing.assert_allclose(found, expected.numpy(), rtol=1e-12, atol=1e-12)


def test_gradients_in_float32():
    events = _events(7)
    _, whole = _gradients(_module(), _batch(events, torch.float32), lambda *_: 1.0)
    parts = in_processes(2, _share_of_gradients, events, torch.float32, {})
    found = [np.mean(pair, axis=0) for pair in zip(*(gradients for _, _, gradients, _ in parts))]
    difference = np.sqrt(sum(np.sum((a - b) ** 2) for a, b in zip(found, whole)))
    assert difference < 1e-6 * np.sqrt(sum(np.sum(g**2) for g in whole))


def _norm(rank, rows, mode):
    torch.manual_seed(5)
    layer = BatchNorm(3).double()
    with torch.no_grad():
        layer.rows.weight.uniform_(0.5, 1.5)
        layer.rows.bias.uniform_(-1, 1)
    layer = layer.train(mode)
    if rank is not None:
        SyncBatchNorms().apply(layer)
        assert type(layer) is SyncBatchNorm
    x = torch.tensor(rows if rank is None else rows[rank::2], dtype=torch.float64, requires_grad=True)
    coords = torch.zeros(len(x), 4, dtype=torch.int32)
    coords[:, 1] = torch.arange(len(x))
    out = layer(SparseTensor(x, coords, batch_size=1), negative_slope=0.1).feats
    (out**3).sum().backward()
    SyncBatchNorms().revert(layer)
    assert type(layer) is BatchNorm
    return [t.detach().numpy() for t in (out, x.grad, layer.rows.weight.grad, *layer.buffers())]


@pytest.mark.parametrize("n", [0, 1, 2, 3, 100])
def test_norms_are_over_all_voxels(rng, n):
    """Also where one process has one voxel, or none."""
    rows = rng.normal(3.0, 2.0, (n, 3))
    out, gradient, weight, *statistics = _norm(None, rows, True)
    first, second = in_processes(2, _norm, rows, True)
    close = {"rtol": 1e-9, "atol": 1e-9}
    for whole, a, b in ((out, first[0], second[0]), (gradient, first[1], second[1])):
        np.testing.assert_allclose(a, whole[0::2], **close)
        np.testing.assert_allclose(b, whole[1::2], **close)
    np.testing.assert_allclose(first[2] + second[2], weight, **close)
    for other in (first, second):
        for a, b in zip(other[3:], statistics, strict=True):
            np.testing.assert_allclose(a, b, **close)


def _trained(rank, folder, events, steps, resume=False, stop=None):
    data = EventDataModule(events, events[:3], inputs=VoxelInputs(SIZE), batch_size=4)
    module = _module(learning_rate=1e-3)
    module.on_train_batch_start = lambda *_: stop and stop(module)
    predictor = train(
        module,
        data,
        output=folder,
        schedule=BudgetSchedule(max_steps=steps),
        validate_every=2,
        ema_decay=0.9,
        patience=9,
        resume=resume,
        accelerator="cpu",
    )
    assert not any(isinstance(layer, SyncBatchNorm) for layer in module.modules())
    assert module.trainer.world_size == (1 if rank is None else 2)
    return {name: value.numpy() for name, value in predictor.model.state_dict().items()}


def _logged(folder, name):
    [path] = (folder / "logs" / "version_0").glob("metrics.csv")
    rows = csv.DictReader(path.read_text().splitlines())
    return [float(row[name]) for row in rows if row.get(name)]


def test_two_processes_train_like_one(tmp_path, capfd):
    """The same batches, weights to rounding, scores of every event once; one of them writes."""
    events = [e for e in _events(13) if len(e)]
    alone = _trained(None, tmp_path / "one", events, 4)
    capfd.readouterr()
    first, second = in_processes(2, _trained, tmp_path / "two", events, 4, group=False)
    for name, value in first.items():
        np.testing.assert_array_equal(value, second[name])
        np.testing.assert_allclose(value, alone[name], rtol=1e-3, atol=2e-4, err_msg=name)
    for score in ("val/sbd", "val/ari"):
        one, two = (_logged(tmp_path / folder, score) for folder in ("one", "two"))
        assert len(one) == 2
        assert two == pytest.approx(one, abs=0.02)
    assert sorted(p.name for p in (tmp_path / "two").iterdir()) == ["last.ckpt", "logs", "model.pt"]


def _killed(rank, folder, events):
    def kill(module):
        if module.global_step == 3 and rank == 1:
            os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(RuntimeError, match=r"(?i)connection|peer"):
        _trained(rank, folder, events, 4, stop=kill)


def test_a_process_dies_and_all_are_resumed(tmp_path):
    """The others end with an error; the checkpoint is whole, and what is made of it the same bit for bit."""
    events = [e for e in _events(9) if len(e)]
    assert in_processes(2, _killed, tmp_path / "killed", events, group=False) == [None, None]
    resumed, _ = in_processes(2, _trained, tmp_path / "killed", events, 4, True, group=False)
    whole, _ = in_processes(2, _trained, tmp_path / "whole", events, 4, group=False)
    for name, value in whole.items():
        np.testing.assert_array_equal(resumed[name], value)


def test_what_torchrun_and_srun_started():
    torchrun = {"TORCHELASTIC_RUN_ID": "1", "WORLD_SIZE": "8", "LOCAL_WORLD_SIZE": "4", "RANK": "5"}
    srun = {
        "SLURM_STEP_NUM_TASKS": "6",
        "SLURM_STEP_NUM_NODES": "3",
        "SLURM_PROCID": "0",
        "SLURM_NTASKS": "6",
    }
    for environment, shape in (
        (torchrun, (4, 2)),
        (srun, (2, 3)),
        ({}, (1, 1)),
        ({"SLURM_NTASKS": "6"}, (1, 1)),
    ):
        options = launch_options(environment)
        assert (options["devices"], options["num_nodes"]) == shape
        assert ("strategy" in options) == (shape != (1, 1))
