import numpy as np
import pytest
import torch

from sparseclust.data import Event, SemanticClass, VoxelInputs
from sparseclust.models import semantic_unet
from sparseclust.pipeline import SemanticClassifier
from sparseclust.training import BudgetSchedule, EventDataModule, SemanticModule, train

SIZE = 16


def lines_and_points(n, seed):
    """Class 1 lies along the last axis, class 4 is single voxels far apart."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(n):
        i, j = 2 * rng.integers(0, 4, 2)
        line = np.column_stack([np.full(SIZE, i), np.full(SIZE, j), np.arange(SIZE)])
        points = np.column_stack([np.full(8, 12), np.full(8, 12), np.arange(0, SIZE, 2)])
        coords = np.concatenate([line, points])
        semantic = np.repeat([SemanticClass.TRACK, SemanticClass.LOW_ENERGY], [SIZE, 8])
        made.append(Event(coords, rng.uniform(0.1, 1.0, len(coords)), semantic=semantic))
    return made


def test_lines_are_told_from_points(tmp_path):
    torch.manual_seed(5)
    module = SemanticModule(semantic_unet(base_channels=4, depth=2, reps=1), learning_rate=2e-2)
    data = EventDataModule(
        lines_and_points(32, 0),
        lines_and_points(8, 1),
        inputs=VoxelInputs(SIZE),
        batch_size=8,
        classes=list(SemanticClass),
    )
    schedule = BudgetSchedule(max_steps=24)
    classifier = train(module, data, output=tmp_path, schedule=schedule, patience=10, accelerator="cpu")
    assert isinstance(classifier, SemanticClassifier)
    again = SemanticClassifier.from_pretrained(tmp_path / "model.pt")
    unseen = lines_and_points(8, 2)
    for event, found, same in zip(unseen, classifier.classify(unseen), again.classify(unseen)):
        assert np.mean(found.semantic == event.semantic) > 0.9
        assert np.array_equal(found.semantic, same.semantic)


def test_validation_scores_are_those_of_all_voxels(monkeypatch):
    module = SemanticModule(semantic_unet(base_channels=4, depth=2, reps=1))
    module.confusion = torch.tensor([[3, 1, 0], [0, 4, 0], [0, 0, 0]])
    logged = {}
    monkeypatch.setattr(module, "log", lambda name, value, **_: logged.update({name: float(value)}))
    monkeypatch.setattr(module, "all_gather", lambda tensor: torch.stack([tensor, tensor]))
    module.on_validation_epoch_end()
    assert logged["val/accuracy"] == pytest.approx(7 / 8)
    assert logged["val/iou_shower"] == pytest.approx(3 / 4)
    assert logged["val/iou_track"] == pytest.approx(4 / 5)
    assert logged["val/iou"] == pytest.approx((3 / 4 + 4 / 5) / 2)  # of the classes that occur
