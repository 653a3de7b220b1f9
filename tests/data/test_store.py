import itertools
import pickle

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import sparseclust
from sparseclust.data import Event, EventStore, PilarnetFile, write_events


def assert_same(a, b):
    assert np.array_equal(a.coords, b.coords)
    assert np.array_equal(a.feats, b.feats)
    for name in ("semantic", "instance"):
        x, y = getattr(a, name), getattr(b, name)
        assert (x is None) == (y is None)
        assert x is None or np.array_equal(x, y)
    assert a.extra.keys() == b.extra.keys()
    for name, values in a.extra.items():
        assert values.dtype == b.extra[name].dtype
        assert np.array_equal(values, b.extra[name], equal_nan=values.dtype.kind == "f")


def random_event(rng, n, ndim, *, truth, extra):
    return Event(
        rng.integers(-(2**31), 2**31, (n, ndim)),
        rng.normal(size=(n, 2)),
        rng.integers(-1, 5, n) if truth & 1 else None,
        rng.integers(-(2**63), 2**63 - 1, n) if truth & 2 else None,
        extra={
            "label": rng.integers(-1, 9, n),
            "p": np.where(rng.random((n, 3)) < 0.1, np.nan, rng.random((n, 3))).astype(np.float16),
            "seed": rng.random(n) < 0.5,
        }
        if extra
        else {},
    )


@given(
    ndim=st.sampled_from([2, 3, 4]),
    shapes=st.lists(st.tuples(st.integers(0, 40), st.integers(0, 3), st.booleans()), max_size=6),
    seed=st.integers(0, 99),
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_round_trip_is_exact(tmp_path, ndim, shapes, seed):
    rng = np.random.default_rng(seed)
    events = [random_event(rng, n, ndim, truth=truth, extra=extra) for n, truth, extra in shapes]
    assert write_events(tmp_path / "events.h5", iter(events)) == len(events)
    with EventStore(tmp_path / "events.h5") as store:
        assert len(store) == len(events)
        for i in rng.permutation(len(events)):
            assert_same(store[i], events[i])


def test_events_longer_than_a_chunk(tmp_path, rng):
    events = [random_event(rng, n, 3, truth=3, extra=True) for n in (0, 30_000, 1, 9_000)]
    write_events(tmp_path / "events.h5", events)
    store = pickle.loads(pickle.dumps(EventStore(tmp_path / "events.h5")))
    for i in (3, 0, 1, 2):
        assert_same(store[i], events[i])


def test_copy_of_a_pilarnet_file(tmp_path, write_pilarnet, tables):
    reader = PilarnetFile(write_pilarnet(tables))
    write_events(tmp_path / "copy.h5", reader)
    for copy, event in zip(EventStore(tmp_path / "copy.h5"), reader):
        assert_same(copy, event)


def test_attrs(tmp_path):
    attrs = {"model": "spice", "thresholds": {"track": [0.1, 0.5]}, "note": None, "n": 3}
    write_events(tmp_path / "events.h5", [], attrs=attrs)
    assert EventStore(tmp_path / "events.h5").attrs == attrs
    write_events(tmp_path / "events.h5", [], attrs={"long": "x" * 200_000})
    assert len(EventStore(tmp_path / "events.h5").attrs["long"]) == 200_000
    with pytest.raises(TypeError, match="not JSON"):
        write_events(tmp_path / "other.h5", [], attrs={"array": np.zeros(2)})
    assert [path.name for path in tmp_path.iterdir()] == ["events.h5"]


class Sudden(BaseException):
    """Neither an Exception nor anything the library knows of."""


@pytest.mark.parametrize("fault", [KeyboardInterrupt, Sudden, ValueError])
@pytest.mark.parametrize("before", [True, False])
def test_interrupted_writer(tmp_path, fault, before):
    path = tmp_path / "events.h5"
    event = Event([[1, 2, 3]], [0.5])
    if before:
        write_events(path, [event])
    old = path.read_bytes() if before else None

    def some_events():
        yield event
        raise fault

    with pytest.raises(fault):
        write_events(path, some_events())
    assert [found.name for found in tmp_path.iterdir()] == (["events.h5"] if before else [])
    assert old is None or path.read_bytes() == old


def test_events_are_taken_one_at_a_time_and_written_over_their_source(tmp_path):
    path = tmp_path / "events.h5"
    write_events(path, [Event([[i, 0]], [1.0]) for i in range(5)])
    store = EventStore(path)
    assert write_events(path, (event for event in store if event.coords[0, 0] % 2)) == 2
    assert [event.coords[0, 0] for event in EventStore(path)] == [1, 3]


def test_append(tmp_path, rng):
    path = tmp_path / "events.h5"
    parts = [
        [random_event(rng, 300, 3, truth=0, extra=False), random_event(rng, 0, 3, truth=3, extra=False)],
        [random_event(rng, 9_000, 3, truth=3, extra=True)],
        [],
        [random_event(rng, 5, 3, truth=1, extra=False)],
    ]
    for number, part in enumerate(parts):
        total = write_events(path, part, attrs={"last": number, str(number): len(part)}, append=True)
        assert total == sum(map(len, parts[: number + 1]))
    with EventStore(path) as store:
        for found, event in zip(store, itertools.chain(*parts), strict=True):
            assert_same(found, event)
        assert store.attrs == {"last": 3, "0": 2, "1": 1, "2": 0, "3": 1}
    old = path.read_bytes()
    with pytest.raises(ValueError, match=r"event 0: expected int32 rows of shape \(3,\) in column 'coords'"):
        write_events(path, [Event([[0, 0]], [[1.0, 2.0]])], append=True)
    assert path.read_bytes() == old
    assert write_events(path, EventStore(path), append=True) == 8  # its own events


def test_append_to_other_files(write_pilarnet, tables):
    path = write_pilarnet(tables)
    old = path.read_bytes()
    with pytest.raises(ValueError, match="expected an event store"):
        write_events(path, [Event([[0, 0, 0]], [1.0])], append=True)
    assert path.read_bytes() == old


def test_same_events_make_the_same_file(tmp_path, rng):
    events = [random_event(rng, 500, 3, truth=3, extra=True) for _ in range(3)]
    for name in ("a.h5", "b.h5"):
        write_events(tmp_path / name, events, attrs={"seed": 1})
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()
    assert EventStore(tmp_path / "a.h5").written_by == f"sparseclust {sparseclust.__version__}"


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (Event([[0, 0]], [1.0]), r"event 1: expected int32 rows of shape \(3,\) in column 'coords'"),
        (Event([[0, 0, 0]], [[1.0, 2.0]]), r"event 1: .* in column 'feats'"),
        (Event([[0, 0, 0]], [1.0], extra={"a": [1.5]}), r"event 1: .* in column 'extra/a'"),
        (Event([[0, 0, 0]], [1.0], extra={"a/b": [1]}), "event 1: expected a column name"),
        (Event([[0, 0, 0]], [1.0], extra={"..": [1]}), "event 1: expected a column name"),
        (Event([[0, 0, 0]], [1.0], extra={"": [1]}), "event 1: expected a column name"),
        (Event([[0, 0, 0]], [1.0], extra={"s": ["text"]}), "event 1: expected numbers in column 'extra/s'"),
        (Event([[0, 0, 0]], [1.0], extra={"e": np.zeros((1, 0))}), "event 1: expected numbers"),
    ],
)
def test_events_of_different_kinds(tmp_path, other, message):
    with pytest.raises(ValueError, match=message):
        write_events(tmp_path / "events.h5", [Event([[0, 0, 0]], [1.0], extra={"a": [1]}), other])
    assert list(tmp_path.iterdir()) == []


