"""A writer that is killed, or that finds the disk full: in another process, which does not survive it."""

import signal
import subprocess
import sys
import time

import h5py
import numpy as np
import pytest

from sparseclust.data import Event, EventStore, write_events
from sparseclust.data._sink import Sink

BEGIN = """
import resource, signal, sys
import numpy as np
from sparseclust.data import Event, EventStore, write_events

path, append = sys.argv[1], sys.argv[2] == "append"

def events():
    rng = np.random.default_rng(0)
    while True:
        yield Event(rng.integers(0, 768, (2000, 3)), rng.random(2000))
"""

FOREVER = BEGIN + "print('begun', flush=True)\nwrite_events(path, events(), append=append)\n"

# A limit on the size of a file stands for a full disk: both make write(2) fail.
FULL = (
    BEGIN
    + """
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), -1))
try:
    write_events(path, events(), append=append)
except OSError as error:
    print(error)
else:
    raise AssertionError("no error")
resource.setrlimit(resource.RLIMIT_FSIZE, (-1, -1))  # somebody made room; the process goes on
assert write_events(path, [Event([[0, 0, 0]], [1.0])], append=True) == 4
"""
)


def start(code, *arguments):
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.fixture
def old_file(tmp_path):
    path = tmp_path / "events.h5"
    write_events(path, [Event([[i, 0, 0]], [1.0]) for i in range(3)])
    return path


def holds_the_old_events(path):
    return [event.coords[0, 0] for event in EventStore(path)] == [0, 1, 2]


@pytest.mark.parametrize("how", ["replace", "append"])
@pytest.mark.parametrize("after", [0.0, 0.3])
def test_killed_writer(old_file, how, after):
    process = start(FOREVER, old_file, how)
    assert process.stdout.readline() == "begun\n"
    time.sleep(after)
    process.send_signal(signal.SIGKILL)
    assert process.wait(timeout=600) == -signal.SIGKILL
    process.communicate()
    assert holds_the_old_events(old_file)
    assert {path.suffix for path in old_file.parent.iterdir()} <= {".h5", ".tmp"}


def test_whole_files_at_any_moment(tmp_path):
    """The file n has n events of n voxels: a reader finds that of one file or hears of the change."""
    path = tmp_path / "events.h5"
    code = BEGIN + (
        "for n in range(1, 10**6):\n"
        "    write_events(path, [Event(np.full((n, 3), n), np.ones(n))] * n)\n"
        "    print(n, flush=True)\n"
    )
    with start(code, path, "replace") as process:
        process.stdout.readline()
        for pause in np.random.default_rng(1).uniform(0, 0.02, 30):
            time.sleep(pause)
            try:
                with EventStore(path) as store:
                    assert all(len(event) == len(store) for event in store)
            except ValueError as error:
                assert str(error).endswith("has changed since this reader was made; make a new one")  # noqa: PT017
        process.kill()
    store = EventStore(path)
    assert all(len(event) == len(store) for event in store)


@pytest.mark.parametrize("how", ["replace", "append"])
@pytest.mark.parametrize("limit", [0, 3_000, 300_000])
def test_full_disk_is_an_error_that_names_the_file(old_file, how, limit):
    """At 0 not even the bookkeeping of HDF5 fits, at 300000 some events do."""
    process = start(FULL, old_file, how, limit)
    out, err = process.communicate(timeout=600)
    assert process.returncode == 0, err
    assert not err
    assert out.startswith(f"[Errno 27] File too large: '{old_file}'")
    assert [event.coords[0, 0] for event in EventStore(old_file)] == [0, 1, 2, 0]
    assert [path.name for path in old_file.parent.iterdir()] == ["events.h5"]


def test_sink_is_a_file(tmp_path, rng):
    """Random operations beside those on a real file, before and after the disk is full."""
    path = tmp_path / "sink"
    with open(tmp_path / "real", "w+b") as real, Sink(path, name=path) as sink:
        for step in range(400):
            if step == 200:
                sink.check()
                sink._error = OSError(28, "No space left on device")
            at, size = rng.integers(0, 500, 2)
            for file in (real, sink):
                file.seek(int(at))
            if rng.random() < 0.5:
                data = rng.bytes(int(size))
                assert real.write(data) == sink.write(data)
            else:
                assert real.read(int(size)).ljust(int(size), b"\0") == sink.read(int(size))
            assert real.seek(0, 2) == sink.seek(0, 2) == sink.tell()
        with pytest.raises(OSError, match=f"No space left on device: '{path}'"):
            sink.sync()


def test_sink_holds_a_whole_file_of_hdf5(tmp_path, rng):
    values = rng.random((1000, 30))
    with Sink(tmp_path / "sink.h5", name=tmp_path) as sink, h5py.File(sink, "w") as file:
        sink._error = OSError(28, "No space left on device")
        file.create_dataset("a", data=values, chunks=(10, 30), fletcher32=True)
        assert np.array_equal(file["a"][::7], values[::7])
