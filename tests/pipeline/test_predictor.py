"""Labels aligned with the caller's rows, whatever the events look like; models on disk."""

import pickle

import numpy as np
import pytest
import torch

from sparseclust.clustering import AffinityGraphClusterer, GaussianKernelClusterer, neighbour_edges, refine
from sparseclust.data import Event, EventStore, VoxelInputs, coalesce_event, collate_events
from sparseclust.models import create_model, spice
from sparseclust.pipeline import Predictor, TiledNetwork, assemble, write_predictions
from sparseclust.testing import random_event

SIZE = 64
EMBEDDED = ("embeddings", "margins", "seediness")


def _model(name="edge_spice"):
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return create_model(name, spatial_size=SIZE, base_channels=4, depth=3, reps=1, initial_margin=0.1)


def _predictor(clusterer=None, **options):
    clusterer = AffinityGraphClusterer(threshold=0.5) if clusterer is None else clusterer
    return Predictor(_model(), clusterer, inputs=VoxelInputs(SIZE), **options)


@pytest.fixture(params=["edges", "kernels"])
def predictor(request):
    if request.param == "edges":
        return _predictor(outputs=EMBEDDED)
    return _predictor(GaussianKernelClusterer(leftover="nearest"))


def _partition(labels):
    """Labels up to their names: each voxel named by the first voxel of its cluster."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    return np.where(labels < 0, -1, first[inverse])


def test_one_label_per_voxel_in_order(predictor, rng):
    events = [random_event(rng, spatial_size=SIZE) for _ in range(5)]
    predictions = list(predictor.predict(events))
    assert [p.event for p in predictions] == events
    for p in predictions:
        assert p.labels.shape == (len(p.event),)
        assert p.labels.dtype == np.int64
        assert set(np.unique(p.labels)) == set(range(p.labels.max() + 1))
        assert p.outputs["embeddings"].shape == (len(p.event), 3)


def test_batches_do_not_matter(predictor, rng):
    events = [random_event(rng, spatial_size=SIZE) for _ in range(5)]
    together = [p.labels for p in predictor.predict(events)]
    predictor.batch_size = 1
    alone = [p.labels for p in predictor.predict(events)]
    for a, b in zip(together, alone):
        np.testing.assert_array_equal(_partition(a), _partition(b))


def test_order_of_rows_does_not_matter_to_the_partition(rng):
    event = random_event(rng, spatial_size=SIZE)
    order = rng.permutation(len(event))
    predictor = _predictor()
    [straight] = predictor.predict([event])
    [shuffled] = predictor.predict([event.select(order)])
    np.testing.assert_array_equal(_partition(straight.labels[order]), _partition(shuffled.labels))


def test_classes_are_never_joined_and_others_are_not_clustered(predictor, rng):
    event = random_event(rng, n_instances=8, spatial_size=16)
    semantic = rng.integers(0, 5, len(event))
    event = Event(event.coords, event.feats, semantic, event.instance)
    [p] = predictor.predict([event])
    assert np.all(p.labels[semantic == 4] == -1)
    assert np.all(np.isnan(p.outputs["seediness"][semantic == 4]))
    for label in np.unique(p.labels[p.labels >= 0]):
        assert len(np.unique(semantic[p.labels == label])) == 1


def test_duplicate_rows_get_equal_labels(predictor, rng):
    event = random_event(rng, spatial_size=SIZE)
    rows = np.concatenate([np.arange(len(event)), np.arange(0, len(event), 3)])
    [p] = predictor.predict([event.select(rows)])
    np.testing.assert_array_equal(p.labels[len(event) :], p.labels[: len(event) : 3])


def _crowded(rng):
    """Rows that share a voxel but not a class, and voxels of a class that is not clustered."""
    event = random_event(rng, n_instances=8, spatial_size=12)
    n = len(event)
    event = Event(event.coords, event.feats, rng.integers(0, 5, n), event.instance)
    rows = np.concatenate([np.arange(0, n, 3), np.arange(n)])
    return Event(
        event.coords[rows], event.feats[rows], rng.permutation(event.semantic[rows]), event.instance[rows]
    )


def test_edges_join_the_rows_that_stand_for_touching_voxels_of_one_class(rng):
    events = [random_event(rng, spatial_size=SIZE), _crowded(rng), _crowded(rng)]
    for p in _predictor().predict(events):
        semantic, standing = p.event.semantic, np.unique(p.voxel[p.voxel >= 0])
        assert np.array_equal(p.voxel[standing], standing)
        assert np.array_equal(p.event.coords[p.voxel[p.voxel >= 0]], p.event.coords[p.voxel >= 0])
        assert len(np.unique(p.event.coords[standing], axis=0)) == len(standing)
        assert np.array_equal(p.voxel < 0, semantic == 4)
        expected = standing[neighbour_edges(p.event.coords[standing], group=semantic[standing])]
        found = np.sort(p.edges, axis=0)
        assert np.array_equal(found[:, np.lexsort(found[::-1])], expected)
        assert p.affinity.shape == (p.edges.shape[1],)
        assert np.all((p.affinity > 0) & (p.affinity < 1))


def test_labels_can_be_made_again_from_the_edges(rng):
    for p in _predictor().predict([_crowded(rng), random_event(rng, spatial_size=SIZE), _crowded(rng)]):
        labels = AffinityGraphClusterer(threshold=0.5).fit_predict(p.edges, p.affinity, n=len(p.event))
        again = np.where(p.voxel >= 0, labels[p.voxel], -1)
        np.testing.assert_array_equal(_partition(again), _partition(p.labels))


def test_kernels_come_without_edges(rng):
    [p] = _predictor(GaussianKernelClusterer()).predict([random_event(rng, spatial_size=SIZE)])
    assert p.edges is None
    assert p.affinity is None


def test_tensors_are_clustered_where_they_are(rng, monkeypatch):
    events = [_crowded(rng), random_event(rng, spatial_size=SIZE)]
    thresholds = dict.fromkeys(range(4), 0.3)
    expected = [p.labels for p in _predictor(GaussianKernelClusterer(thresholds)).predict(events)]
    monkeypatch.setattr(GaussianKernelClusterer, "_fit_arrays", None)
    on_tensors = _predictor(GaussianKernelClusterer(thresholds, backend="torch"))
    for p, labels in zip(on_tensors.predict(events), expected):
        np.testing.assert_array_equal(p.labels, labels)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize(
    "clusterer", [GaussianKernelClusterer(dict.fromkeys(range(4), 0.3)), AffinityGraphClusterer()]
)
def test_outputs_on_the_gpu_get_the_labels_of_the_host(rng, clusterer):
    inputs = VoxelInputs(SIZE)
    events = [coalesce_event(random_event(rng, spatial_size=SIZE))[0] for _ in range(3)]
    batch = collate_events(events, inputs=inputs)
    with torch.inference_mode():
        outputs = _model().eval()(batch.tensor)
    labels = assemble(clusterer, outputs, batch)
    moved = {name: values.cuda() for name, values in outputs.items()}
    assert np.array_equal(assemble(clusterer, moved, batch.to("cuda")), labels)


def test_refined_labels_are_those_that_refine_makes(rng, tmp_path):
    events = [random_event(rng, spatial_size=SIZE, n_instances=6) for _ in range(3)]
    plain = _predictor(GaussianKernelClusterer(0.3))
    refined = _predictor(GaussianKernelClusterer(0.3), refine=True)
    refined.save(tmp_path / "model.pt")
    loaded = Predictor.from_pretrained(tmp_path / "model.pt")
    assert loaded.refine
    assert not Predictor.from_pretrained(tmp_path / "model.pt", refine=False).refine
    changed = 0
    for p, q, r in zip(plain.predict(events), refined.predict(events), loaded.predict(events)):
        arrays = (p.labels, p.event.coords, p.outputs["embeddings"], p.outputs["margins"])
        expected = refine(*arrays, group=p.event.semantic)
        np.testing.assert_array_equal(_partition(q.labels), _partition(expected))
        np.testing.assert_array_equal(q.labels, r.labels)
        changed += not np.array_equal(_partition(p.labels), _partition(q.labels))
    assert changed


def test_a_file_without_a_word_on_repairs_is_not_repaired(tmp_path):
    path = tmp_path / "model.pt"
    _predictor(GaussianKernelClusterer(), refine=True).save(path)
    content = torch.load(path, weights_only=True)
    del content["refine"]
    torch.save(content, path)
    assert not Predictor.from_pretrained(path).refine


def test_a_graph_has_nothing_to_refine():
    with pytest.raises(ValueError, match="refine repairs the clusters of Gaussian kernels"):
        _predictor(refine=True)


@pytest.mark.parametrize(
    "event",
    [
        Event(np.zeros((0, 3)), np.zeros(0), np.zeros(0, int), np.zeros(0, int)),
        Event([[3, 4, 5]], [1.0], [1], [0]),
        Event([[3, 4, 5]], [1.0]),
        Event([[3, 4, 5], [9, 9, 9]], [1.0, 1.0], [4, 4], [-1, -1]),
        Event([[-3, -4, 5], [9, 900, 9]], [1.0, 1.0], [0, 0], [1, 1]),
    ],
    ids=["empty", "one voxel", "no classes", "low energy only", "outside the volume"],
)
def test_odd_events(predictor, event, rng):
    usual = random_event(rng, spatial_size=SIZE)
    alone, *_ = predictor.predict([event])
    _, between, _ = predictor.predict([usual, event, usual])
    np.testing.assert_array_equal(alone.labels, between.labels)
    assert len(alone.labels) == len(event)


def test_no_events():
    assert list(_predictor().predict([])) == []


def test_prediction_leaves_the_model_in_its_mode(rng):
    predictor = _predictor()
    predictor.model.train()
    predictor.model.encoder.stem.eval()  # frozen
    modes = [module.training for module in predictor.model.modules()]
    before = {k: v.clone() for k, v in predictor.model.state_dict().items()}
    list(predictor.predict([random_event(rng, spatial_size=SIZE)]))
    assert predictor.model.training
    assert [module.training for module in predictor.model.modules()] == modes
    assert all(torch.equal(v, before[k]) for k, v in predictor.model.state_dict().items())


def test_saved_predictor_predicts_the_same(tmp_path, rng):
    predictor = _predictor(GaussianKernelClusterer({0: 0.2, 1: 0.3, 2: 0.4, 3: 0.1}), classes=(0, 1, 2, 3))
    predictor.save(tmp_path / "deep" / "model.pt", steps=7)
    again = Predictor.from_pretrained(tmp_path / "deep" / "model.pt", batch_size=2)
    events = [random_event(rng, spatial_size=SIZE) for _ in range(3)]
    for a, b in zip(predictor.predict(events), again.predict(events)):
        np.testing.assert_array_equal(a.labels, b.labels)
    assert again.inputs == predictor.inputs
    assert again.clusterer.get_params() == predictor.clusterer.get_params()
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["model.pt"]


def test_damaged_or_foreign_model_files(tmp_path):
    whole = tmp_path / "model.pt"
    _predictor().save(whole)
    half = tmp_path / "half.pt"
    half.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    other = tmp_path / "other.pt"
    torch.save({"weights": torch.ones(2)}, other)
    for path in (half, other):
        with pytest.raises(ValueError, match=path.name):
            Predictor.from_pretrained(path)
    with pytest.raises(FileNotFoundError, match="sparseclust train"):
        Predictor.from_pretrained(tmp_path / "none.pt")


@pytest.mark.parametrize("name", ["model.pt", "model.safetensors"])
def test_a_model_of_your_own_is_given_to_its_weights(tmp_path, rng, name):
    """Nothing but its author's code can build it."""
    events = [random_event(rng, n_instances=3, voxels=30, spatial_size=SIZE)]
    model = _model()
    own = torch.nn.Sequential(model)
    predictor = Predictor(
        own, AffinityGraphClusterer(threshold=0.4), inputs=VoxelInputs(SIZE), classes=[0, 1]
    )
    predictor.save(tmp_path / name)
    with pytest.raises(ValueError, match=r"from_pretrained\(path, model=network\)"):
        Predictor.from_pretrained(tmp_path / name)
    with pytest.raises(ValueError, match="not those of the network given"):
        Predictor.from_pretrained(tmp_path / name, model=torch.nn.Linear(1, 1))
    other = torch.nn.Sequential(create_model(**model.config))
    again = Predictor.from_pretrained(tmp_path / name, model=other)
    assert again.model is other
    assert again.classes == (0, 1)
    for a, b in zip(predictor.predict(events), again.predict(events), strict=True):
        np.testing.assert_array_equal(a.labels, b.labels)


