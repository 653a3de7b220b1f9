import multiprocessing
import pickle

import h5py
import numpy as np
import pytest

from sparseclust.data import PilarnetFile


def read(reader, index):
    event = reader[index]
    return event.coords, event.feats, event.instance


@pytest.mark.parametrize(("width", "dtype"), [(5, np.int32), (6, np.int32), (6, np.int64), (6, np.float32)])
def test_rows_in_file_order(write_pilarnet, tables, width, dtype):
    tables = [(point, cluster[:, :width]) for point, cluster in tables]
    reader = PilarnetFile(write_pilarnet(tables, cluster_dtype=dtype))
    assert len(reader) == 3
    for event, (point, _) in zip(reader, tables):
        assert np.array_equal(event.coords, point[:, :3])
        assert np.array_equal(event.feats, point[:, 3:4])
        assert event.semantic.tolist() == [4, 4, 1, 1, 1, 0]
        assert event.instance.tolist() == [-1, -1, 0, 0, 0, 7]
        assert event.extra["row"].tolist() == [0, 1, 2, 3, 4, 5]
        assert event.extra["group"].tolist() == [-1, -1, 0, 0, 0, 0]
        assert ("pid" in event.extra) == (width == 6)
    assert np.array_equal(reader[-1].coords, tables[-1][0][:, :3])
    assert [len(event) for event in reader[1:]] == [6, 6]
    with pytest.raises(IndexError):
        reader[3]


@pytest.mark.parametrize("label", ["fragment", "group", "interaction"])
def test_label(write_pilarnet, tables, label):
    event = PilarnetFile(write_pilarnet(tables), label=label)[0]
    assert np.array_equal(event.instance, event.extra[label])


def test_min_energy_says_what_it_left_out(write_pilarnet, tables):
    tables[0][0][:, 3] = [0.04, 0.06, 0.05, 0.0, 1.0, 0.01]
    path = write_pilarnet(tables)
    everything, event = PilarnetFile(path)[0], PilarnetFile(path, min_energy=0.05)[0]
    assert event.extra["row"].tolist() == [1, 2, 4]
    assert np.array_equal(event.coords, everything.coords[[1, 2, 4]])
    assert event.instance.tolist() == [-1, 0, 0]
    assert len(everything) == 6


@pytest.mark.parametrize("classes", [[], [0], [1, 4], (0, 1, 2, 3), np.array([4])])
def test_classes(write_pilarnet, tables, classes):
    tables[0][0][:, 3] = [0.04, 0.06, 0.05, 0.0, 1.0, 0.01]
    path = write_pilarnet(tables)
    everything = PilarnetFile(path, min_energy=0.05)[0]
    event = PilarnetFile(path, classes=classes, min_energy=0.05)[0]
    keep = np.isin(everything.semantic, classes)
    assert event.extra["row"].tolist() == everything.extra["row"][keep].tolist()
    assert np.array_equal(event.coords, everything.coords[keep])
    assert np.array_equal(event.semantic, everything.semantic[keep])
    assert event.extra.keys() == everything.extra.keys()


def test_precedence(write_pilarnet, tables):
    point, _ = tables[0]
    point[:, :3] = [[1, 1, 1], [2, 2, 2], [1, 1, 1], [3, 3, 3], [4, 4, 4], [3, 3, 3]]
    point[:, 3] = [1, 2, 4, 8, 16, 32]
    path = write_pilarnet(tables)
    assert len(PilarnetFile(path)[0]) == 6
    event = PilarnetFile(path, precedence=(1, 2, 0, 3, 4))[0]
    assert event.coords[:, 0].tolist() == [1, 2, 3, 4]
    assert event.energy.tolist() == [5, 2, 40, 16]
    assert event.semantic.tolist() == [1, 4, 1, 1]
    assert event.extra["row"].tolist() == [2, 1, 3, 4]
    assert PilarnetFile(path, precedence=(0, 1, 2, 3, 4))[0].semantic.tolist() == [1, 4, 0, 1]
    # Low-energy scatters are gone before rows are merged, and so is their energy.
    assert PilarnetFile(path, precedence=(1, 0), classes=(0, 1))[0].energy.tolist() == [4, 40, 16]


