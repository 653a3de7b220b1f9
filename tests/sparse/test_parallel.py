"""The parallel loop of compiled code: every task once, whoever starts the threads."""

import ctypes
import os
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor

import numba
import numpy as np
import pytest

from sparseclust.sparse.engines import _threads
from sparseclust.sparse.engines._kernels_parallel import in_parallel

STARTERS = {
    "as chosen": _threads.parallel(),
    "own threads": ctypes.cast(_threads._in_own_threads, ctypes.c_void_p).value,
}


@numba.njit(nogil=True)
def _add(task, amount, counts):
    if task == 13:
        raise ValueError
    counts[task, 0] += amount
    counts[task, 1] += task


@numba.njit(nogil=True)
def run(start, threads, tasks, amount, counts):
    in_parallel(start, threads, tasks, _add, (amount, counts))


@pytest.mark.parametrize("start", STARTERS.values(), ids=STARTERS)
@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("tasks", [0, 1, 3, 13])
def test_every_task_is_done_once(start, threads, tasks):
    counts = np.zeros((13, 2))
    for _ in range(50):
        run(start, threads, tasks, 0.5, counts)
    assert counts.tolist() == [[25.0, 50.0 * t] if t < tasks else [0, 0] for t in range(13)]


@pytest.mark.parametrize("start", STARTERS.values(), ids=STARTERS)
@pytest.mark.parametrize("threads", [1, 3])
def test_one_that_raises_is_told_when_all_else_is_done(start, threads):
    counts = np.zeros((40, 2), np.int64)
    with pytest.raises(MemoryError, match="a compiled loop ran out of memory"):
        run(start, threads, 40, 2, counts)
    assert np.array_equal(np.flatnonzero(counts[:, 0] == 0), [13])


@pytest.mark.parametrize("start", STARTERS.values(), ids=STARTERS)
def test_several_loops_at_a_time(start):
    counts = np.zeros((4, 13, 2))
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda part: [run(start, 2, 13, 1, part) for _ in range(200)], counts))
    assert (counts == np.array([200, 1]) * [[1, 200 * t] for t in range(13)]).all()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_process_has_threads_of_its_own():
    """OpenMP's do not survive a fork: whoever waits for them, as torch does, waits forever."""
    script = """
        import os, warnings
        import numpy as np
        import torch
        from sparseclust.sparse import sparse_conv, submanifold_map

        warnings.simplefilter("ignore")
        torch.set_num_threads(2)
        coords = torch.cartesian_prod(torch.arange(1), *[torch.arange(20)] * 3).int()
        feats, weight = torch.randn(len(coords), 8), torch.randn(27, 8, 16)
        kernel_map = submanifold_map(coords, 3)
        expected = sparse_conv(feats, weight, kernel_map)
        if (child := os.fork()) == 0:
            again = sparse_conv(feats, weight, kernel_map)
            os._exit(0 if np.array_equal(again.numpy(), expected.numpy()) else 1)
        raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=True, timeout=60)
