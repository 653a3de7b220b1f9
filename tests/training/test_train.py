"""Training: it learns, stops, resumes, and survives odd events."""

import itertools
import logging
import os
import signal

import numpy as np
import pytest
import torch
import tqdm
from lightning.pytorch import Callback

from sparseclust.clustering import AffinityGraphClusterer, GaussianKernelClusterer
from sparseclust.data import Event, SemanticClass, VoxelInputs
from sparseclust.models import create_model
from sparseclust.pipeline import Predictor
from sparseclust.testing import random_event
from sparseclust.training import BudgetSchedule, EventDataModule, SpatialEmbeddingModule, evaluate, train
from sparseclust.training._module import _named

SIZE = 32


@pytest.fixture
def events(rng):
    return [random_event(rng, n_instances=6, voxels=30, spatial_size=SIZE) for _ in range(8)]


def _module(name="edge_spice", **options):
    torch.manual_seed(0)
    model = create_model(name, spatial_size=SIZE, base_channels=4, depth=2, reps=1, initial_margin=0.2)
    return SpatialEmbeddingModule(model, learning_rate=1e-2, **options)


def _data(events, **options):
    return EventDataModule(events, events[:2], inputs=VoxelInputs(SIZE), batch_size=4, **options)


def _train(tmp_path, events, *, steps, module=None, **options):
    module = _module() if module is None else module
    return train(
        module,
        _data(events),
        output=tmp_path,
        schedule=BudgetSchedule(max_steps=steps),
        accelerator="cpu",
        **options,
    )


def _loss(module, events):
    batch = next(iter(_data(events).val_dataloader()))
    with torch.no_grad():
        return float(module._terms(batch, module(batch))["loss"])


def test_a_batch_costs_the_mean_of_its_events(events):
    module = _module("spice").eval()
    data = _data(events)
    together = data.collate(events[:3])
    with torch.no_grad():
        outputs = module(together)
        loss = float(module._terms(together, outputs)["loss"])
        alone = [
            float(module.loss(*rows, instance=truth[0], group=truth[1])["loss"])
            for rows, truth in _by_event(together, outputs)
        ]
    assert loss == pytest.approx(np.mean(alone), rel=1e-5)


def _by_event(batch, outputs):
    for e in range(len(batch)):
        rows = batch.tensor.coords[:, 0] == e
        names = ("embeddings", "margins", "seediness")
        yield [outputs[name][rows] for name in names], (batch.instance[rows], batch.group[rows])


def test_learns_and_leaves_its_files(tmp_path, events):
    module = _module()
    before = _loss(module, events)
    predictor = _train(tmp_path, events, steps=20, module=module)
    assert _loss(module, events) < 0.8 * before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["last.ckpt", "logs", "model.pt"]
    again = Predictor.from_pretrained(tmp_path / "model.pt")
    for a, b in zip(predictor.predict(events), again.predict(events)):
        np.testing.assert_array_equal(a.labels, b.labels)
    header = (tmp_path / "logs" / "version_0" / "metrics.csv").read_text().splitlines()[0].split(",")
    assert {"train/loss", "train/mask", "train/cut", "val/loss", "val/ari", "val/sbd_track"} <= set(header)


def test_logs_the_loss_of_each_class(tmp_path, events):
    for event in events:
        event.semantic[:] = event.semantic[0]  # so that steps differ in the classes they hold
    module = _module("spice", clusterer=GaussianKernelClusterer(seed_threshold=0.5))
    batch = next(iter(_data(events).val_dataloader()))
    with torch.no_grad():
        terms = module._terms(batch, module(batch))
    present = set(batch.semantic.tolist())
    assert {int(name.split("/")[1]) for name in terms if "/" in name} == present
    total = sum(weight * terms[name] for name, weight in module.loss.weights.items())
    assert float(terms["loss"]) == pytest.approx(float(total), rel=1e-5)
    logged = _named(terms)
    for c in SemanticClass:
        value = float(logged[f"train/loss_{c.name.lower()}"])
        assert value == float(terms[f"loss/{c}"]) if c in present else np.isnan(value)
    _train(tmp_path, events, steps=2, module=module)
    header = (tmp_path / "logs" / "version_0" / "metrics.csv").read_text().splitlines()[0].split(",")
    assert {f"train/loss_{c.name.lower()}" for c in SemanticClass} <= set(header)