def with_particles(tables, width):
    rng = np.random.default_rng(5)
    return [(*table, rng.random((len(table[1]), width)).astype(np.float32)) for table in tables]


@pytest.mark.parametrize("version", [1, 2, 3])
def test_columns_of_each_version(write_pilarnet, tables, version):
    width = {1: 5, 2: 6, 3: 6}[version]
    for point, _ in tables:
        point[:, 4:] = np.arange(4 * len(point)).reshape(-1, 4)
    tables = [(point, cluster[:, :width]) for point, cluster in tables]
    if version > 1:
        tables = with_particles(tables, width=version + 3)
    path = write_pilarnet([*tables, tuple(table[:0] for table in tables[0])])
    columns = ["dE", "time", "electrons", "dx"]
    columns += ["momentum", "vertex"] if version > 1 else []
    columns += ["primary"] if version == 3 else []
    reader = PilarnetFile(path, columns=columns, classes=(0, 1))
    for event, table in zip(reader, tables):
        assert list(event.extra)[-len(columns) :] == columns
        for name, column in {"dE": 4, "time": 5, "electrons": 6, "dx": 7}.items():
            assert np.array_equal(event.extra[name], table[0][2:, column])
        for name, column in {"momentum": 1, "vertex": slice(2, 5), "primary": 5}.items():
            if name in columns:
                assert np.array_equal(event.extra[name], table[2][[1, 1, 1, 2], column])
    assert {name: len(values) for name, values in reader[3].extra.items()} == dict.fromkeys(
        reader[0].extra, 0
    )
    if version == 1:
        with pytest.raises(
            ValueError, match=r"events\.h5: expected the dataset 'cluster_extra' of versions 2"
        ):
            PilarnetFile(path, columns=["momentum"])
    elif version == 2:
        with pytest.raises(
            ValueError, match=r"event 0: expected 'cluster_extra' .* version 3, which alone has"
        ):
            PilarnetFile(path, columns=["primary"])[0]


def test_event_without_voxels(write_pilarnet, tables):
    reader = PilarnetFile(write_pilarnet([(np.zeros((0, 8)), np.zeros((0, 6))), *tables]))
    assert [len(event) for event in reader] == [0, 6, 6, 6]
    assert reader[0].coords.shape == (0, 3)
    assert list(reader[0].extra) == list(reader[1].extra)
    assert len(PilarnetFile(write_pilarnet([], name="none.h5"))) == 0


@pytest.mark.parametrize("width", [5, 6])
def test_width_of_an_ambiguous_event(write_pilarnet, tables, points, width):
    """30 numbers, and column 0 adds up to N whether they are read as 5 rows of 6 or as 6 rows of 5."""
    flat = np.full(30, 2, np.int32)
    flat[::width] = 4
    n = int(flat[::width].sum())
    other = 11 - width
    flat[np.setdiff1d(np.arange(0, 30, other), np.arange(0, 30, width))[0]] += n - int(flat[::other].sum())
    assert flat[::5].sum() == flat[::6].sum() == n
    ambiguous = (points(n), flat)
    clear = [(point, cluster[:, :width]) for point, cluster in tables]
    event = PilarnetFile(write_pilarnet([ambiguous, ambiguous, *clear]))[1]
    assert np.array_equal(event.semantic, np.repeat(flat[4::width], flat[::width]))


def spoil_point(column, value):
    def spoil(tables):
        tables[1][0][4, column] = value

    return spoil


def spoil_count(tables):
    tables[1][1][0, 0] += 1


def negative_count(tables):
    tables[1][1][:2, 0] = [-1, 6]


def cut_points(tables):
    tables[1] = (tables[1][0].reshape(-1)[:-1], tables[1][1])


def narrow_points(tables):
    tables[1] = (tables[1][0][:, :5], tables[1][1])


def narrow_clusters(tables):
    tables[1] = (tables[1][0], tables[1][1][:, :4])


