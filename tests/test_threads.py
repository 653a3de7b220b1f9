"""The pool of threads behind the compiled loops."""

import os

import pytest

from sparseclust._threads import in_threads


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("tasks", [0, 1, 4])
def test_every_task_runs_once(tasks, threads):
    found = [0] * tasks
    in_threads(lambda t: found.__setitem__(t, found[t] + t + 1), tasks, threads)
    assert found == list(range(1, tasks + 1))


@pytest.mark.parametrize("threads", [1, 2])
def test_a_task_that_fails_is_heard_of(threads):
    with pytest.raises(ZeroDivisionError):
        in_threads(lambda task: 1 // task, 3, threads)


# Python 3.12 and later warn of any fork in a process with threads.
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_the_pool_survives_a_fork():
    def squares():
        found = [0, 0]
        in_threads(lambda t: found.__setitem__(t, t * t + 1), 2, 2)
        return found

    assert squares() == [1, 2]  # the pool has threads now, which a child does not inherit
    child = os.fork()
    if child == 0:
        os._exit(squares() != [1, 2])
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
