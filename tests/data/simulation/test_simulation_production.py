"""Simulated files: the same bytes however they are made."""

import os
import subprocess
import sys

import pytest
from processes import all_end

from sparseclust.data import EventStore
from sparseclust.data.simulation import EventGenerator, SimulatedEvents, _production, write_simulated


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr(_production, "PART", 4)


def events(n=10, seed=0):
    return SimulatedEvents(n, EventGenerator("single:mu-", rng=seed, spatial_size=64), first=100)


def test_the_number_of_workers_changes_no_byte(tmp_path):
    files = []
    for workers in (1, 3):
        files.append(tmp_path / f"{workers}.h5")
        assert write_simulated(files[-1], events(), workers=workers, attrs={"source": "test"}) == 10
    assert files[0].read_bytes() == files[1].read_bytes()
    store = EventStore(files[0])
    assert store.attrs == {"source": "test"}
    for stored, event in zip(store, events()):
        assert (stored.coords == event.coords).all()
        assert (stored.energy == event.energy).all()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["1.h5", "3.h5"]


def test_an_interrupted_run_goes_on_where_it_stopped(tmp_path, monkeypatch):
    whole, path = tmp_path / "whole.h5", tmp_path / "events.h5"
    write_simulated(whole, events())

    def interrupt(n):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_simulated(path, events(), advance=interrupt)
    parts = tmp_path / "events.h5.parts"
    assert not path.exists()
    assert [p.name for p in parts.iterdir()] == ["000000000.h5"]
    damaged = parts / "000000004.h5"
    damaged.write_bytes(b"half a file")

    made = []
    write = _production.write_events
    monkeypatch.setattr(
        _production, "write_events", lambda p, *a, **k: (made.append(p.name), write(p, *a, **k))[1]
    )
    counts = []
    assert write_simulated(path, events(), advance=counts.append) == 10
    assert made == ["000000004.h5", "000000008.h5", "events.h5"]
    assert counts == [4, 4, 2] + [1] * 10
    assert path.read_bytes() == whole.read_bytes()
    assert not parts.exists()


KILLED = """
import multiprocessing, sys
from sparseclust.data.simulation import EventGenerator, SimulatedEvents, _production, write_simulated

def tell(n):
    print(*(child.pid for child in multiprocessing.active_children()), flush=True)
    sys.stdin.read()

if __name__ == "__main__":
    _production.PART = 4
    generator = EventGenerator("single:mu-", rng=0, spatial_size=64)
    write_simulated(sys.argv[1], SimulatedEvents(60, generator, first=100), workers=2, advance=tell)
"""


def test_a_killed_run_goes_on_where_it_stopped(tmp_path):
    """Its workers end too: later they would write into the folder of the next run."""
    (tmp_path / "script.py").write_text(KILLED)
    whole, path = tmp_path / "whole.h5", tmp_path / "events.h5"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, str(tmp_path / "script.py"), str(path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, **pipes, text=True, env=environment) as process:
        workers = process.stdout.readline().split()
        process.kill()
    assert len(workers) == 2
    assert all_end(*workers)
    assert list((tmp_path / "events.h5.parts").glob("*.h5"))
    assert not path.exists()
    for target in (whole, path):
        assert write_simulated(target, events(60)) == 60
    assert path.read_bytes() == whole.read_bytes()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["events.h5", "script.py", "whole.h5"]


def test_parts_of_another_generator_are_not_used(tmp_path):
    path = tmp_path / "events.h5"
    with pytest.raises(ZeroDivisionError):
        write_simulated(path, events(seed=1), advance=lambda n: 1 // 0)
    write_simulated(path, events(seed=2))
    assert (EventStore(path)[0].coords == events(seed=2)[0].coords).all()


def test_no_events(tmp_path):
    assert write_simulated(tmp_path / "none.h5", events(0)) == 0
    assert len(EventStore(tmp_path / "none.h5")) == 0


def test_wrong_targets(tmp_path):
    with pytest.raises(ValueError, match="workers must be at least 1"):
        write_simulated(tmp_path / "x.h5", events(), workers=0)
    with pytest.raises(FileNotFoundError, match="folder that exists"):
        write_simulated(tmp_path / "no" / "x.h5", events())


def test_another_process_writes_the_same_bytes(tmp_path):
    code = (
        "import sys; from sparseclust.data.simulation import *;"
        "events = SimulatedEvents(3, EventGenerator('single:mu-', spatial_size=64));"
        "write_simulated(sys.argv[1], events)"
    )
    paths = [tmp_path / f"{seed}.h5" for seed in (1, 2)]
    for seed, path in enumerate(paths, start=1):
        environment = {**os.environ, "PYTHONHASHSEED": str(seed)}
        subprocess.run([sys.executable, "-c", code, str(path)], check=True, env=environment)
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_the_second_writer_refuses(tmp_path):
    path, refused = tmp_path / "events.h5", []

    def write_too(n):
        with pytest.raises(FileExistsError, match=f"is being written by process {os.getpid()}"):
            write_simulated(path, events())
        refused.append(n)

    assert write_simulated(path, events(), advance=write_too) == 10
    assert refused
    assert [p.name for p in tmp_path.iterdir()] == ["events.h5"]
