"""Threads for compiled loops that release the interpreter's lock."""

import functools
import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numba


def available_threads() -> int:
    """Return numba's setting, or one in a daemonic process.

    The setting is the variable NUMBA_NUM_THREADS, which joblib sets for the processes that it starts; without
    it, as many threads as this process may use cores. numba's own threads, which do not survive a fork, stay
    unused. Workers of PyTorch's DataLoader and of ``multiprocessing.Pool`` are daemonic: they are as many as
    shall be at work already, so they get one thread each, as joblib does it.
    """
    return 1 if multiprocessing.current_process().daemon else int(numba.config.NUMBA_NUM_THREADS)


def in_threads(work: Callable[[int], None], tasks: int, threads: int) -> None:
    """Run ``work(0) ... work(tasks - 1)``, which must not depend on one another."""
    if threads == 1:
        for task in range(tasks):
            work(task)
        return
    # Taking all results raises what a task has raised.
    list(_pool(threads, os.getpid()).map(work, range(tasks)))


@functools.cache
def _pool(threads: int, process: int) -> ThreadPoolExecutor:
    # A forked process inherits the pool but not its threads: it needs a pool of its own.
    return ThreadPoolExecutor(threads, thread_name_prefix="sparseclust")
