"""Threads and memory of the compiled loops."""

import ctypes
import functools
import itertools
import os
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from sparseclust._threads import in_threads

_CACHE_LINE = 64
_IMPORTED_IN = os.getpid()


def threads_for(work: int, share: int) -> int:
    """As many threads as torch uses, if there is a ``share`` of the work for each."""
    return min(torch.get_num_threads(), max(1, work // share))


def in_torch_threads(work: Callable[[int], None], tasks: int) -> None:
    """Run ``work(0) ... work(tasks - 1)`` side by side, in torch's own threads where they can be had.

    After a loop of torch its OpenMP threads stay awake for milliseconds, waiting for the next one. Threads of
    our own would have to share the cores with them.
    """
    # OpenMP's threads do not survive a fork, and torch waits for them forever.
    start = _openmp() if tasks > 1 and os.getpid() == _IMPORTED_IN else None
    if start is None:
        in_threads(work, tasks, tasks)
        return
    numbers, raised = itertools.count(), list[BaseException]()

    def run(_: Any) -> None:
        try:
            while (task := next(numbers)) < tasks:
                work(task)
        except BaseException as error:  # noqa: BLE001 - nothing can be raised through OpenMP
            raised.append(error)

    start(_Body(run), None, tasks, 0)
    if raised:
        raise raised[0]


_Body = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


@functools.cache
def _openmp() -> Any:
    """Return what starts a parallel region in the OpenMP runtime that torch has loaded, or None."""
    if os.name != "posix":
        return None
    start = getattr(ctypes.CDLL(None), "GOMP_parallel", None)
    if start is not None:
        start.argtypes = (_Body, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint)
        start.restype = None
    return start


def empty_rows(n: int, columns: int, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """Return an array (n, columns) to be written, in which vectors do not straddle two cache lines.

    By numpy and not by torch: it asks for huge pages, a tenth of the time at 10^6 voxels.
    """
    size = n * columns * np.dtype(dtype).itemsize
    raw = np.empty(size + _CACHE_LINE, np.uint8)
    skipped = -raw.ctypes.data % _CACHE_LINE
    return raw[skipped : skipped + size].view(dtype).reshape(n, columns)