def test_clusterer_and_model_must_fit(rng):
    predictor = Predictor(
        spice(spatial_size=SIZE, base_channels=4, depth=2), AffinityGraphClusterer(), inputs=VoxelInputs(SIZE)
    )
    with pytest.raises(ValueError, match="affinity"):
        list(predictor.predict([random_event(rng)]))


@pytest.mark.parametrize("options", [{"precision": "fp8"}, {"batch_size": 0}])
def test_wrong_options(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        _predictor(**options)


def test_bf16_runs(rng):
    event = random_event(rng, spatial_size=SIZE)
    [p] = _predictor(precision="bf16", outputs=EMBEDDED).predict([event])
    assert np.isfinite(p.outputs["embeddings"]).all()


def test_written_predictions_read_back(tmp_path, rng):
    events = [random_event(rng, spatial_size=SIZE) for _ in range(3)]
    predictions = list(_predictor(outputs=EMBEDDED).predict(events))
    path = tmp_path / "out.h5"
    assert write_predictions(path, predictions, attrs={"model": "x"}, embeddings=True) == 3
    stored = EventStore(path)
    assert stored.attrs["content"] == "predictions"
    for p, event in zip(predictions, stored):
        np.testing.assert_array_equal(event.coords, p.event.coords)
        np.testing.assert_array_equal(event.feats, p.event.feats)
        np.testing.assert_array_equal(event.instance, p.event.instance)
        np.testing.assert_array_equal(event.extra["label"], p.labels)
        np.testing.assert_array_equal(event.extra["embeddings"], p.outputs["embeddings"])


def test_embeddings_that_predictions_lack_are_not_left_out_in_silence(tmp_path, rng):
    predictions = _predictor().predict([random_event(rng, spatial_size=SIZE)])
    with pytest.raises(ValueError, match=r"no embeddings .* Predictor\(outputs=\['embeddings'\]\)"):
        write_predictions(tmp_path / "out.h5", predictions, embeddings=True)
    assert not list(tmp_path.iterdir())


EDGES, KERNELS = AffinityGraphClusterer(threshold=0.5), GaussianKernelClusterer(0.3)


@pytest.mark.parametrize("tiled", [False, True])
@pytest.mark.parametrize(
    ("clusterer", "views", "needed"),
    [(EDGES, 1, ["edges"]), (EDGES, 2, ["edges"]), (KERNELS, 1, ["embedding", "seediness"])],
)
def test_branches_that_nobody_asks_for_are_not_run(rng, clusterer, needed, views, tiled):
    events = [random_event(rng, spatial_size=SIZE) for _ in range(2)]
    run = []
    predictor = _predictor(clusterer, views=views)
    for name, branch in predictor.model.branches.items():
        branch.register_forward_hook(lambda *_, name=name: run.append(name))
    if tiled:
        predictor.model = TiledNetwork(predictor.model, voxels=10**4)
    few = list(predictor.predict(events))
    assert run == needed * views
    predictor.outputs = EMBEDDED if needed == ["edges"] else ("affinity",)
    every = list(predictor.predict(events))
    assert run[len(needed) * views :] == ["embedding", "seediness", "edges"] + ["edges"] * (views - 1)
    for a, b in zip(few, every, strict=True):
        np.testing.assert_array_equal(a.labels, b.labels)
        assert set(a.outputs) == (set() if needed == ["edges"] else set(EMBEDDED))
        assert set(b.outputs) == set(EMBEDDED)


def test_a_network_of_one_piece_runs_whole_and_keeps_what_it_gives(rng):
    class Whole(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = _model()

        def forward(self, x):
            return self.model(x)

    predictor = Predictor(Whole(), AffinityGraphClusterer(threshold=0.5), inputs=VoxelInputs(SIZE))
    [p] = predictor.predict([random_event(rng, spatial_size=SIZE)])
    assert set(p.outputs) == set(EMBEDDED)


def test_an_output_that_was_not_asked_for_says_how_to_get_it(rng):
    [p] = _predictor(outputs=["seediness"]).predict([random_event(rng, spatial_size=SIZE)])
    with pytest.raises(KeyError, match=r"embeddings: .* holds \['seediness'\], see Predictor\(outputs="):
        p.outputs["embeddings"]
    assert p.outputs.get("embeddings") is None
    again = pickle.loads(pickle.dumps(p))
    np.testing.assert_array_equal(again.outputs["seediness"], p.outputs["seediness"])


def test_outputs_that_the_network_does_not_give(rng):
    predictor = _predictor(outputs=["embeddings", "charge"])
    with pytest.raises(ValueError, match=r"to hold \['charge'\], the network gives \['affinity', "):
        list(predictor.predict([random_event(rng, spatial_size=SIZE)]))


def test_interrupted_writing_leaves_the_old_file(tmp_path, rng):
    path = tmp_path / "out.h5"
    events = [random_event(rng, spatial_size=SIZE) for _ in range(3)]
    write_predictions(path, _predictor().predict(events[:1]))
    before = path.read_bytes()

    def interrupted():
        yield from _predictor().predict(events[:2])
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_predictions(path, interrupted())
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["out.h5"]
