"""Damaged files end in a clean error or in the right events; in another process, as HDF5 may crash."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sparseclust.data import PilarnetFile, write_events, write_spine

READ_DAMAGED = """
import pathlib, shutil, signal, sys
import numpy as np

sys.path.insert(0, sys.argv[1])
from mutations import spoil_bytes, spoil_structure
from sparseclust.data import Event, open_events, voxel_counts

source, kind, begin, end = pathlib.Path(sys.argv[2]), sys.argv[3], *map(int, sys.argv[4:])
path = source.with_name("damaged.h5")
whole = list(open_events(source))
columns = ("coords", "feats", "semantic", "instance")
signal.signal(signal.SIGALRM, signal.SIG_DFL)  # HDF5 does not come back from an endless loop
for seed in range(begin, end):
    rng = np.random.default_rng(seed)
    shutil.copyfile(source, path)
    how = spoil_bytes(path, rng) if kind == "bytes" else spoil_structure(path, rng)
    signal.alarm(20)
    refused = 0
    try:
        with open_events(path) as events:
            for i in [*range(min(len(events), 8)), -1]:
                try:
                    event = events[i]
                except (ValueError, IndexError) as error:
                    assert isinstance(error, IndexError) or str(error).startswith(f"{path}: event"), error
                    refused += 1
                    continue
                assert isinstance(event, Event)
                if source.name == "store.h5" and kind == "bytes":
                    assert all(np.array_equal(getattr(event, c), getattr(whole[i], c)) for c in columns)
                    assert all(np.array_equal(event.extra[c], whole[i].extra[c]) for c in whole[i].extra)
            counts = voxel_counts(events)
            if source.name == "store.h5" and kind == "bytes":
                assert counts.tolist() == [len(event) for event in whole]
        assert how != "cut" or refused, "a truncated file was read"
    except (ValueError, OSError) as error:
        assert str(error).startswith(str(path)), error
        refused += 1
    except Exception as error:
        raise AssertionError(f"seed {seed}, {how}") from error
    print(seed, refused, flush=True)
"""


def read_damaged(source: Path, kind: str, n: int) -> tuple[int, int]:
    """Return how many files were refused, wholly or in part, and how many took the process down."""
    begin = refused = lost = 0
    while begin < n:
        command = [sys.executable, "-c", READ_DAMAGED, str(Path(__file__).parent), str(source), kind]
        command += map(str, (begin, n))
        done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
        lines = [line.split() for line in done.stdout.splitlines()]
        refused += sum(count != "0" for _, count in lines)
        begin += len(lines)
        if done.returncode != 0:
            assert done.returncode in (-signal.SIGALRM, -signal.SIGSEGV, -signal.SIGABRT), done.stderr
            lost, begin = lost + 1, begin + 1
    return refused, lost


@pytest.fixture
def files(tmp_path, write_pilarnet, tables, points):
    """Folder with the same events in every format."""
    for point, _ in tables:
        point[:, 4:] = 0
    big = points(500, seed=9)
    path = write_pilarnet([*tables, (big, [[500, 0, 0, 0, 1, 2]])], name="pilarnet.h5")
    write_events(tmp_path / "store.h5", PilarnetFile(path), attrs={"a": list(range(30))})
    write_spine(tmp_path / "spine.h5", PilarnetFile(path), clusters="fragment")
    return tmp_path


def test_damaged_store(files):
    """Checksums everywhere: every event that is read is the right one, and HDF5 survives."""
    refused, lost = read_damaged(files / "store.h5", "bytes", 150)
    assert lost == 0
    assert refused > 100


@pytest.mark.parametrize("name", ["pilarnet", "spine"])
def test_damaged_other_files(files, name):
    """No checksums of the numbers: an event that is read may be a wrong one, but is an event."""
    refused, lost = read_damaged(files / f"{name}.h5", "bytes", 100)
    assert lost == 0
    assert refused > 50


@pytest.mark.parametrize("name", ["pilarnet", "store", "spine"])
def test_wrong_structure(files, name):
    refused, lost = read_damaged(files / f"{name}.h5", "structure", 80)
    assert lost == 0
    assert refused > 30


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["bytes", "structure"])
@pytest.mark.parametrize("name", ["pilarnet", "store", "spine"])
def test_many_damaged_files(files, name, kind):
    """2100 files: none takes the process down."""
    refused, lost = read_damaged(files / f"{name}.h5", kind, 350)
    print(f"{name}, {kind}: {refused} of 350 refused, {lost} took the process down")
    assert lost == 0
    assert refused > 100
