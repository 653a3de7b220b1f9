import numpy as np
import pytest

from sparseclust.data import events_from_arrays, events_from_table

COUNTS = [3, 0, 1, 4]


@pytest.fixture
def arrays(rng):
    n = sum(COUNTS)
    return {
        "coords": rng.integers(-5, 5, (n, 3)),
        "feats": rng.random((n, 2)).astype(np.float32),
        "semantic": rng.integers(0, 5, n),
        "instance": rng.integers(-1, 5, n),
        "extra": {"p": rng.random((n, 2)), "extra: odd": rng.integers(0, 5, n)},
    }


def check(events, arrays, groups):
    assert len(events) == len(groups)
    for event, rows in zip(events, groups):
        for name in ("coords", "feats", "semantic", "instance"):
            assert np.array_equal(getattr(event, name), np.asarray(arrays[name])[rows])
        for name, values in arrays["extra"].items():
            assert np.array_equal(event.extra[name], values[rows])


def consecutive(counts):
    return np.split(np.arange(sum(counts)), np.cumsum(counts)[:-1])


def test_counts(arrays):
    check(events_from_arrays(**arrays, counts=COUNTS), arrays, consecutive(COUNTS))
    check(events_from_arrays(**arrays), arrays, [np.arange(8)])
    none = {name: values[:0] for name, values in arrays.items() if name != "extra"}
    assert [len(event) for event in events_from_arrays(**none, counts=[0, 0])] == [0, 0]
    assert events_from_arrays(**none, counts=[]) == []


@pytest.mark.parametrize("dtype", [np.int32, np.uint8, np.float32])
def test_event_ids_in_any_order(arrays, dtype):
    ids = np.array([7, 3, 7, 0, 3, 3, 7, 200]).astype(dtype)
    groups = [[3], [1, 4, 5], [0, 2, 6], [7]]
    check(events_from_arrays(**arrays, event=ids), arrays, groups)


@pytest.mark.parametrize("device", ["cpu", "graph"])
def test_tensors(arrays, device):
    torch = pytest.importorskip("torch")
    tensors = {name: torch.from_numpy(values) for name, values in arrays.items() if name != "extra"}
    tensors["feats"].requires_grad_(device == "graph")
    events = events_from_arrays(**tensors, extra=arrays["extra"], counts=torch.tensor(COUNTS))
    check(events, arrays, consecutive(COUNTS))


def test_lists():
    (event,) = events_from_arrays([[1, 2], [3, 4]], [1, 2], instance=[5, 6])
    assert event.coords.tolist() == [[1, 2], [3, 4]]
    assert event.instance.tolist() == [5, 6]


def test_jagged_arrays(arrays):
    ak = pytest.importorskip("awkward")
    extra = arrays.pop("extra")
    jagged = {name: ak.unflatten(values, COUNTS) for name, values in arrays.items()}
    jagged_extra = {name: ak.unflatten(values, COUNTS) for name, values in extra.items()}
    events = events_from_arrays(**jagged, extra=jagged_extra)
    check(events, {**arrays, "extra": extra}, consecutive(COUNTS))
    lists = ak.Array([[[1, 2], [3, 4]], [], [[5, 6]]])  # the number of axes is not part of its type
    assert [len(event) for event in events_from_arrays(lists, ak.Array([[1.0, 2.0], [], [3.0]]))] == [2, 0, 1]
    with pytest.raises(ValueError, match="expected feats to have as many rows in each event as coords"):
        events_from_arrays(lists, ak.Array([[1.0], [2.0], [3.0]]))
    with pytest.raises(ValueError, match="neither event nor counts"):
        events_from_arrays(lists, ak.Array([[1.0, 2.0], [], [3.0]]), counts=[2, 0, 1])


def columns_of(arrays):
    names = ("x", "y", "z")
    return {
        **{name: arrays["coords"][:, i] for i, name in enumerate(names)},
        "e": arrays["feats"][:, 0],
        "t": arrays["feats"][:, 1],
        "semantic": arrays["semantic"],
        "instance": arrays["instance"],
        "odd": arrays["extra"]["extra: odd"],
        "event": np.repeat([4, 5, 9, 11], COUNTS),
    }


def as_frame(columns):
    return pytest.importorskip("pandas").DataFrame(columns, index=np.arange(8)[::-1])


def as_structured(columns):
    return np.rec.fromarrays(list(columns.values()), names=list(columns))


@pytest.mark.parametrize("kind", [dict, as_structured, as_frame])
def test_tables(arrays, kind):
    table = kind(columns_of(arrays))
    events = events_from_table(
        table,
        feats=("e", "t"),
        event="event",
        semantic="semantic",
        instance="instance",
        extra=["odd"],
    )
    arrays["extra"] = {"odd": arrays["extra"]["extra: odd"]}
    check(events, arrays, [rows for rows in consecutive(COUNTS) if len(rows)])
    with pytest.raises(ValueError, match="the table has no column 'energy'"):
        events_from_table(table)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"counts": [8], "event": [0] * 8}, "expected event or counts, got both"),
        ({"counts": [3, 4]}, "add up to 8 voxels"),
        ({"counts": [9, -1]}, "not negative"),
        ({"event": [0, 1]}, r"the id of each voxel, \(8,\)"),
        ({"event": ["a"] * 8}, "the id of each voxel"),
        ({"semantic": [0, 1]}, r"one row per voxel \(8\) in every array, got {'semantic': \(2,\)}"),
        ({"feats": 1.0}, "one row per voxel"),
        ({"coords": np.zeros((8, 3)) + 0.5}, "whole numbers"),
    ],
)
def test_what_is_no_event(arrays, change, message):
    with pytest.raises(ValueError, match=message):
        events_from_arrays(**{**arrays, **change})


def test_root_trees_with_plain_branches(tmp_path, arrays):
    """The recipe of docs/data.md: jagged branches of numbers, read by uproot."""
    ak = pytest.importorskip("awkward")
    uproot = pytest.importorskip("uproot")
    names = ("x", "y", "z")
    branches = {name: ak.unflatten(arrays["coords"][:, i], COUNTS) for i, name in enumerate(names)}
    with uproot.recreate(tmp_path / "events.root") as file:
        file["tree"] = {**branches, "e": ak.unflatten(arrays["feats"][:, 0], COUNTS)}
    tree = uproot.open(tmp_path / "events.root")["tree"].arrays()
    coords = ak.concatenate([tree[name][..., np.newaxis] for name in names], axis=2)
    events = events_from_arrays(coords, tree["e"])
    for event, rows in zip(events, consecutive(COUNTS), strict=True):
        assert np.array_equal(event.coords, arrays["coords"][rows])
        assert np.array_equal(event.energy, arrays["feats"][rows, 0])
