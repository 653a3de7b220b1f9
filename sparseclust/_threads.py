"""Work in several threads: compiled loops release the interpreter's lock."""

import functools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor


def in_threads(work: Callable[[int], None], tasks: int, threads: int) -> None:
    """Run ``work(0) ... work(tasks - 1)``, independent of one another; raise what they raise."""
    if min(tasks, threads) <= 1:
        for task in range(tasks):
            work(task)
        return
    # Taking all results raises what a task has raised.
    list(_pool(threads, os.getpid()).map(work, range(tasks)))


@functools.cache
def _pool(threads: int, process: int) -> ThreadPoolExecutor:
    # A forked process inherits the pool but not its threads: it needs a pool of its own.
    return ThreadPoolExecutor(threads, thread_name_prefix="sparseclust")
