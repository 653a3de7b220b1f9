"""SPINE's files: those it wrote itself, and those we write for it."""

import shutil

import h5py
import numpy as np
import pytest

from sparseclust.data import Event, PilarnetFile, SpineFile, open_events, write_events, write_spine


@pytest.fixture(params=[1, 2])
def spine_file(oracle_dir, request):
    return oracle_dir / f"spine_v{request.param}.h5"


@pytest.fixture
def truth(oracle_dir):
    return np.load(oracle_dir / "spine_h5_truth.npz")


def test_files_of_spine(spine_file, truth):
    reader = open_events(spine_file)
    assert isinstance(reader, SpineFile)
    assert len(reader) == 3
    for number in (2, 0, 1):
        event, rows = reader[number], truth["batch"] == number
        assert np.array_equal(event.coords, truth["voxel"][rows])
        assert np.array_equal(event.energy, truth["value"][rows].astype(np.float32))
        assert np.array_equal(event.instance, truth["cluster"][rows])
        assert len(event.semantic) == rows.sum() == truth["counts"][number]
        groups = {0: [0, 0, 1], 1: [], 2: [0, 1, 1]}[number]
        assert event.extra["group"].tolist() == [groups[cluster] for cluster in event.instance]
        assert set(event.extra["pid"]) | set(event.extra["interaction"]) <= {-1}
    assert reader[0].semantic.tolist() == [0, 0, 0, 1, 0, 0, 0, 1, 1, 1, 1, 0]


def test_lists_of_clusters(spine_file, truth):
    reader = SpineFile(spine_file, instance="fragment_clusts")
    clusters = iter(np.split(truth["index"], np.cumsum(truth["sizes"])[:-1]))
    first = np.cumsum([0, *truth["counts"]])
    for number, event in enumerate(reader):
        expected = np.full(len(event), -1)
        for label in range(truth["cluster_counts"][number]):
            expected[next(clusters) - first[number]] = label
        assert np.array_equal(event.instance, expected)


def test_particles(tmp_path, oracle_dir):
    path = tmp_path / "events.h5"
    shutil.copyfile(oracle_dir / "spine_v2.h5", path)
    with h5py.File(path, "r+") as file:
        particles = file["products/clust_label/particles/fixed"][:]
        particles["pid"] = [5, 6, 7, 8, 9, 10]
        file["products/clust_label/particles/fixed"][:] = particles
        table = file["products/clust_label/values"]
        table[0, 5] = -1
        table[20, 5] = 3
    reader = SpineFile(path)
    first = reader[0]
    assert first.extra["pid"].tolist() == [-1, *(5 + first.instance[1:])]
    assert first.extra["group"][0] == -1
    with pytest.raises(ValueError, match="event 2: expected particles below 3 in 'clust_label', got 3"):
        reader[2]


def test_what_is_left_out(spine_file):
    event = SpineFile(spine_file, semantic=None, instance=None)[0]
    assert event.semantic is None
    assert event.instance is None
    assert SpineFile(spine_file, instance="seg_label")[0].instance.sum() == 5
    with pytest.raises(
        ValueError, match=r"expected the product 'energy' \(points\); the file has .*seg_label"
    ):
        SpineFile(spine_file, points="energy")


def an_event(rng, n, *, truth=True):
    return Event(
        rng.integers(0, 768, (n, 3)),
        rng.random(n),
        rng.integers(0, 5, n) if truth else None,
        rng.integers(-1, 5, n) if truth else None,
        extra={"label": rng.integers(-1, 4, n)},
    )


def test_round_trip(tmp_path, rng):
    events = [an_event(rng, n) for n in (50, 0, 9_000, 1)]
    assert write_spine(tmp_path / "events.h5", iter(events), clusters="label") == 4
    for event, back in zip(events, open_events(tmp_path / "events.h5"), strict=True):
        assert np.array_equal(back.coords, event.coords)
        assert np.array_equal(back.feats, event.feats)
        assert np.array_equal(back.semantic, event.semantic)
        assert np.array_equal(back.instance, event.instance)
    fragments = SpineFile(tmp_path / "events.h5", instance="fragment_clusts")
    with h5py.File(tmp_path / "events.h5") as file:
        shapes = file["products/fragment_shapes/values"][:]
    for event, back in zip(events, fragments):
        known, dense = np.unique(event.extra["label"][event.extra["label"] >= 0], return_inverse=True)
        assert np.array_equal(back.instance[event.extra["label"] >= 0], dense)
        assert (back.instance[event.extra["label"] < 0] == -1).all()
        for label, shape in zip(range(len(known)), shapes):
            counts = np.bincount(event.semantic[back.instance == label], minlength=5)
            assert counts[shape] == counts.max()
        shapes = shapes[len(known) :]
    assert len(shapes) == 0


def test_events_without_truth(tmp_path, rng):
    write_spine(tmp_path / "events.h5", [an_event(rng, 5, truth=False)])
    event = open_events(tmp_path / "events.h5")[0]
    assert event.semantic is None
    assert event.instance is None
    assert write_spine(tmp_path / "none.h5", []) == 0


