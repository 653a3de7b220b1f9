"""Numbers of voxels: those of the events, without reading them."""

import pickle
import struct

import h5py
import numpy as np
import pytest

from sparseclust.data import (
    Event,
    EventStore,
    PilarnetFile,
    SpineFile,
    concatenate_events,
    link_events,
    open_events,
    split_events,
    voxel_counts,
    write_events,
    write_spine,
)
from sparseclust.testing import random_event


@pytest.fixture
def events(rng):
    return [random_event(rng, voxels=n) for n in (9, 3, 30)] + [Event(np.empty((0, 3)), [])]


@pytest.fixture
def unread(monkeypatch):
    """No event can be read."""

    def read(self, index):
        raise AssertionError(f"event {index} was read")

    for reader in (EventStore, PilarnetFile, SpineFile):
        monkeypatch.setattr(reader, "_read", read)


def lengths(events):
    return [len(event) for event in events]


def same(counts, expected):
    assert counts.dtype == np.int64
    assert counts.tolist() == expected


def test_events_in_memory(events):
    same(voxel_counts(events), lengths(events))
    same(voxel_counts([]), [])


def test_a_store(tmp_path, events, unread):
    write_events(tmp_path / "a.h5", events)
    same(voxel_counts(EventStore(tmp_path / "a.h5")), lengths(events))
    same(voxel_counts(pickle.loads(pickle.dumps(EventStore(tmp_path / "a.h5")))), lengths(events))
    write_events(tmp_path / "b.h5", [])
    same(voxel_counts(EventStore(tmp_path / "b.h5")), [])


def test_a_spine_file(tmp_path, events, unread):
    write_spine(tmp_path / "a.h5", events[:3])
    same(voxel_counts(open_events(tmp_path / "a.h5")), lengths(events[:3]))


@pytest.mark.parametrize("version", [1, 2])
def test_files_of_spine(oracle_dir, version):
    reader = open_events(oracle_dir / f"spine_v{version}.h5")
    same(voxel_counts(reader), lengths(reader))


@pytest.mark.parametrize("chunks", [None, (2,), (100,)])
def test_a_pilarnet_file(tmp_path, points, unread, chunks):
    sizes = [3, 0, 700, 1, 12]
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for name in ("point", "cluster"):
            file.create_dataset(
                name, (5,), h5py.vlen_dtype(np.float32), chunks=chunks, maxshape=chunks and (None,)
            )
        for i, n in enumerate(sizes):
            file["point"][i] = points(n, seed=i).ravel()
    same(voxel_counts(PilarnetFile(tmp_path / "a.h5")), sizes)


@pytest.mark.parametrize("options", [{"min_energy": 0.5}, {"classes": (1,)}, {"precedence": (1, 2, 0, 3, 4)}])
def test_part_of_a_pilarnet_file(write_pilarnet, tables, options):
    tables[1][0][1, :3] = tables[1][0][0, :3]  # listed twice
    reader = PilarnetFile(write_pilarnet(tables), **options)
    same(voxel_counts(reader), lengths(reader))
    assert lengths(reader) != [6, 6, 6]


def test_compressed_references(tmp_path, write_pilarnet, tables):
    path = write_pilarnet(tables)
    with h5py.File(path, "r+") as file:
        rows = file["point"][:]
        del file["point"]
        file.create_dataset("point", data=rows, dtype=h5py.vlen_dtype(np.float32), compression="gzip")
    same(voxel_counts(PilarnetFile(path)), [6, 6, 6])


@pytest.mark.parametrize("name", ["geant4_dev", "geant4_dev_crowded", "pilarnet_m_event7675"])
def test_reference_files(data_dir, name):
    reader = PilarnetFile(data_dir / f"{name}.h5")
    counts = voxel_counts(reader)
    assert len(counts) == len(reader)
    for i in (0, len(reader) // 2, -1):
        assert counts[i] == len(reader[i])


def test_several_files_and_parts_of_them(tmp_path, events, rng, unread):
    for i in range(70):
        write_events(tmp_path / f"{i:02}.h5", events[i % 3 :])
    expected = [n for i in range(70) for n in lengths(events)[i % 3 :]]
    with open_events(tmp_path / "*.h5") as joined:
        same(voxel_counts(joined), expected)
        assert sum(part._file is not None for part in joined._parts) <= 64
        parts = split_events(joined, [0.5, 0.5], rng=rng)
        assert sorted(np.concatenate([voxel_counts(part) for part in parts])) == sorted(expected)
        same(voxel_counts(parts[0]), np.array(expected)[parts[0]._rows].tolist())
    link_events(tmp_path / "all.h5", sorted(tmp_path.glob("??.h5")))
    same(voxel_counts(open_events(tmp_path / "all.h5")), expected)
    same(voxel_counts(concatenate_events([])), [])


def test_references_beyond_the_end_of_the_file(tmp_path, write_pilarnet, tables):
    path = write_pilarnet(tables)
    reader = PilarnetFile(path)
    with h5py.File(path) as file:
        at = file["point"].id.get_offset()
    content = bytearray(path.read_bytes())
    place = content.index(struct.pack("<Q", at))
    content[place : place + 8] = struct.pack("<Q", len(content) - 8)
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"events\.h5: .*"):
        voxel_counts(PilarnetFile(path))
    with pytest.raises(ValueError, match="has changed since this reader was made"):
        voxel_counts(reader)


def test_a_damaged_store(tmp_path, events):
    write_events(tmp_path / "a.h5", events)
    with h5py.File(tmp_path / "a.h5") as file:
        at = file["index"].id.get_chunk_info(0).byte_offset
    content = bytearray((tmp_path / "a.h5").read_bytes())
    content[at] ^= 1
    (tmp_path / "a.h5").write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.h5: expected a complete, undamaged HDF5 file"):
        voxel_counts(EventStore(tmp_path / "a.h5"))
