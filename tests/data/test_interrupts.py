"""Ctrl-C and SIGTERM while a file is written: HDF5 hears nothing of them, and no half file stays."""

import os
import signal
import threading
import types

import numpy as np
import pytest

from sparseclust.data import Event, EventStore, open_events, write_events, write_spine
from sparseclust.data._interrupts import HeldBack


@pytest.fixture(params=[signal.SIGINT, signal.SIGTERM])
def number(request):
    """A signal, made to raise as Ctrl-C does."""

    def stop(number, frame):
        raise KeyboardInterrupt(str(number))

    before = signal.signal(request.param, stop)
    yield request.param
    assert signal.getsignal(request.param) is stop
    signal.signal(request.param, before)


@pytest.fixture
def disturbed(monkeypatch):
    """Let a signal arrive in the n-th write to the disk, which HDF5 asks for in the middle of its work."""
    ours = types.SimpleNamespace(**{name: getattr(os, name) for name in dir(os)})
    monkeypatch.setattr("sparseclust.data._sink.os", ours)

    def disturb(number, when):
        writes = []

        def pwrite(*arguments):
            writes.append(arguments)
            if len(writes) == when:
                signal.raise_signal(number)
            return os.pwrite(*arguments)

        ours.pwrite = pwrite
        return writes

    return disturb


def events(n):
    rng = np.random.default_rng(n)
    return [
        Event(rng.integers(0, 768, (2000, 3)), rng.random(2000), [0] * 2000, [0] * 2000) for _ in range(n)
    ]


@pytest.mark.parametrize("write", [write_events, write_spine])
def test_a_signal_in_the_middle_of_hdf5(tmp_path, number, disturbed, write):
    path, old, new = tmp_path / "a.h5", events(1), events(8)
    write(path, old)
    writes = disturbed(number, 0)
    write(tmp_path / "b.h5", new)
    assert len(writes) > 9
    (tmp_path / "b.h5").unlink()
    found = []
    for when in {1, 2, len(writes) // 2, len(writes)}:
        write(path, old)
        disturbed(number, when)
        with pytest.raises(KeyboardInterrupt, match=str(int(number))):
            write(path, new)
        disturbed(number, 0)
        assert [file.name for file in tmp_path.iterdir()] == ["a.h5"]
        found.append([len(event) for event in open_events(path)])
    assert [2000] in found
    assert all(lengths in ([2000], [2000] * 8) for lengths in found)


def test_a_signal_while_an_event_is_made(tmp_path, number):
    """It is not kept until the event is there, which may take long."""
    made = []

    def slow():
        for event in events(3):
            if made:
                signal.raise_signal(number)
            made.append(event)
            yield event

    with pytest.raises(KeyboardInterrupt):
        write_events(tmp_path / "a.h5", slow())
    assert len(made) == 1
    assert list(tmp_path.iterdir()) == []


def test_several_signals_and_a_block_that_fails(number):
    def fail():
        with HeldBack():
            for _ in range(3):
                signal.raise_signal(number)
            raise ValueError("on its own")

    with pytest.raises(KeyboardInterrupt) as caught:
        fail()
    assert isinstance(caught.value.__context__, ValueError)


def test_what_is_left_alone(tmp_path, number):
    handler = signal.getsignal(number)
    signal.signal(number, signal.SIG_IGN)
    with HeldBack():
        assert signal.getsignal(number) is signal.SIG_IGN
    signal.signal(number, handler)
    thread = threading.Thread(target=write_events, args=(tmp_path / "a.h5", events(2)))
    thread.start()
    thread.join()
    assert len(EventStore(tmp_path / "a.h5")) == 2
