"""The moving average of the weights, the best model, and where a training starts."""

import numpy as np
import pytest
import torch

from sparseclust.clustering import AffinityGraphClusterer
from sparseclust.data import VoxelInputs
from sparseclust.models import create_model
from sparseclust.pipeline import Predictor
from sparseclust.testing import random_event
from sparseclust.training import (
    BestModel,
    BudgetSchedule,
    EventDataModule,
    SpatialEmbeddingModule,
    WeightAverage,
    start_from,
    train,
)

SIZE = 32


@pytest.fixture
def events(rng):
    return [random_event(rng, n_instances=6, voxels=30, spatial_size=SIZE) for _ in range(8)]


def _model(**options):
    torch.manual_seed(0)
    settings = {"spatial_size": SIZE, "base_channels": 4, "depth": 2, "reps": 1} | options
    return create_model("edge_spice", **settings)


class _Recorder(SpatialEmbeddingModule):
    """Remembers the network after each step and in each validation, and makes up its scores."""

    def __init__(self, scores=()):
        super().__init__(_model(), learning_rate=1e-2)
        self.made_up = list(scores)
        self.steps, self.validated = [], []

    def on_train_batch_end(self, *args):
        self.steps.append(self._state())

    def on_validation_epoch_end(self):
        self.validated.append(self._state())
        super().on_validation_epoch_end()

    def log(self, name, value, **options):
        made_up = name == "val/sbd" and self.made_up
        super().log(name, self.made_up.pop(0) if made_up else value, **options)

    def _state(self):
        return {name: value.clone() for name, value in self.model.state_dict().items()}


def _train(tmp_path, events, module, *, steps, **options):
    data = EventDataModule(events, events[:2], inputs=VoxelInputs(SIZE), batch_size=4)
    schedule = BudgetSchedule(max_steps=steps)
    options = {"accelerator": "cpu", "validate_every": 2} | options
    return train(module, data, output=tmp_path, schedule=schedule, **options)


def _averages(states, decay):
    """The definition, in float64."""
    average, result = None, []
    for n, state in enumerate(states):
        keep = min(decay, (1 + n) / (10 + n))
        new = {name: value.double() for name, value in state.items()}
        average = (
            new
            if n == 0
            else {k: keep * average[k] + (1 - keep) * v if _moves(k) else v for k, v in new.items()}
        )
        result.append(average)
    return result


def _moves(name):
    return not name.endswith("num_batches_tracked")


def _assert_near(state, expected):
    for name, value in expected.items():
        np.testing.assert_allclose(state[name].double(), value, rtol=1e-5, atol=1e-6, err_msg=name)


def _assert_equal(state, expected):
    assert all(torch.equal(value, expected[name]) for name, value in state.items())


def test_validation_and_the_model_use_the_average(tmp_path, events):
    module = _Recorder()
    predictor = _train(tmp_path, events, module, steps=7, ema_decay=0.3)
    expected = _averages(module.steps, 0.3)
    for validated, average in zip(module.validated, [*expected[1::2], expected[-1]], strict=True):
        _assert_near(validated, average)
    _assert_near(predictor.model.state_dict(), expected[-1])
    _assert_equal(
        Predictor.from_pretrained(tmp_path / "model.pt").model.state_dict(), module.model.state_dict()
    )
    assert not torch.allclose(
        module.steps[-1]["encoder.stem.weight"], expected[-1]["encoder.stem.weight"].float()
    )


def test_the_average_does_not_touch_the_training(tmp_path, events):
    plain, averaged = _Recorder(), _Recorder()
    _train(tmp_path / "plain", events, plain, steps=5)
    _train(tmp_path / "averaged", events, averaged, steps=5, ema_decay=0.9)
    for a, b in zip(plain.steps, averaged.steps, strict=True):
        _assert_equal(a, b)


def test_resuming_keeps_the_average(tmp_path, events):
    """Two parts of a training, each of whole epochs, make the average of the training in one go."""
    whole, first, second = _Recorder(), _Recorder(), _Recorder()
    _train(tmp_path / "whole", events, whole, steps=8, ema_decay=0.9)

    def stop():
        raise KeyboardInterrupt

    first.on_validation_end = lambda: stop() if first.global_step == 4 else None
    with pytest.raises(KeyboardInterrupt):
        _train(tmp_path / "parts", events, first, steps=8, ema_decay=0.9)
    _train(tmp_path / "parts", events, second, steps=8, ema_decay=0.9, resume=True)
    _assert_equal(second.model.state_dict(), whole.model.state_dict())


