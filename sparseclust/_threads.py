"""Work in several threads, as compiled loops release the interpreter's lock, and in several processes."""

import functools
import multiprocessing
import os
import signal
import threading
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


def begin_worker() -> None:
    """Let this process, a worker, end when the one that started it does, and leave Ctrl-C to that one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    # Nobody tells the workers of a process that is killed.
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@functools.cache
def _pool(threads: int, process: int) -> ThreadPoolExecutor:
    # A forked process inherits the pool but not its threads: it needs a pool of its own.
    return ThreadPoolExecutor(threads, thread_name_prefix="sparseclust")