def wide_clusters(tables):
    tables[1] = (tables[1][0], np.pad(tables[1][1], [(0, 0), (0, 1)]))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (spoil_point(3, np.nan), r"finite and not negative, got nan in row 4"),
        (spoil_point(3, np.inf), r"finite and not negative, got inf in row 4"),
        (spoil_point(3, -0.5), r"finite and not negative, got -0.5 in row 4"),
        (spoil_point(0, 768), r"whole coordinates in \[0, 768\), got \[768.0"),
        (spoil_point(1, -1), r"whole coordinates in \[0, 768\)"),
        (spoil_point(2, 0.5), r"whole coordinates in \[0, 768\)"),
        (spoil_point(2, np.nan), r"whole coordinates in \[0, 768\)"),
        (
            spoil_count,
            r"sum\(n_points\) = 6, .* got 18 numbers: not a multiple of 5, sum\(n_points\) = 7 with 6",
        ),
        (negative_count, r"sum\(n_points\) = 6"),
        (cut_points, r"'point' rows of 8 columns, got 47 numbers"),
        (narrow_points, r"'point' rows of 8 columns, got 30 numbers"),
        (narrow_clusters, r"'cluster' rows of 5 or 6 columns"),
        (wide_clusters, r"'cluster' rows of 5 or 6 columns"),
    ],
)
def test_fault_names_file_and_event(write_pilarnet, tables, spoil, message):
    spoil(tables)
    path = write_pilarnet(tables)
    reader = PilarnetFile(path)
    assert len(reader[0]) == len(reader[2]) == 6
    with pytest.raises(ValueError, match=message) as caught:
        reader[1]
    assert str(caught.value).startswith(f"{path}: event 1: expected ")


def test_fractions_among_the_ids(write_pilarnet, tables):
    spoiled = [(point, cluster.astype(np.float32)) for point, cluster in tables]
    spoiled[1][1][1, 2] = np.nan
    with pytest.raises(ValueError, match="event 1: expected whole numbers in 'cluster'"):
        PilarnetFile(write_pilarnet(spoiled, cluster_dtype=np.float32))[1]


def test_other_volume(write_pilarnet, tables):
    tables[0][0][0, :3] = [-5, 3000, 0]
    path = write_pilarnet(tables)
    assert PilarnetFile(path, spatial_size=None)[0].coords[0].tolist() == [-5, 3000, 0]
    with pytest.raises(ValueError, match=r"event 1: expected whole coordinates in \[0, 2\)"):
        PilarnetFile(path, spatial_size=2)[1]


def test_datasets_of_different_length(write_pilarnet, tables):
    path = write_pilarnet(tables)
    with h5py.File(path, "r+") as file:
        del file["cluster"]
        file.create_dataset("cluster", (2,), h5py.vlen_dtype(np.int32))
    with pytest.raises(ValueError, match=r"event 2: .*'point' has 3 rows and 'cluster' has 2 rows") as caught:
        PilarnetFile(path)
    assert str(path) in str(caught.value)


def test_other_files(tmp_path, write_pilarnet, tables):
    with pytest.raises(FileNotFoundError, match=r"nothing\.h5: no such file"):
        PilarnetFile(tmp_path / "nothing.h5")
    text = tmp_path / "text.h5"
    text.write_text("x, y, z, energy\n" * 1000)
    with pytest.raises(ValueError, match=r"text\.h5: expected a complete, undamaged HDF5 file"):
        PilarnetFile(text)
    (tmp_path / "zero.h5").touch()
    with pytest.raises(ValueError, match=r"zero\.h5: expected a complete, undamaged HDF5 file"):
        PilarnetFile(tmp_path / "zero.h5")
    with h5py.File(tmp_path / "flat.h5", "w") as file:
        file["point"] = file["cluster"] = np.zeros((4, 8))
    with pytest.raises(ValueError, match=r"flat\.h5: expected a PILArNet-M file"):
        PilarnetFile(tmp_path / "flat.h5")
    whole = write_pilarnet(tables)
    half = tmp_path / "half.h5"
    half.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    with pytest.raises(
        ValueError, match=r"half\.h5: expected a complete, undamaged HDF5 file, got: .*truncated"
    ):
        PilarnetFile(half)


