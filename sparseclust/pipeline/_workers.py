"""Processes that cluster one batch while the network is at the next."""

import functools
import multiprocessing
import pickle
from collections.abc import Mapping
from concurrent.futures import Future, ProcessPoolExecutor, wait
from types import TracebackType
from typing import Any, Self

import numba
import torch
from torch import Tensor

from sparseclust._threads import begin_worker
from sparseclust.data import Batch
from sparseclust.pipeline._assemble import Clusterer, Labelled, label_batch

_PATIENCE = 2.0  # seconds between two looks whether all workers live


class LabelPool:
    """Worker processes for :func:`label_batch` with one clusterer, one thread each."""

    def __init__(self, workers: int, clusterer: Clusterer) -> None:
        # Not for the initializer: whoever starts a process waits until it has read its arguments, and so
        # until it has imported all it needs.
        self._clusterer = pickle.dumps(clusterer)
        # Fresh processes: a fork would copy locks that threads of the caller hold.
        self._pool = ProcessPoolExecutor(
            workers, mp_context=multiprocessing.get_context("spawn"), initializer=_begin
        )

    def submit(self, outputs: Mapping[str, Tensor], batch: Batch, **options: bool) -> "Future[Labelled]":
        """Begin to label a batch, with options of :func:`label_batch`; what is on a GPU is copied."""
        on_host = {name: values.cpu() for name, values in outputs.items()}
        # As bytes: tensors would go through shared memory, of which containers have little.
        task = pickle.dumps((on_host, batch.to("cpu"), options))
        return self._pool.submit(_label, self._clusterer, task)

    def result(self, task: "Future[Labelled]") -> Labelled:
        """Wait for the labels; raise BrokenProcessPool if a worker was killed."""
        while not wait([task], timeout=_PATIENCE).done:
            self._end_if_one_died()
        return task.result()

    def _end_if_one_died(self) -> None:
        # Where a worker is killed while it sends labels, the pool waits for the rest: as far as the pipe
        # knows, others, this process among them, could still send it. So all that could are stopped.
        workers = list((getattr(self._pool, "_processes", None) or {}).values())
        results: Any = getattr(self._pool, "_result_queue", None)
        if results is None or results._writer.closed or all(worker.is_alive() for worker in workers):
            return
        for worker in workers:
            worker.kill()
        results._writer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end_if_one_died()
        self._pool.shutdown(cancel_futures=True)


def _label(clusterer: bytes, task: bytes) -> Labelled:
    outputs, batch, options = pickle.loads(task)
    return label_batch(_loaded(clusterer), outputs, batch, **options)


@functools.lru_cache(maxsize=1)
def _loaded(clusterer: bytes) -> Clusterer:
    found: Clusterer = pickle.loads(clusterer)
    return found


def _begin() -> None:
    begin_worker()
    torch.set_num_threads(1)
    numba.config.NUMBA_NUM_THREADS = 1
