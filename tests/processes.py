"""Other processes: those that train together, and what becomes of workers."""

import multiprocessing
import os
import socket
import time
import traceback

import torch
from torch import distributed


def in_processes(n, function, *arguments, group=True):
    """Return ``function(rank, *arguments)`` of each of ``n`` processes, started as by torchrun."""
    # Not forked from this one: a fork copies locks that threads of torch may hold.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["sparseclust.training", "lightning.pytorch"])
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    pipes, processes = [], []
    for rank in range(n):
        here, there = context.Pipe(duplex=False)
        process = context.Process(target=_run, args=(there, rank, n, port, group, function, arguments))
        process.start()
        there.close()
        pipes.append(here)
        processes.append(process)
    results = []
    for pipe in pipes:
        try:
            results.append(pipe.recv())
        except EOFError:
            results.append(None)  # it was killed
    for process in processes:
        process.join(600)
        assert process.exitcode is not None
    errors = [result[1] for result in results if result is not None and not result[0]]
    assert not errors, errors[0]
    return [None if result is None else result[1] for result in results]


def _run(pipe, rank, n, port, group, function, arguments):
    torch.set_num_threads(1)
    here = {"RANK": rank, "LOCAL_RANK": rank, "GROUP_RANK": 0, "WORLD_SIZE": n, "LOCAL_WORLD_SIZE": n}
    here |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "TORCHELASTIC_RUN_ID": "test"}
    os.environ.update({name: str(value) for name, value in here.items()})
    try:
        if group:
            distributed.init_process_group("gloo")
        pipe.send((True, function(rank, *arguments)))
        if distributed.is_initialized():
            distributed.destroy_process_group()
    except BaseException:  # noqa: BLE001, the parent raises it
        pipe.send((False, traceback.format_exc()))
    finally:
        pipe.close()
        os._exit(0)


def all_end(*numbers, within=600):
    """Whether processes, which may be children of others, end in so many seconds."""
    last = time.monotonic() + within
    while any(map(_alive, numbers)):
        if time.monotonic() > last:
            return False
        time.sleep(0.05)
    return True


def _alive(number):
    try:
        with open(f"/proc/{number}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