@pytest.mark.parametrize(
    "options",
    [
        {"label": "particle"},
        {"min_energy": -1.0},
        {"min_energy": np.nan},
        {"spatial_size": 0},
        {"columns": ["energy"]},
        {"columns": "dE"},
    ],
)
def test_options_are_checked(write_pilarnet, tables, options):
    with pytest.raises(ValueError, match=next(iter(options))):
        PilarnetFile(write_pilarnet(tables), **options)


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_in_another_process(write_pilarnet, tables, method):
    reader = PilarnetFile(write_pilarnet(tables))
    expected = [read(reader, i) for i in range(3)]  # the handle is open when the process begins
    with multiprocessing.get_context(method).Pool(1) as pool:
        found = [pool.apply(PilarnetFile.__getitem__, (reader, i)) for i in range(3)]
    for event, (coords, feats, instance) in zip(found, expected):
        assert np.array_equal(event.coords, coords)
        assert np.array_equal(event.feats, feats)
        assert np.array_equal(event.instance, instance)
    assert len(reader[0]) == 6


def test_close_and_pickle(write_pilarnet, tables):
    with PilarnetFile(write_pilarnet(tables), label="group", min_energy=0.5) as reader:
        first = reader[0]
    assert np.array_equal(reader[0].coords, first.coords)
    copy = pickle.loads(pickle.dumps(reader))
    assert np.array_equal(copy[0].instance, first.instance)
    assert repr(copy) == f"PilarnetFile({str(reader.path)!r}, 3 events)"
    reader.close()
    reader.close()


@pytest.mark.parametrize("chunks", [None, (2,)])
def test_rows_that_do_not_follow_one_another(tmp_path, points, chunks):
    """A zeroed header of a row is an endless loop in HDF5."""
    path = tmp_path / "events.h5"
    with h5py.File(path, "w") as file:
        point = file.create_dataset("point", (3,), h5py.vlen_dtype(np.float32), chunks=chunks)
        cluster = file.create_dataset("cluster", (3,), h5py.vlen_dtype(np.int32), chunks=chunks)
        for i in range(3):
            point[i], cluster[i] = points(200, seed=i).reshape(-1), [200, 0, 0, 0, 1, 2]
    assert [len(event) for event in PilarnetFile(path)] == [200] * 3
    data = bytearray(path.read_bytes())
    at = data.index(points(200, seed=1).tobytes())
    data[at - 16 : at] = bytes(16)
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"events\.h5: event 1: 'point': its rows do not follow one another"):
        PilarnetFile(path)[1]


def test_reads_only_what_is_asked_for(write_pilarnet, tables, monkeypatch):
    """Opening looks at no event, and one event is read by itself, whatever the length of the file."""
    reader = PilarnetFile(write_pilarnet(tables * 50))
    asked = []
    read = PilarnetFile._flat
    monkeypatch.setattr(PilarnetFile, "_flat", lambda self, *key: asked.append(key) or read(self, *key))
    reader = PilarnetFile(reader.path)
    assert asked == []
    assert len(reader[77]) == 6
    assert asked == [("point", 77), ("cluster", 77)]


def test_real_event(data_dir):
    event = PilarnetFile(data_dir / "pilarnet_m_event7675.h5")[0]
    assert len(event) == 1390
    assert np.bincount(event.semantic).tolist() == [571, 706, 0, 0, 113]
    assert np.unique(event.instance).tolist() == list(range(-1, 10))
    assert (event.instance[event.semantic == 4] == -1).all()
    assert np.isfinite(event.energy).all()


def test_geant4_events(data_dir):
    reader = PilarnetFile(data_dir / "geant4_dev.h5")
    assert len(reader) == 400
    for event in reader[::40]:
        assert np.unique(event.coords, axis=0).shape == event.coords.shape
        assert event.energy.min() >= 0.05
        # A fragment is of one class and belongs to one group.
        of = np.stack([event.instance, event.semantic, event.extra["group"]], axis=1)[event.instance >= 0]
        assert len(np.unique(of, axis=0)) == len(np.unique(of[:, 0]))
