import dataclasses

import numpy as np
import pytest
import torch

from sparseclust.clustering import AffinityGraphClusterer, GaussianKernelClusterer
from sparseclust.data import (
    Event,
    EventStore,
    VoxelInputs,
    coalesce_event,
    collate_events,
    write_events,
)
from sparseclust.models import edge_unet, semantic_unet
from sparseclust.pipeline import (
    Predictor,
    SemanticClassifier,
    classify_file,
    predict_file,
    write_predictions,
)
from sparseclust.pipeline._assemble import evaluating
from sparseclust.pipeline._prediction import majority
from sparseclust.pipeline._smooth import smooth_classes
from sparseclust.pipeline._views import symmetries, turned
from sparseclust.testing import random_event

SIZE = 16


@pytest.fixture
def classifier():
    torch.manual_seed(3)
    return SemanticClassifier(semantic_unet(base_channels=4, depth=2, reps=1), inputs=VoxelInputs(SIZE))


@pytest.fixture
def predictor():
    torch.manual_seed(4)
    network = edge_unet(8, base_channels=4, depth=2, reps=1)
    return Predictor(network, AffinityGraphClusterer(min_size=1), inputs=VoxelInputs(SIZE, n_classes=4))


class Centred(torch.nn.Module):
    """A network without training is for one class everywhere; this one is for all of them."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, x):
        logits = self.network(x)["semantic"]
        # Large, so that the mean of logits is not that of probabilities.
        return {"semantic": 30 * (logits - logits.mean(dim=0))}


def events(rng, *, truth=True):
    made = []
    for n in (40, 0, 25):
        coords = rng.integers(0, SIZE, (n, 3))
        known = {"semantic": rng.integers(0, 5, n), "instance": rng.integers(0, 3, n)} if truth else {}
        made.append(Event(coords, rng.random(n), **known))
    return made


def test_a_class_for_every_voxel_and_all_else_untouched(classifier, rng):
    for before, after in zip(given := events(rng), classifier.classify(given), strict=True):
        assert after.semantic.shape == (len(before),)
        assert np.array_equal(after.coords, before.coords)
        assert np.array_equal(after.instance, before.instance)
        assert set(after.semantic.tolist()) <= set(range(5))


def test_classes_do_not_depend_on_the_batch(classifier, rng):
    given = events(rng)
    together = list(classifier.classify(given))
    for event, expected in zip(given, together):
        [alone] = classifier.classify([event])
        assert np.array_equal(alone.semantic, expected.semantic)


def test_averaged_over_the_group_classes_do_not_depend_on_the_orientation(classifier, rng):
    event, group = random_event(rng, spatial_size=SIZE), symmetries(3, 48)
    turns = [turned(event, *group[i], size=SIZE) for i in (0, 3, 5)]
    classifier.model, classifier.batch_size = Centred(classifier.model), 1
    single = [one.semantic.tolist() for one in classifier.classify(turns)]
    classifier.views = len(group)
    whole = [one.semantic.tolist() for one in classifier.classify(turns)]
    assert whole[1:] == whole[:1] * 2
    assert len(set(whole[0])) > 1
    assert single[1:] != single[:1] * 2


def test_few_views_are_the_mean_of_their_logits(classifier, rng):
    given = events(rng)
    classifier.model, classifier.batch_size = Centred(classifier.model), 1
    total = [0.0 for _ in given]
    for symmetry in symmetries(3, 3):
        for i, event in enumerate(given):
            merged, inverse = coalesce_event(turned(event, *symmetry, size=SIZE))
            with torch.inference_mode(), evaluating(classifier.model):
                batch = collate_events([merged], inputs=classifier.inputs)
                total[i] = total[i] + classifier.model(batch.tensor)["semantic"].numpy()[inverse]
    classifier.views = 3
    for found, expected in zip(classifier.classify(given), total, strict=True):
        assert found.semantic.tolist() == expected.argmax(axis=1).tolist()
    assert len(set(found.semantic)) > 1


def test_views_are_checked(classifier, rng):
    with pytest.raises(ValueError, match="views must be at least 1, got 0"):
        SemanticClassifier(classifier.model, inputs=classifier.inputs, views=0)
    classifier.views = 49
    with pytest.raises(ValueError, match="1 to 48 views, got 49"):
        list(classifier.classify(events(rng)))
    assert classifier.classify_batch([]) == []


def test_the_network_stays_in_its_mode(classifier, rng):
    classifier.model.train()
    classifier.model.encoder.eval()  # frozen
    modes = [module.training for module in classifier.model.modules()]
    list(classifier.classify(events(rng)))
    assert [module.training for module in classifier.model.modules()] == modes


def test_rows_of_one_voxel_are_of_one_class(classifier):
    event = Event([[1, 1, 1], [2, 2, 2], [1, 1, 1]], [1.0, 2.0, 3.0])
    [classified] = classifier.classify([event])
    assert classified.semantic[0] == classified.semantic[2]


def test_predicted_classes_take_the_place_of_true_ones(classifier, predictor, rng):
    given = events(rng)
    classified = list(classifier.classify(given))
    expected = [p.labels for p in predictor.predict(classified)]
    predictor.classifier = classifier
    found = list(predictor.predict(given))
    for prediction, event, classes, labels in zip(found, given, classified, expected, strict=True):
        assert prediction.event is event
        assert np.array_equal(prediction.semantic, classes.semantic)
        assert np.array_equal(prediction.labels, labels)


def test_events_without_classes_can_be_labelled(classifier, predictor, rng, tmp_path):
    given = events(rng, truth=False)
    with pytest.raises(ValueError, match="the event has none"):
        list(predictor.predict(given))
    predictor.classifier = classifier
    write_predictions(tmp_path / "out.h5", predictor.predict(given))
    for event, classified in zip(EventStore(tmp_path / "out.h5"), classifier.classify(given), strict=True):
        assert np.array_equal(event.extra["class"], classified.semantic)


def test_saved_and_read_again(classifier, predictor, rng, tmp_path):
    given = events(rng)
    for name in ("model.pt", "model.safetensors"):
        classifier.save(tmp_path / name)
        again = SemanticClassifier.from_pretrained(tmp_path / name)
        for a, b in zip(classifier.classify(given), again.classify(given)):
            assert np.array_equal(a.semantic, b.semantic)
    with pytest.raises(ValueError, match="finds classes, not particles"):
        Predictor.from_pretrained(tmp_path / "model.pt")
    predictor.save(tmp_path / "particles.pt")
    with pytest.raises(ValueError, match="finds particles, not classes"):
        SemanticClassifier.from_pretrained(tmp_path / "particles.pt")


def test_predictions_by_another_classifier_are_other_predictions(classifier, predictor, rng, tmp_path):
    from sparseclust.data import write_events

    write_events(tmp_path / "events.h5", events(rng))
    files = tmp_path / "events.h5", tmp_path / "out.h5"
    predictor.classifier = classifier
    assert predict_file(predictor, *files).new
    assert not predict_file(predictor, *files).new
    predictor.classifier = None
    with pytest.raises(FileExistsError, match="of other model"):
        predict_file(predictor, *files)


def test_the_true_class_is_no_input(classifier):
    with pytest.raises(ValueError, match="n_classes=0"):
        SemanticClassifier(classifier.model, inputs=dataclasses.replace(classifier.inputs, n_classes=4))


def likely(classes, k=3, p=0.8):
    """Probabilities with ``p`` for the given classes."""
    return (
        np.full((len(classes), k), (1 - p) / (k - 1), np.float32)
        + (p - (1 - p) / (k - 1)) * np.eye(k, dtype=np.float32)[classes]
    )


LINE = np.array([[i, 0, 0] for i in range(9)])


def test_a_speck_takes_the_class_around_it_and_what_is_large_or_alone_does_not():
    found = likely([1, 1, 1, 1, 2, 1, 1, 1, 1])
    assert smooth_classes(LINE, found, min_size=2).tolist() == [1] * 9
    assert smooth_classes(LINE, found, min_size=1).tolist() == [1, 1, 1, 1, 2, 1, 1, 1, 1]
    halves = likely([0, 0, 0, 0, 2, 2, 2, 2, 2])
    assert smooth_classes(LINE, halves, min_size=4).tolist() == [0] * 4 + [2] * 5
    alone = np.array([[0, 0, 0], [5, 5, 5]])
    assert smooth_classes(alone, likely([0, 1]), min_size=9).tolist() == [0, 1]


def test_a_speck_between_two_classes_goes_where_it_is_likelier():
    found = likely([0, 0, 0, 0, 1, 2, 2, 2, 2])
    for other in (0, 2):
        found[4] = [0.05, 0.6, 0.05]
        found[4, other] = 0.35
        assert smooth_classes(LINE, found, min_size=3)[4] == other


def test_smoothing_is_of_voxels_not_of_their_order(rng):
    coords = np.unique(rng.integers(0, 6, (60, 3)), axis=0)
    found = rng.dirichlet(np.ones(4), len(coords)).astype(np.float32)
    order = rng.permutation(len(coords))
    straight = smooth_classes(coords, found, min_size=4)
    assert np.array_equal(smooth_classes(coords[order], found[order], min_size=4), straight[order])
    assert (straight != found.argmax(1)).any()
    assert np.array_equal(smooth_classes(coords, found, min_size=1), found.argmax(1))


def test_nothing_is_smoothed():
    nothing = smooth_classes(np.zeros((0, 3), np.int32), np.zeros((0, 5), np.float32), min_size=5)
    assert nothing.shape == (0,)


def test_min_size_is_kept_with_the_network(classifier, tmp_path):
    classifier.min_size = 7
    classifier.save(tmp_path / "classes.pt")
    assert SemanticClassifier.from_pretrained(tmp_path / "classes.pt").min_size == 7
    assert SemanticClassifier.from_pretrained(tmp_path / "classes.pt", min_size=1).min_size == 1
    with pytest.raises(ValueError, match="min_size must be at least 1"):
        SemanticClassifier(classifier.model, inputs=classifier.inputs, min_size=0)


@pytest.mark.parametrize("workers", [0, 1])
def test_particles_of_several_predicted_classes(predictor, classifier, rng, workers):
    """One line of voxels whose predicted classes change: cut there, or joined and of the class of most."""
    event = Event(np.column_stack([np.arange(12), np.full((12, 2), 3)]), np.ones(12))
    said = np.array([1] * 7 + [3] * 2 + [1] * 3)
    classifier.classify_batch = lambda given: [Event(e.coords, e.feats, said) for e in given]
    predictor.clusterer = AffinityGraphClusterer(threshold=0.0, min_size=1)  # all that may be joined is
    predictor.classifier = classifier
    [apart] = predictor.predict([event], workers=workers)
    assert apart.labels.tolist() == [0] * 7 + [1] * 2 + [0] * 3  # a bridge, over the other class
    assert apart.semantic.tolist() == said.tolist()
    predictor.across_classes = "classified"
    [whole] = predictor.predict([event], workers=workers)
    assert set(whole.labels) == {0}
    assert set(whole.semantic) == {1}
    assert len(whole.edges.T) == len(apart.edges.T) + 2
    predictor.classifier = None
    known = Event(event.coords, event.feats, said)
    assert [len(set(p.labels)) for p in predictor.predict([known], workers=workers)] == [2]
    predictor.across_classes = "always"
    [always] = predictor.predict([known], workers=workers)
    assert set(always.labels) == {0}
    assert always.semantic is None  # there is no prediction of it, and the event keeps its own


def test_the_class_of_most_voxels():
    semantic, labels = np.array([1, 3, 1, 2, 2, 0, 4]), np.array([0, 0, 0, 1, 1, 1, -1])
    assert majority(semantic, labels).tolist() == [1, 1, 1, 2, 2, 2, 4]
    assert majority(np.array([3, 1]), np.array([0, 0])).tolist() == [1, 1]  # the smaller of two
    assert majority(np.zeros(0, np.int64), np.zeros(0, np.int64)).tolist() == []
    assert majority(np.array([4]), np.array([-1])).tolist() == [4]


def test_joining_classes_is_remembered_and_can_be_changed(predictor, tmp_path):
    predictor.across_classes = "classified"
    predictor.save(tmp_path / "model.pt")
    assert Predictor.from_pretrained(tmp_path / "model.pt").across_classes == "classified"
    assert Predictor.from_pretrained(tmp_path / "model.pt", across_classes="never").across_classes == "never"


def test_joining_classes_needs_a_graph(predictor):
    with pytest.raises(ValueError, match="across_classes is about the edges of an affinity graph"):
        Predictor(
            predictor.model, GaussianKernelClusterer(), inputs=predictor.inputs, across_classes="always"
        )
    with pytest.raises(ValueError, match=r"across_classes must be one of \['never', .*, got True"):
        Predictor(predictor.model, predictor.clusterer, inputs=predictor.inputs, across_classes=True)


def test_a_file_with_predicted_classes(classifier, rng, tmp_path):
    given = events(rng)
    write_events(tmp_path / "events.h5", given)
    counted = []
    first = classify_file(
        classifier,
        tmp_path / "events.h5",
        tmp_path / "out" / "a.h5",
        attrs={"note": 1},
        advance=counted.append,
    )
    assert (first.n_events, first.new, counted) == (3, True, [1, 1, 1])
    with EventStore(tmp_path / "out" / "a.h5") as store:
        assert store.attrs["note"] == 1
        for found, event, before in zip(store, classifier.classify(given), given, strict=True):
            assert np.array_equal(found.semantic, event.semantic)
            assert np.array_equal(found.instance, before.instance)
            assert np.array_equal(found.coords, before.coords)
    assert not classify_file(classifier, tmp_path / "events.h5", tmp_path / "out" / "a.h5").new
    classifier.min_size = 5
    with pytest.raises(FileExistsError, match="of other model"):
        classify_file(classifier, tmp_path / "events.h5", tmp_path / "out" / "a.h5")
    assert classify_file(classifier, tmp_path / "events.h5", tmp_path / "out" / "a.h5", overwrite=True).new
