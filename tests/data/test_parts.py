import itertools
import pickle

import numpy as np
import pytest

from sparseclust.data import Event, EventStore, concatenate_events, open_events, split_events, write_events


def numbered(n, start=0):
    return [Event([[i, 0]], [1.0]) for i in range(start, start + n)]


def numbers(events):
    return [int(event.coords[0, 0]) for event in events]


@pytest.mark.parametrize("sizes", [[], [0], [3], [2, 0, 4, 0], [0, 0, 1]])
def test_concatenation(sizes):
    events = numbered(sum(sizes))
    ends = np.cumsum(sizes, dtype=int)
    joined = concatenate_events(events[end - size : end] for end, size in zip(ends, sizes))
    assert len(joined) == len(events)
    assert numbers(joined) == numbers(events)
    assert numbers(joined[::-1]) == numbers(events)[::-1]
    for i in (len(events), -len(events) - 1):
        with pytest.raises(IndexError):
            joined[i]


def test_shards_make_one_file(tmp_path):
    for shard in range(5):
        write_events(tmp_path / f"shard{shard}.h5", numbered(shard, start=10 * shard))
    shards = open_events(tmp_path / "shard*.h5")
    assert write_events(tmp_path / "all.h5", shards) == 10
    assert numbers(EventStore(tmp_path / "all.h5")) == numbers(shards)


def test_number_of_open_files_is_limited(tmp_path, rng):
    for shard in range(80):
        write_events(tmp_path / f"{shard:02}.h5", numbered(1, start=shard))
    with open_events(tmp_path / "*.h5") as shards:
        for i in rng.integers(0, 80, 300):
            assert numbers([shards[i]]) == [i]
        files = [part._file for part in shards._parts]
        assert sum(file is not None for file in files) == 64
    assert not any(files_open := [part._file for part in shards._parts]), files_open
    assert numbers(pickle.loads(pickle.dumps(shards))) == list(range(80))


@pytest.mark.parametrize("n", [0, 1, 7, 100])
@pytest.mark.parametrize("fractions", [[1.0], [0.8, 0.1, 0.1], [0.5, 0.0, 0.5], [1 / 3] * 3])
@pytest.mark.parametrize("shuffle", [False, True])
def test_split_is_a_partition(n, fractions, shuffle, rng):
    events = numbered(n)
    parts = split_events(events, fractions, rng=rng if shuffle else None)
    found = [numbers(part) for part in parts]
    assert sorted(itertools.chain(*found)) == list(range(n))
    assert all(part == sorted(part) for part in found)
    assert np.allclose([len(part) for part in parts], np.array(fractions) * n, atol=1)
    if not shuffle:
        assert list(itertools.chain(*found)) == list(range(n))


def test_split_draws_from_rng():
    events = numbered(50)
    draws = [numbers(split_events(events, [0.5, 0.5], rng=np.random.default_rng(s))[0]) for s in (0, 0, 1)]
    assert draws[0] == draws[1] != draws[2]
    assert draws[0] != list(range(25))


def test_parts_of_a_file(tmp_path):
    write_events(tmp_path / "all.h5", numbered(10))
    train, rest = split_events(EventStore(tmp_path / "all.h5"), [0.7, 0.3])
    write_events(tmp_path / "rest.h5", rest)
    assert numbers(EventStore(tmp_path / "rest.h5")) == [7, 8, 9]
    assert numbers(pickle.loads(pickle.dumps(train))) == list(range(7))
    assert repr(rest) == f"<3 of EventStore({str(tmp_path / 'all.h5')!r}, 10 events)>"


@pytest.mark.parametrize("fractions", [[], [0.5], [0.7, 0.7], [1.5, -0.5], [np.nan, 1.0], [[1.0]]])
def test_fractions_are_checked(fractions):
    with pytest.raises(ValueError, match="fractions must be at least 0 and add up to 1"):
        split_events(numbered(3), fractions)