def test_training_beats_an_untrained_network_by_far(tmp_path, events):
    clusterer = GaussianKernelClusterer(seed_threshold=0.5, leftover="nearest")
    module = _module("spice", clusterer=clusterer)
    untrained = evaluate(Predictor(module.model, clusterer, inputs=VoxelInputs(SIZE)).predict(events))
    trained = evaluate(_train(tmp_path, events, steps=200, module=module).predict(events))
    deficit = [1 - np.mean(scores["sparseclust"].table()["sbd"]) for scores in (untrained, trained)]
    assert deficit[1] < 0.4 * deficit[0]


def test_the_same_seed_gives_the_same_model(tmp_path, events):
    first, second = (_train(tmp_path / str(run), events, steps=6).model.state_dict() for run in range(2))
    assert all(torch.equal(value, second[name]) for name, value in first.items())


@pytest.mark.parametrize(
    ("only", "trained"),
    [("edges", {"encoder", "edges"}), ("embeddings", {"encoder", "embedding", "seediness"})],
)
def test_edges_or_embeddings_alone(tmp_path, events, only, trained):
    clusterer = GaussianKernelClusterer() if only == "embeddings" else AffinityGraphClusterer()
    module, run = _module(only=only, clusterer=clusterer), set()
    for name, branch in module.model.branches.items():
        branch.register_forward_hook(lambda *_, name=name: run.add(name))
    before = {name: p.detach().clone() for name, p in module.model.named_parameters()}
    _train(tmp_path, events, steps=3, module=module)
    changed = {name for name, p in module.model.named_parameters() if not torch.equal(p, before[name])}
    assert {name.removeprefix("branches.").split(".")[0] for name in changed} == trained
    assert run == trained - {"encoder"}


def test_what_has_no_branch_cannot_be_trained_alone():
    with pytest.raises(ValueError, match=r"edges alone cannot be trained: .* give \['embeddings', "):
        _module("spice", only="edges")
    with pytest.raises(ValueError, match=r"only must be one of \['edges', 'embeddings'\], got 'affinity'"):
        _module(only="affinity")


class _FreeEdges(torch.nn.Module):
    """An edge for every touching pair, each with a parameter for its logit."""

    def __init__(self, n_edges):
        super().__init__()
        self.logits = torch.nn.Parameter(torch.linspace(-2, 2, n_edges))

    def forward(self, tensor):
        return {"edges": tensor.edges(), "affinity": self.logits}


@pytest.mark.parametrize("across", [False, True])
def test_edges_between_classes_are_learned_where_that_is_asked_for(across):
    """Of a line of voxels: one particle of two classes, and a second one behind it."""
    coords = np.column_stack([np.arange(6), np.zeros((6, 2), int)])
    event = Event(coords, np.ones(6), semantic=[1, 1, 3, 3, 3, 3], instance=[0, 0, 0, 0, 1, 1])
    data = EventDataModule([event], [event], inputs=VoxelInputs(SIZE), batch_size=1)
    batch = next(iter(data.val_dataloader()))
    model = _FreeEdges(5)
    module = SpatialEmbeddingModule(model, across_classes=across)
    module._terms(batch, module(batch))["loss"].backward()
    gradient = {
        tuple(sorted(e)): g for e, g in zip(batch.tensor.edges().T.tolist(), model.logits.grad.tolist())
    }
    assert (gradient[1, 2] < 0) == across  # towards one particle
    assert gradient[1, 2] == 0 or across
    assert gradient[0, 1] < 0
    assert gradient[3, 4] > 0  # towards a cut
    predictor = module.trained(VoxelInputs(SIZE), [1, 3])
    assert predictor.across_classes == ("classified" if across else "never")


def test_kernels_have_no_edges_between_classes():
    with pytest.raises(ValueError, match="across_classes is about edges"):
        _module(clusterer=GaussianKernelClusterer(), across_classes=True)


def test_stops_when_the_time_is_spent(tmp_path, events):
    predictor = train(
        _module(),
        _data(events),
        output=tmp_path,
        schedule=BudgetSchedule(max_minutes=1 / 60),
        accelerator="cpu",
    )
    assert isinstance(predictor.clusterer, AffinityGraphClusterer)


def test_resumes_where_it_stopped(tmp_path, events):
    _train(tmp_path, events, steps=4)
    module = _module()
    schedule = BudgetSchedule(max_steps=8)
    train(module, _data(events), output=tmp_path, schedule=schedule, resume=True, accelerator="cpu")
    assert module.trainer.global_step == 8
    assert schedule.seconds > 0
    assert {p.name for p in (tmp_path / "logs").iterdir()} == {"version_0", "version_1"}


