"""Models on disk: exact, portable, refused where they are damaged."""

import json

import numpy as np
import pytest
import torch

from sparseclust.clustering import GaussianKernelClusterer
from sparseclust.data import VoxelInputs
from sparseclust.data.simulation import EventGenerator
from sparseclust.models import spice
from sparseclust.pipeline import Predictor, SemanticClassifier, describe_pretrained, list_pretrained

EVENTS = [EventGenerator("crowded", rng=1, spatial_size=96).event(i) for i in range(2)]


@pytest.fixture
def predictor():
    torch.manual_seed(0)
    model = spice(in_channels=4, spatial_size=96, base_channels=4, depth=2)
    clusterer = GaussianKernelClusterer(seed_threshold={0: 0.1, 1: 0.2, 2: 0.3, 3: 0.4}, leftover="nearest")
    return Predictor(model, clusterer, inputs=VoxelInputs(96), refine=True)


def labels(predictor):
    return [p.labels for p in predictor.predict(EVENTS)]


def test_safetensors_hold_the_same_model(predictor, tmp_path):
    path = tmp_path / "deep" / "small.safetensors"
    predictor.save(path, trained_on="nothing", scores={"ari": 0.5})
    assert sorted(p.name for p in path.parent.iterdir()) == ["small.json", "small.safetensors"]
    again = Predictor.from_pretrained(path)
    assert again.clusterer.get_params() == predictor.clusterer.get_params()
    assert again.refine
    for a, b in zip(labels(predictor), labels(again)):
        np.testing.assert_array_equal(a, b)
    card = json.loads(path.with_suffix(".json").read_text())
    assert card["info"] == {"trained_on": "nothing", "scores": {"ari": 0.5}}


@pytest.mark.parametrize("name", ["half.safetensors", "half.pt"])
def test_half_size(predictor, tmp_path, name):
    predictor.save(tmp_path / name, half=True)
    predictor.save(tmp_path / f"whole-{name}")
    assert (tmp_path / name).stat().st_size < 0.8 * (tmp_path / f"whole-{name}").stat().st_size
    state = Predictor.from_pretrained(tmp_path / name).model.state_dict()
    for key, tensor in predictor.model.state_dict().items():
        assert state[key].dtype == tensor.dtype
        torch.testing.assert_close(state[key], tensor, rtol=1e-3, atol=1e-6)


def test_damaged_and_incomplete_files(predictor, tmp_path):
    path = tmp_path / "m.safetensors"
    predictor.save(path)
    whole, card = path.read_bytes(), path.with_suffix(".json")
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="damaged or of another kind"):
        Predictor.from_pretrained(path)
    path.write_bytes(whole)
    card.write_text("{}")
    with pytest.raises(ValueError, match="not the card of a model"):
        Predictor.from_pretrained(path)
    card.unlink()
    with pytest.raises(FileNotFoundError, match=r"m\.json: no such file; it belongs to"):
        Predictor.from_pretrained(path)


def test_a_missing_package_is_no_damage(predictor, tmp_path, monkeypatch):
    predictor.save(tmp_path / "m.safetensors")
    monkeypatch.setattr("sparseclust._optional.available", lambda package: package != "safetensors")
    with pytest.raises(ImportError, match=r"needs the package 'safetensors'.* pip install safetensors$"):
        Predictor.from_pretrained(tmp_path / "m.safetensors")


def test_what_a_file_says_without_its_weights(predictor, tmp_path):
    predictor.save(tmp_path / "m.pt", steps=7)
    told = describe_pretrained(tmp_path / "m.pt")
    assert sorted(told) == ["classes", "clusterer", "info", "inputs", "model", "refine"]
    assert told["model"] == predictor.model.config
    assert told["info"] == {"steps": 7}


def test_unknown_names_are_files_that_do_not_exist():
    with pytest.raises(FileNotFoundError, match="no such file"):
        Predictor.from_pretrained("spice-of-life")


def test_all_shipped_models_are_tried_here():
    assert list_pretrained() == ["semantic-small", "spice-small"]


def test_the_shipped_model_finds_particles():
    predictor = Predictor.from_pretrained("spice-small")
    event = EventGenerator("crowded", rng=5, spatial_size=predictor.inputs.spatial_size).event(0)
    [prediction] = predictor.predict([event])
    particle = np.isin(event.semantic, predictor.classes)
    assert (prediction.labels[particle] >= 0).mean() > 0.9


def test_the_shipped_classifier_knows_most_voxels():
    classifier = SemanticClassifier.from_pretrained("semantic-small")
    event = EventGenerator("crowded", rng=5, spatial_size=classifier.inputs.spatial_size).event(0)
    [classified] = classifier.classify([event])
    assert (classified.semantic == event.semantic).mean() > 0.85
