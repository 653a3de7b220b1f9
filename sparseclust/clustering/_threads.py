"""How many threads the compiled loops may use."""

import multiprocessing

import numba


def available_threads() -> int:
    """Return numba's setting, or one in a daemonic process.

    The setting is the variable NUMBA_NUM_THREADS, which joblib sets for the processes that it starts; without
    it, as many threads as this process may use cores. numba's own threads, which do not survive a fork, stay
    unused. Workers of PyTorch's DataLoader and of ``multiprocessing.Pool`` are daemonic: they are as many as
    shall be at work already, so they get one thread each, as joblib does it.
    """
    return 1 if multiprocessing.current_process().daemon else int(numba.config.NUMBA_NUM_THREADS)