def test_where_no_file_can_be(tmp_path):
    for path in (tmp_path, tmp_path / "missing" / "events.h5"):
        with pytest.raises(FileNotFoundError, match="expected the name of a file in a folder that exists"):
            write_events(path, [])
    with pytest.raises(TypeError, match=r"events\[0\] must be an Event, got tuple"):
        write_events(tmp_path / "events.h5", [(1, 2)])


def test_other_files(tmp_path, write_pilarnet, tables):
    with pytest.raises(ValueError, match="expected an event store"):
        EventStore(write_pilarnet(tables))
    write_events(tmp_path / "new.h5", [])
    with h5py.File(tmp_path / "new.h5", "r+") as file:
        file.attrs["format_version"] = 2
    with pytest.raises(ValueError, match=r"new\.h5: expected an event store of version 1, got version 2"):
        EventStore(tmp_path / "new.h5")


def test_truncated_columns_are_a_fault_of_the_event(tmp_path):
    path = tmp_path / "events.h5"
    write_events(path, [Event([[i, 0]], [1.0]) for i in range(3)])
    with h5py.File(path, "r+") as file:
        file["feats"].resize(2, axis=0)
    assert len(EventStore(path)[1]) == 1
    with pytest.raises(ValueError, match=r"event 2: expected rows 2 to 3 of 'feats', which has 2"):
        EventStore(path)[2]


def test_more_events_than_were_written_are_a_fault(tmp_path):
    """HDF5 fills what was never written with zeros, which would be events without voxels."""
    path = tmp_path / "events.h5"
    write_events(path, [Event([[0, 0]], [1.0])])
    with h5py.File(path, "r+") as file:
        file["index"].resize(10**12, axis=0)
    with pytest.raises(ValueError, match=r"expected 1 records in 'index', got 1000000000000"):
        EventStore(path)