def test_copy_of_geant4_events(tmp_path, data_dir):
    events = PilarnetFile(data_dir / "geant4_dev.h5")[:5]
    write_spine(tmp_path / "events.h5", events)
    for event, back in zip(events, open_events(tmp_path / "events.h5"), strict=True):
        assert np.array_equal(back.feats, event.feats)
        assert np.array_equal(back.instance, event.instance)


@pytest.mark.parametrize(
    ("event", "message"),
    [
        (Event([[0, 0]], [1.0], [0], [0]), "event 1: expected three dimensions"),
        (Event([[0, 0, 0]], [1.0], [0]), "event 1: expected .*'clust_label'.* as in the first event"),
        (
            Event([[0, 0, 0]], [[1.0, 2.0]], [0], [0]),
            r"event 1: expected rows of \(4,\) in 'data', got \(5,\)",
        ),
        (Event([[0, 0, 0]], [1.0], [0], [2**24]), "event 1: expected instance ids below 2"),
    ],
)
def test_events_that_do_not_fit(tmp_path, event, message):
    with pytest.raises(ValueError, match=message):
        write_spine(tmp_path / "events.h5", [Event([[0, 0, 0]], [1.0], [0], [0]), event])
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match="event 0: expected the column 'label', got none"):
        write_spine(
            tmp_path / "events.h5",
            [event.select([])] if event.ndim == 3 else [Event([[0, 0, 0]], [1])],
            clusters="label",
        )


def change(path, name, function):
    with h5py.File(path, "r+") as file:
        values = file[name][:]
        del file[name]
        file[name] = function(values)


@pytest.mark.parametrize(
    ("name", "function", "message"),
    [
        ("products/data/event_offsets", lambda v: v[::-1], "rise from 0"),
        ("products/data/event_offsets", lambda v: v + 1, "rise from 0"),
        ("products/data/values", lambda v: v[:, :3], "coordinates and features"),
        ("products/data/values", lambda v: v + 0.5, "with the coordinates of"),
        ("products/seg_label/values", lambda v: v + 0.5, "whole numbers in 'seg_label'"),
        ("products/seg_label/event_offsets", lambda v: v[:1], "more than 1 rows"),
        ("products/seg_label/event_offsets", lambda v: v // 2, "semantic must have one row per voxel"),
        ("products/clust_label/values", lambda v: v[::-1], "with the coordinates of 'data'"),
        ("products/clust_label/values", lambda v: v[:, :4], "with the coordinates of 'data'"),
    ],
)
def test_contradictions(tmp_path, rng, name, function, message):
    path = tmp_path / "events.h5"
    write_spine(path, [an_event(rng, 8)])
    change(path, name, function)
    with pytest.raises(ValueError, match=rf"events\.h5: event 0: .*{message}"):
        open_events(path)[0]


@pytest.mark.parametrize("function", [lambda v: v + 1, lambda v: v * 0])
def test_wrong_lists(tmp_path, rng, function):
    path = tmp_path / "events.h5"
    write_spine(path, [an_event(rng, 30)], clusters="label")
    change(path, "products/fragment_clusts/values", function)
    with pytest.raises(ValueError, match="clusters in 'fragment_clusts' that share no voxel"):
        SpineFile(path, instance="fragment_clusts")[0]


def test_other_and_unfinished_files(tmp_path, rng):
    path = tmp_path / "events.h5"
    write_events(path, [])
    with pytest.raises(ValueError, match="expected a SPINE file"):
        SpineFile(path)
    write_spine(path, [an_event(rng, 8)])
    for name, value, message in [
        ("format_version", 3, "format 1 or 2, got 3"),
        ("complete", False, "did not finish"),
    ]:
        with h5py.File(path, "r+") as file:
            old = file["info"].attrs[name]
            file["info"].attrs[name] = value
        with pytest.raises(ValueError, match=message):
            open_events(path)
        with h5py.File(path, "r+") as file:
            file["info"].attrs[name] = old
    with pytest.raises(ValueError, match="label choose"):
        open_events(path, label="group")


def test_layout_is_that_of_spine(tmp_path, rng, oracle_dir):
    """Every group and data set we write is one of SPINE's own files, with the same type and attributes."""
    write_spine(tmp_path / "events.h5", [an_event(rng, 5)], clusters="label")
    with h5py.File(tmp_path / "events.h5") as ours, h5py.File(oracle_dir / "spine_v2.h5") as theirs:
        names: list[str] = []
        ours.visit(names.append)
        assert {name.partition("/")[0] for name in names} == set(theirs)
        for name in names:
            assert ours[name].attrs.keys() <= theirs[name].attrs.keys()
            if isinstance(ours[name], h5py.Dataset) and name != "products/clust_label/values":
                assert (ours[name].dtype, ours[name].shape[1:]) == (
                    theirs[name].dtype,
                    theirs[name].shape[1:],
                )
            elif "kind" in ours[name].attrs:
                assert ours[name].attrs["kind"] == theirs[name].attrs["kind"]
                assert ours[name].attrs["scalar"] == theirs[name].attrs["scalar"]