def test_interrupt_leaves_a_checkpoint_to_resume(tmp_path, events):
    class Interrupted(SpatialEmbeddingModule):
        def training_step(self, batch, batch_idx):
            if self.global_step == 3:
                os.kill(os.getpid(), signal.SIGINT)
            return super().training_step(batch, batch_idx)

    with pytest.raises(KeyboardInterrupt):
        _train(tmp_path, events, steps=8, module=Interrupted(_module().model))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["last.ckpt", "logs"]
    module = _module()
    _train(tmp_path, events, steps=8, module=module, resume=True)
    assert module.trainer.global_step == 8


@pytest.mark.parametrize("patience", [None, 1])
def test_a_model_of_your_own_is_trained_and_saved(tmp_path, events, patience):
    model = torch.nn.Sequential(_module().model)
    module = SpatialEmbeddingModule(model, learning_rate=1e-2)
    predictor = _train(tmp_path, events, steps=2, module=module, patience=patience)
    other = torch.nn.Sequential(_module().model)
    again = Predictor.from_pretrained(tmp_path / "model.pt", model=other)
    assert all(torch.equal(value, other.state_dict()[name]) for name, value in model.state_dict().items())
    assert again.clusterer.get_params() == predictor.clusterer.get_params()


def test_options_of_the_trainer(tmp_path, events, capfd, monkeypatch):
    class Count(Callback):
        steps = 0

        def on_train_batch_end(self, *_):
            self.steps += 1

    count = Count()
    heard = []
    handler = logging.Handler()
    handler.emit = heard.append
    monkeypatch.setattr(logging.getLogger("lightning.pytorch"), "handlers", [handler])
    quiet = {"enable_progress_bar": False, "logger": False}
    _train(tmp_path, events, steps=2, callbacks=[count], **quiet)
    assert [record.getMessage() for record in heard] == []
    assert count.steps == 2
    assert "spent" not in capfd.readouterr().err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["last.ckpt", "model.pt"]


def test_nothing_to_resume(tmp_path, events):
    with pytest.raises(FileNotFoundError, match=r"last\.ckpt"):
        _train(tmp_path, events, steps=1, resume=True)


def test_empty_and_tiny_events_train(tmp_path, events):
    empty = Event(np.zeros((0, 3)), np.zeros(0), np.zeros(0, int), np.zeros(0, int))
    one = Event([[1, 2, 3]], [1.0], [1], [0])
    low = Event([[1, 2, 3]], [1.0], [4], [-1])
    _train(tmp_path, [empty, one, low, events[0], empty, empty, empty, empty], steps=4)
    weights = torch.load(tmp_path / "model.pt", weights_only=True)["state"].values()
    assert all(torch.isfinite(w).all() for w in weights)


def test_events_are_needed(events):
    with pytest.raises(ValueError, match="no training events"):
        EventDataModule([], events, inputs=VoxelInputs(SIZE))


def test_truth_is_needed(tmp_path, events):
    blind = [Event(e.coords, e.feats, e.semantic) for e in events]
    with pytest.raises(ValueError, match="true instances"):
        _train(tmp_path, blind, steps=1)


def test_batches_are_the_same_for_any_number_of_workers(events):
    def batches(workers):
        data = _data(events, num_workers=workers, seed=5)
        return [b.tensor.feats for b in itertools.islice(data.train_dataloader(), 5)]

    for a, b in zip(batches(0), batches(2), strict=True):
        assert torch.equal(a, b)


def test_a_log_is_not_flooded_by_the_progress_bar(tmp_path, events, capfd):
    _train(tmp_path, events, steps=30)
    assert capfd.readouterr().err.count("spent") <= 4


def test_what_is_left_after_a_resume_counts_this_run_alone(tmp_path, events, monkeypatch):
    bars = []

    class Bar(tqdm.tqdm):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            bars.append(self)

    monkeypatch.setattr(tqdm, "tqdm", Bar)
    _train(tmp_path, events, steps=3)
    _train(tmp_path, events, steps=12, resume=True)
    assert [bar.initial for bar in bars] == [0.0, 0.25]  # tqdm's rate is that of n - initial
    assert bars[1].n == 1.0
