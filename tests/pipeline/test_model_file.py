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


@pytest.mark.parametrize(("kind", "overhead"), [("safetensors", 21_000), ("pt", 55_000)])
@pytest.mark.parametrize(("bits", "error"), [(16, 2**-11), (8, 0.5 / 127)])
def test_fewer_bits(predictor, tmp_path, kind, overhead, bits, error):
    files = {b: tmp_path / f"{b}.{kind}" for b in (32, bits)}
    for b, path in files.items():
        predictor.save(path, bits=b)
    weights = sum(t.numel() for t in predictor.model.state_dict().values() if t.ndim > 1)
    assert files[bits].stat().st_size < weights * bits // 8 + overhead  # names, vectors and steps
    state = Predictor.from_pretrained(files[bits]).model.state_dict()
    for key, tensor in predictor.model.state_dict().items():
        assert state[key].dtype == tensor.dtype
        if tensor.ndim < 2:
            assert torch.equal(state[key], tensor)
        else:  # an error relative to the largest weight that leads to the same feature
            outer = -1 if tensor.ndim == 3 else 0
            true, found = (t.movedim(outer, 0).flatten(1) for t in (tensor, state[key]))
            bound = error * true.abs().amax(dim=1, keepdim=True) * 1.001
            assert ((found - true).abs() <= bound).all()


@pytest.mark.parametrize("kind", ["safetensors", "pt"])
def test_eight_bits_of_zeros_and_of_whole_steps_are_exact(tmp_path, kind):
    model = torch.nn.Sequential(torch.nn.Linear(3, 2, bias=False), torch.nn.Conv2d(2, 2, 1, bias=False))
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[127.0, -3.0, 0.0], [0.0, 0.0, 0.0]]))
    path = tmp_path / f"m.{kind}"
    Predictor(model, GaussianKernelClusterer(), inputs=VoxelInputs(96)).save(path, bits=8)
    again = torch.nn.Sequential(torch.nn.Linear(3, 2, bias=False), torch.nn.Conv2d(2, 2, 1, bias=False))
    Predictor.from_pretrained(path, model=again)
    assert torch.equal(again[0].weight, model[0].weight)
    torch.testing.assert_close(again[1].weight, model[1].weight, rtol=0.01, atol=0.01)


def test_what_bits_cannot_hold_is_refused(predictor, tmp_path):
    with pytest.raises(ValueError, match="bits must be 32, 16 or 8, got 4"):
        predictor.save(tmp_path / "deep" / "m.pt", bits=4)
    with torch.no_grad():
        predictor.model.encoder.stem.weight[0, 0, 0] = torch.nan
    with pytest.raises(ValueError, match=r"encoder\.stem\.weight holds nan or inf"):
        predictor.save(tmp_path / "deep" / "m.pt", bits=8)
    assert list(tmp_path.iterdir()) == []


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
    assert sorted(told) == ["across_classes", "classes", "clusterer", "info", "inputs", "model", "refine"]
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
