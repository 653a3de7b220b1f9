import h5py
import numpy as np
import pytest

from sparseclust.data import EventStore, PilarnetFile, open_events, write_events


def test_sniffs_the_format(tmp_path, write_pilarnet, tables):
    path = write_pilarnet(tables)
    reader = open_events(path, label="group", min_energy=0.1)
    assert isinstance(reader, PilarnetFile)
    assert (reader.label, reader.min_energy, reader.spatial_size) == ("group", 0.1, 768)
    write_events(tmp_path / "store.h5", reader, attrs={"a": 1})
    store = open_events(str(tmp_path / "store.h5"))
    assert isinstance(store, EventStore)
    assert store.attrs == {"a": 1}
    for options in ({"label": "group"}, {"min_energy": 0.1}, {"classes": [0]}, {"columns": ["dE"]}):
        with pytest.raises(ValueError, match=rf"store\.h5: {next(iter(options))} choose"):
            open_events(tmp_path / "store.h5", **options)


def test_several_files_follow_one_another(tmp_path, write_pilarnet, tables):
    write_pilarnet(tables[2:], name="c.h5")
    write_pilarnet([], name="b.h5")
    write_events(tmp_path / "a.h5", PilarnetFile(write_pilarnet(tables[:2], name="c.hdf")))
    events = open_events(tmp_path / "*.h5")
    assert len(events) == 3
    assert repr(events) == "<3 events in 3 parts>"
    for i, (point, _) in enumerate(tables):
        assert np.array_equal(events[i].coords, point[:, :3])
        assert np.array_equal(events[i - 3].coords, point[:, :3])
    assert [len(event) for event in events[1:]] == [6, 6]
    for i in (3, -4):
        with pytest.raises(IndexError):
            events[i]


def test_list_of_names_and_patterns(tmp_path, write_pilarnet, tables):
    for number in range(3):
        write_pilarnet([tables[number]], name=f"part{number}.h5")
    names = [tmp_path / "part2.h5", str(tmp_path / "part[01].h5")]
    events = open_events(names, label="group")
    for event, number in zip(events, [2, 0, 1], strict=True):
        assert np.array_equal(event.coords, tables[number][0][:, :3])
    assert isinstance(open_events(names[:1]), PilarnetFile)
    with pytest.raises(FileNotFoundError, match="empty list"):
        open_events([])


def test_a_name_with_brackets_is_a_name(write_pilarnet, tables):
    assert len(open_events(write_pilarnet(tables, name="run[12].h5"))) == 3


def test_nothing_to_open(tmp_path):
    for name in ("no.h5", "*.h5"):
        with pytest.raises(FileNotFoundError, match="no such file, and no file matches"):
            open_events(tmp_path / name)
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["values"] = [1, 2]
    with pytest.raises(ValueError, match=r"other\.h5: expected a PILArNet-M file .* got an .* \['values'\]"):
        open_events(tmp_path / "other.h5")


def test_real_files(data_dir):
    assert len(open_events(data_dir / "geant4*.h5")) == 500
