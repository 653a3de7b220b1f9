"""Work in several threads: compiled loops release the interpreter's lock."""

import functools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch


def threads_for(work: int, share: int) -> int:
    """As many threads as torch uses, if there is a ``share`` of the work for each."""
    return min(torch.get_num_threads(), max(1, work // share))


def in_threads(work: Callable[[int], None], threads: int) -> None:
    """Run ``work(0) ... work(threads - 1)``; each writes to its own rows, so the number changes nothing."""
    if threads == 1:
        work(0)
        return
    list(_pool(threads, os.getpid()).map(work, range(threads)))


@functools.cache
def _pool(threads: int, process: int) -> ThreadPoolExecutor:
    # A forked process inherits the pool but not its threads: it needs a pool of its own.
    return ThreadPoolExecutor(threads, thread_name_prefix="sparseclust")
