"""Processes that torchrun or srun started."""

import os
from collections.abc import Mapping
from typing import Any

from sparseclust._optional import require
from sparseclust.training._lightning import lightning
from sparseclust.training._sync_norm import SyncBatchNorms


def launch_options(environment: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """Say to a :class:`lightning.pytorch.Trainer` what torchrun or srun have started.

    Parameters
    ----------
    environment : mapping of str to str
        Environment variables.

    Returns
    -------
    dict
        Devices, nodes, and how several processes train together. One process takes one device.
    """
    environments = require("lightning.fabric.plugins.environments", extra="train")
    if "TORCHELASTIC_RUN_ID" in environment:
        started_by: Any = environments.TorchElasticEnvironment()
        n = int(environment["WORLD_SIZE"])
        nodes = n // int(environment["LOCAL_WORLD_SIZE"])
    # In a job but not under srun, SLURM_NTASKS speaks of tasks that nobody has started.
    elif "SLURM_STEP_NUM_TASKS" in environment and "SLURM_PROCID" in environment:
        started_by = environments.SLURMEnvironment(auto_requeue=False)
        n, nodes = int(environment["SLURM_STEP_NUM_TASKS"]), int(environment["SLURM_STEP_NUM_NODES"])
    else:
        started_by, n, nodes = environments.LightningEnvironment(), 1, 1
    options = {"devices": n // nodes, "num_nodes": nodes}
    if n == 1:
        return {**options, "plugins": [started_by]}
    # Buffers are those of the synchronised norms, the same everywhere.
    strategy = lightning.strategies.DDPStrategy(broadcast_buffers=False, gradient_as_bucket_view=True)
    return {**options, "strategy": strategy, "plugins": [started_by, SyncBatchNorms()]}
