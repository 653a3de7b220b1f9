"""Files that claim more than they hold are refused before room is made for it."""

import struct

import h5py
import numpy as np
import pytest

from sparseclust.data import (
    Event,
    EventStore,
    PilarnetFile,
    SpineFile,
    link_events,
    write_events,
    write_spine,
)
from sparseclust.testing import random_event

ABSURD = [10**8, 10**12, 2**50]
HELD = r"of which the file holds \d+ bytes"


@pytest.fixture
def store(tmp_path, rng):
    write_events(tmp_path / "store.h5", [random_event(rng) for _ in range(3)])
    return tmp_path / "store.h5"


@pytest.mark.parametrize("n", ABSURD)
def test_rows_of_a_store(store, n):
    with h5py.File(store, "r+") as file:
        for name in ("coords", "feats", "semantic", "instance"):
            file[name].resize(n, axis=0)
        records = file["index"][:]
        records["n_voxels"][1] = n - records["coords"][1]
        file["index"][:] = records
    with EventStore(store) as events:
        assert len(events[0])
        with pytest.raises(ValueError, match=f"event 1: expected .* rows of '/coords', .*{HELD}"):
            events[1]


@pytest.mark.parametrize("n", ABSURD)
def test_description_and_index_of_a_store(store, n):
    with h5py.File(store, "r+") as file:
        del file["attrs"]
        file.create_dataset("attrs", (n,), "u1", chunks=(1024,))
    with pytest.raises(ValueError, match=f"rows of '/attrs', .*{HELD}"):
        EventStore(store)


def test_index_of_a_part(store, tmp_path):
    with h5py.File(store, "r+") as file:
        file["index"].resize(2**40, axis=0)
        file.attrs["n_events"] = 2**40
    with pytest.raises(ValueError, match=f"rows of '/index', .*{HELD}"):
        link_events(tmp_path / "all.h5", [store])


@pytest.mark.parametrize("n", [9, 10**7, 2**32 - 1])
@pytest.mark.parametrize("name", ["point", "cluster"])
def test_rows_of_pilarnet(tmp_path, name, n):
    path = tmp_path / "pilarnet.h5"
    with h5py.File(path, "w") as file:
        for kind, dtype, values in (
            ("point", "f4", [1, 1, 1, 1, 0, 0, 0, 0]),
            ("cluster", "i8", [1, 0, 0, 0, 1]),
        ):
            file.create_dataset(kind, (1,), h5py.vlen_dtype(dtype))[0] = np.array(values, dtype)
        at = file[name].id.get_offset()
    assert len(PilarnetFile(path)[0]) == 1
    with path.open("r+b") as raw:
        raw.seek(at)
        raw.write(struct.pack("<I", n))
    with pytest.raises(ValueError, match=f"event 0: '{name}': it claims to be {n} numbers of . bytes"):
        PilarnetFile(path)[0]


@pytest.mark.parametrize("n", ABSURD)
def test_events_of_pilarnet(tmp_path, n):
    path = tmp_path / "pilarnet.h5"
    with h5py.File(path, "w") as file:
        for name in ("point", "cluster"):
            rows = file.create_dataset(name, (1,), h5py.vlen_dtype("f4"), chunks=(16,), maxshape=(None,))
            rows[0] = np.ones(0, "f4")
    assert [len(event) for event in PilarnetFile(path)] == [0]
    with h5py.File(path, "r+") as file:
        for name in ("point", "cluster"):
            file[name].resize(n, axis=0)
    with pytest.raises(ValueError, match=f"expected {n} rows of '/point', .*{HELD}"):
        PilarnetFile(path)


@pytest.mark.parametrize("n", ABSURD)
def test_products_of_spine(tmp_path, store, n):
    path = tmp_path / "spine.h5"
    write_spine(path, EventStore(store))
    with h5py.File(path, "r+") as file:
        group = file["products/data"]
        values, offsets = group["values"], group["event_offsets"]
        assert len(values)
        row = values.shape[1:]
        del group["values"]
        group.create_dataset("values", (n, *row), "f4", chunks=(16, *row))
        offsets[1:] = n
    with pytest.raises(ValueError, match=f"event 0: expected .* rows of '/products/data/values', .*{HELD}"):
        SpineFile(path)[0]


def test_an_event_that_packs_well_is_read(tmp_path):
    n = 6_000_000
    event = Event(np.zeros((n, 3), np.int32), np.zeros(n, np.float32))
    write_events(tmp_path / "zeros.h5", [event])
    assert (tmp_path / "zeros.h5").stat().st_size < 2**20
    assert len(EventStore(tmp_path / "zeros.h5")[0]) == n