def test_an_interrupted_validation_leaves_the_weights_of_the_last_step(tmp_path, events):
    module = _Recorder()

    def stop(batch, batch_idx):
        raise KeyboardInterrupt

    module.validation_step = stop
    with pytest.raises(KeyboardInterrupt):
        _train(tmp_path, events, module, steps=4, ema_decay=0.9)
    checkpoint = torch.load(tmp_path / "last.ckpt", weights_only=False)
    current = {k.removeprefix("model."): v for k, v in checkpoint["current_model_state"].items()}
    _assert_equal(current, module.steps[-1])


def test_the_best_model_is_kept_and_training_stops(tmp_path, events):
    module = _Recorder(scores=[0.1, 0.7, 0.4, 0.7, 0.9])
    predictor = _train(tmp_path, events, module, steps=100, patience=2, ema_decay=0.9)
    assert len(module.steps) == 8
    _assert_equal(predictor.model.state_dict(), module.validated[1])
    content = torch.load(tmp_path / "model.pt", weights_only=True)
    _assert_equal(content["state"], module.validated[1])
    info = content["info"]
    assert (info["kept"], info["steps"], info["ema_decay"]) == ("best", 4, 0.9)
    assert info["val_sbd"] == pytest.approx(0.7)
    # Nothing is gained by resuming it.
    again = _Recorder()
    predictor = _train(tmp_path, events, again, steps=100, patience=2, ema_decay=0.9, resume=True)
    assert again.steps == []
    _assert_equal(predictor.model.state_dict(), module.validated[1])


def test_without_a_score_the_last_model_is_kept(tmp_path, events):
    module = _Recorder(scores=[float("nan")] * 3)
    _train(tmp_path, events, module, steps=6, patience=5)
    content = torch.load(tmp_path / "model.pt", weights_only=True)
    assert content["info"]["kept"] == "last"
    _assert_equal(content["state"], module.steps[-1])


@pytest.mark.parametrize("make", [lambda: WeightAverage(1.0), lambda: WeightAverage(-0.1)])
def test_a_decay_is_a_fraction(make):
    with pytest.raises(ValueError, match="decay"):
        make()


def test_patience_is_positive():
    with pytest.raises(ValueError, match="patience"):
        BestModel(lambda step, score: None, patience=0)


def _saved(tmp_path, model):
    path = tmp_path / "start.pt"
    Predictor(model, AffinityGraphClusterer(), inputs=VoxelInputs(SIZE)).save(path)
    return path


def test_starts_from_a_model(tmp_path):
    trained, model = _model(), _model(initial_margin=0.5)
    with torch.no_grad():
        for parameter in trained.parameters():
            parameter.add_(1.0)
    assert start_from(_saved(tmp_path, trained), model, inputs=VoxelInputs(SIZE)) == []
    _assert_equal(model.state_dict(), trained.state_dict())


def test_a_model_that_was_in_use_trains(tmp_path, events):
    """One that evaluates is switched to training: the statistics of its norms move."""
    model = _model().eval()
    before = {name: value.clone() for name, value in model.named_buffers()}
    _train(tmp_path, events, SpatialEmbeddingModule(model), steps=1)
    assert not any(torch.equal(before[name], value) for name, value in model.named_buffers())


def test_a_new_head_starts_anew(tmp_path):
    torch.manual_seed(0)
    path = _saved(tmp_path, create_model("spice", spatial_size=SIZE, base_channels=4, depth=2, reps=1))
    model = _model()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    missing = start_from(path, model)
    assert missing
    assert len(missing) < len(before)
    state = model.state_dict()
    _assert_equal({name: state[name] for name in missing}, before)
    _assert_equal(
        {name: value for name, value in state.items() if name not in missing},
        torch.load(path, weights_only=True)["state"],
    )


def test_says_why_a_model_does_not_fit(tmp_path):
    path = _saved(tmp_path, _model())
    with pytest.raises(ValueError, match="base_channels 4 in the file, 3 here"):
        start_from(path, _model(base_channels=3))
    with pytest.raises(ValueError, match="depth 2 in the file, 3 here"):
        start_from(path, _model(base_channels=8, depth=3))
    with pytest.raises(ValueError, match="margin_dim 1 in the file, 3 here"):
        start_from(path, _model(base_channels=8, margin_dim=3))
    path = _saved(tmp_path, _model(norm="layer"))
    with pytest.raises(ValueError, match="base_channels 4 in the file, 8 here"):
        start_from(path, _model(base_channels=8, norm="layer"))
    path = _saved(tmp_path, _model())
    with pytest.raises(ValueError, match="no such part"):
        start_from(path, create_model("spice", spatial_size=SIZE, base_channels=4, depth=2, reps=1))
    with pytest.raises(ValueError, match="spatial_size 32 in the file, 64 here"):
        start_from(path, _model(), inputs=VoxelInputs(64))
    with pytest.raises(FileNotFoundError, match="nothing"):
        start_from(tmp_path / "nothing.pt", _model())
