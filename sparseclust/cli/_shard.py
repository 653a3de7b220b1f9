"""Which part of a list is this process's, as job arrays and launchers say it."""

from collections.abc import Mapping
from typing import NamedTuple


class Shard(NamedTuple):
    """Part ``number`` of ``total``, counted from 1."""

    number: int
    total: int


def parse_shard(text: str, environment: Mapping[str, str]) -> Shard:
    """Read ``i/n``, ``auto`` or ``auto/n``.

    Raises
    ------
    ValueError
        If it is none of them, the part is not one of 1 to n, or the environment says too little.
    """
    first, slash, last = text.partition("/")
    if first == "auto":
        shard = _found(int(last) if last.isdecimal() else None, environment)
    elif first.isdecimal() and last.isdecimal():
        shard = Shard(int(first), int(last))
    else:
        raise ValueError(f"shard must be i/n, auto or auto/n, got {text!r}")
    if not 1 <= shard.number <= shard.total or (slash and not last.isdecimal()):
        raise ValueError(f"shard must be i/n with 1 <= i <= n, got {text!r}: {shard.number}/{shard.total}")
    return shard


def _found(count: int | None, environment: Mapping[str, str]) -> Shard:
    """Part of the job array, divided among the processes of the job where a launcher started several."""
    tasks, ranks = _array(count, environment), _ranks(environment)
    if tasks is None and ranks is None:
        raise ValueError(
            "shard auto: this is neither a task of a job array (SLURM_ARRAY_TASK_ID, PBS_ARRAY_INDEX) nor a "
            "process of torchrun (RANK) or srun (SLURM_PROCID); give i/n"
        )
    task, rank = tasks or Shard(1, 1), ranks or Shard(1, 1)
    if tasks is None and count not in (None, rank.total):
        raise ValueError(f"shard auto/{count}: there are {rank.total} processes")
    return Shard((task.number - 1) * rank.total + rank.number, task.total * rank.total)


def _array(count: int | None, environment: Mapping[str, str]) -> Shard | None:
    if "SLURM_ARRAY_TASK_ID" in environment:
        number, least, step, size = (
            int(environment.get(f"SLURM_ARRAY_TASK_{name}", default))
            for name, default in (("ID", "0"), ("MIN", "0"), ("STEP", "1"), ("COUNT", "1"))
        )
        return Shard((number - least) // step + 1, size if count is None else count)
    if "PBS_ARRAY_INDEX" in environment:
        if count is None:
            raise ValueError(
                "shard auto: PBS does not say how many tasks there are; for -J 1-20 give auto/20"
            )
        return Shard(int(environment["PBS_ARRAY_INDEX"]), count)
    return None


def _ranks(environment: Mapping[str, str]) -> Shard | None:
    # Inside a batch script SLURM_PROCID is 0 as well; the number of tasks of the step comes from srun alone.
    for rank, size in (("RANK", "WORLD_SIZE"), ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS")):
        if rank in environment and size in environment:
            return Shard(int(environment[rank]) + 1, int(environment[size]))
    return None
