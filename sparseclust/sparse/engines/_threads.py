"""Threads and memory of the compiled loops."""

import ctypes
import functools
import os
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


def parallel() -> int:
    """Address of what starts compiled loops side by side, for ``_kernels_parallel.in_parallel``.

    After a loop of torch its OpenMP threads stay awake for milliseconds, waiting for the next one. Threads of
    our own would have to share the cores with them, so these are used where they can be had.
    """
    # OpenMP's threads do not survive a fork, and torch waits for them forever.
    return _address(forked=os.getpid() != _IMPORTED_IN)


@functools.cache
def _address(*, forked: bool) -> int:
    start = None if forked else _openmp()
    return ctypes.cast(_in_own_threads if start is None else start, ctypes.c_void_p).value or 0


_Body = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
_Start = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint)


def _run(body: int, data: int, threads: int, flags: int) -> None:
    """Do what ``GOMP_parallel`` does."""
    run = _Body(body)
    in_threads(lambda _: run(data), threads, threads)


_in_own_threads = _Start(_run)


@functools.cache
def _openmp() -> Any:
    """Return what starts a parallel region in the OpenMP runtime that torch has loaded, or None."""
    return getattr(ctypes.CDLL(None), "GOMP_parallel", None) if os.name == "posix" else None


def empty_rows(n: int, columns: int, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """Return an array (n, columns) to be written, in which vectors do not straddle two cache lines.

    By numpy and not by torch: it asks for huge pages, a tenth of the time at 10^6 voxels.
    """
    size = n * columns * np.dtype(dtype).itemsize
    raw = np.empty(size + _CACHE_LINE, np.uint8)
    skipped = -raw.ctypes.data % _CACHE_LINE
    return raw[skipped : skipped + size].view(dtype).reshape(n, columns)
