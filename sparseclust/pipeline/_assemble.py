"""Network outputs to labels, whichever clusterer makes them."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sparseclust.clustering import AffinityGraphClusterer, GaussianKernelClusterer
from sparseclust.data import Batch

Clusterer = GaussianKernelClusterer | AffinityGraphClusterer
_KINDS: Mapping[str, type[Clusterer]] = {
    "GaussianKernelClusterer": GaussianKernelClusterer,
    "AffinityGraphClusterer": AffinityGraphClusterer,
}


def assemble(clusterer: Clusterer, outputs: Mapping[str, Tensor], batch: Batch) -> npt.NDArray[np.int64]:
    """Label the voxels of a batch; nothing crosses an event or a semantic class.

    Parameters
    ----------
    clusterer : GaussianKernelClusterer or AffinityGraphClusterer
        The one reads ``"embeddings"``, ``"margins"``, ``"seediness"``, the other ``"edges"``, ``"affinity"``.
    outputs : mapping of str to Tensor
        What the network made of ``batch``.
    batch : Batch

    Returns
    -------
    labels : (N,) int64
        Distinct over the whole batch; -1 for voxels in no cluster.

    Raises
    ------
    ValueError
        If the network does not give what the clusterer reads.
    """
    needed = (
        ("edges", "affinity")
        if isinstance(clusterer, AffinityGraphClusterer)
        else ("embeddings", "margins", "seediness")
    )
    missing = [name for name in needed if name not in outputs]
    if missing:
        raise ValueError(
            f"{type(clusterer).__name__} needs the outputs {missing}, the network gives {sorted(outputs)}; "
            "choose another clusterer or another model"
        )
    if isinstance(clusterer, AffinityGraphClusterer):
        edges, logits = edges_within(outputs["edges"], outputs["affinity"], batch.group)
        affinity = torch.sigmoid(logits.float())
        return _numpy(clusterer.fit_predict(edges.cpu().numpy(), affinity.cpu().numpy(), n=len(batch.tensor)))
    arrays = (outputs[name].float().cpu().numpy() for name in needed)
    semantic = None if batch.semantic is None else batch.semantic.cpu().numpy()
    event = batch.tensor.coords[:, 0].cpu().numpy()
    return _numpy(clusterer.fit_predict(*arrays, semantic=semantic, event=event))


def edges_within(edges: Tensor, values: Tensor, group: Tensor) -> tuple[Tensor, Tensor]:
    """Keep the edges (2, m) whose ends are of one group, and their values (m,)."""
    first, second = group[edges[0]], group[edges[1]]
    keep = first == second
    return edges[:, keep], values[keep]


def clusterer_to_dict(clusterer: Clusterer) -> dict[str, Any]:
    """Kind and parameters of a clusterer, as plain values."""
    return {"kind": type(clusterer).__name__, **clusterer.get_params()}


def clusterer_from_dict(settings: Mapping[str, Any]) -> Clusterer:
    """Build what :func:`clusterer_to_dict` described."""
    parameters = dict(settings)
    return _KINDS[parameters.pop("kind")](**parameters)


def _numpy(labels: Any) -> npt.NDArray[np.int64]:
    return np.asarray(labels, np.int64)
