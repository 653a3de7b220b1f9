"""One file that shows the events of several."""

import os
import shutil

import h5py
import numpy as np
import pytest

from sparseclust.data import Event, EventStore, link_events, open_events, write_events
from sparseclust.testing import random_event


def assert_equal(found, expected):
    assert len(found) == len(expected)
    for a, b in zip(found, expected):
        for name in ("coords", "feats", "semantic", "instance"):
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
        assert set(a.extra) == set(b.extra)
        for name in a.extra:
            np.testing.assert_array_equal(a.extra[name], b.extra[name])


@pytest.fixture
def events(rng):
    """Events with and without truth and extra columns, an empty one among them."""
    some = [random_event(rng) for _ in range(6)]
    bare = [Event(event.coords, event.feats) for event in some[:2]]
    extra = [Event(e.coords, e.feats, e.semantic, extra={"label": np.arange(len(e))}) for e in some]
    return [*some, some[0].select(slice(0, 0)), *bare, *extra]


@pytest.fixture
def linked(tmp_path, events):
    parts = [tmp_path / "parts" / f"{i}.h5" for i in range(5)]
    parts[0].parent.mkdir()
    for part, chosen in zip(parts, np.split(np.arange(len(events)), [3, 3, 9, 13])):
        write_events(part, [events[i] for i in chosen])
    path = tmp_path / "all.h5"
    assert link_events(path, parts, attrs={"a": 1}) == len(events)
    return path


def test_events_are_those_of_the_parts(linked, events):
    assert_equal(open_events(linked), events)
    assert_equal(open_events(linked)[-3:], events[-3:])
    assert_equal(EventStore(linked), events)
    assert EventStore(linked).attrs == {"a": 1, "parts": [f"parts/{i}.h5" for i in range(5)]}


def test_other_programs_see_one_file(linked, events):
    with h5py.File(linked) as file:
        assert file["coords"].is_virtual
        np.testing.assert_array_equal(file["coords"][:], np.concatenate([e.coords for e in events]))


def test_the_folder_may_move(linked, events, tmp_path, monkeypatch):
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    for name in ("all.h5", "parts"):
        shutil.move(tmp_path / name, moved / name)
    monkeypatch.chdir(moved / "parts")
    for path in (moved / "all.h5", "../all.h5"):
        assert_equal(open_events(path), events)
        assert_equal(EventStore(path), events)


def test_a_link_of_links(linked, events, tmp_path):
    link_events(tmp_path / "twice.h5", [linked, tmp_path / "parts" / "0.h5"])
    assert_equal(open_events(tmp_path / "twice.h5"), [*events, *events[:3]])


def test_a_missing_part_is_named(linked):
    os.remove(linked.parent / "parts" / "2.h5")
    with pytest.raises(FileNotFoundError, match=r"all\.h5: .* of 5 other files, 1 of which .*parts/2\.h5$"):
        open_events(linked)
    with pytest.raises(ValueError, match="event 3: feats must be finite"):
        EventStore(linked)[3]


def test_no_part_and_no_event(tmp_path):
    assert link_events(tmp_path / "none.h5", []) == 0
    assert len(open_events(tmp_path / "none.h5")) == 0
    write_events(tmp_path / "empty.h5", [])
    assert link_events(tmp_path / "none.h5", [tmp_path / "empty.h5"] * 2) == 0


def test_parts_that_do_not_fit(tmp_path, rng):
    event = random_event(rng)
    wide = Event(event.coords, np.ones((len(event), 2)))
    write_events(tmp_path / "a.h5", [event])
    write_events(tmp_path / "b.h5", [wide])
    with pytest.raises(ValueError, match=r"b\.h5: expected float32 rows of shape \(1,\) in column 'feats'"):
        link_events(tmp_path / "all.h5", [tmp_path / "a.h5", tmp_path / "b.h5"])
    (tmp_path / "c.h5").write_bytes((tmp_path / "a.h5").read_bytes()[:-9])
    with pytest.raises(ValueError, match=r"c\.h5: expected a complete"):
        link_events(tmp_path / "all.h5", [tmp_path / "a.h5", tmp_path / "c.h5"])
    assert not (tmp_path / "all.h5").exists()
