"""Network outputs to labels, whichever clusterer makes them."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from sparseclust._voxels import component_labels
from sparseclust.clustering import (
    AffinityGraphClusterer,
    AgglomerativeClusterer,
    GaussianKernelClusterer,
    bridge_edges,
)
from sparseclust.clustering import refine as repaired
from sparseclust.data import Batch

PER_EDGE = ("edges", "affinity")
GraphClusterer = AffinityGraphClusterer | AgglomerativeClusterer
Clusterer = GaussianKernelClusterer | GraphClusterer


class Labelled(NamedTuple):
    """Labels (N,) of a batch; for an affinity graph also the edges (2, m) and affinities (m,) behind them."""

    labels: npt.NDArray[np.int64]
    edges: npt.NDArray[np.int64] | None = None
    affinity: npt.NDArray[np.float32] | None = None


def network_outputs(
    model: nn.Module, batch: Batch, *, only: Collection[str] | None = None
) -> dict[str, Tensor]:
    """Run a network on a batch; one that judges gaps is given the bridges between the pieces of each group.

    Parameters
    ----------
    model : torch.nn.Module
        With an attribute ``bridge_radius`` above 0 it is called with ``pairs`` too, as a
        :class:`~sparseclust.models.BranchedNet`.
    batch : Batch
    only : collection of str, optional
        Outputs that are needed. A network whose attribute ``outputs`` names them all is called with them, and
        may leave out the rest.

    Returns
    -------
    dict of str to Tensor
        What the network returned.
    """
    radius = getattr(model, "bridge_radius", 0.0)
    arguments: dict[str, Any] = {"pairs": bridges(batch, radius)} if radius else {}
    if only is not None and set(only) <= set(getattr(model, "outputs", ())):
        arguments["only"] = only
    outputs: dict[str, Tensor] = model(batch.tensor, **arguments)
    return outputs


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Use a network, also one in training; afterwards each of its parts is in its own mode again."""
    training = [module for module in model.modules() if module.training]
    if training:  # to look costs less than to set them all
        model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


def bridges(batch: Batch, radius: float) -> Tensor:
    """Shortest pairs of voxels (2, m) between the connected pieces of each group, up to ``radius`` long."""
    edges = batch.tensor.edges()
    pieces = component_labels(len(batch.tensor), edges[:, _within(edges, batch.group)].cpu().numpy())
    coords = batch.tensor.coords[:, 1:]
    pairs: Tensor = bridge_edges(coords, torch.from_numpy(pieces), radius=radius, group=batch.group)
    return pairs


def assemble(
    clusterer: Clusterer,
    outputs: Mapping[str, Tensor],
    batch: Batch,
    *,
    refine: bool = False,
    across_classes: bool = False,
) -> npt.NDArray[np.int64]:
    """Label the voxels of a batch; nothing crosses an event or, unless that is asked for, a semantic class.

    Parameters
    ----------
    clusterer : GaussianKernelClusterer, AffinityGraphClusterer or AgglomerativeClusterer
        The first reads ``"embeddings"``, ``"margins"``, ``"seediness"``, the others ``"edges"`` and
        ``"affinity"``.
    outputs : mapping of str to Tensor
        What the network made of ``batch``.
    batch : Batch
    refine : bool
        Repair the clusters of Gaussian kernels with :func:`sparseclust.clustering.refine`.
    across_classes : bool
        Let the edges of an affinity graph join voxels of different classes.

    Returns
    -------
    labels : (N,) int64
        Distinct over the whole batch; -1 for voxels in no cluster.

    Raises
    ------
    ValueError
        If the network does not give what the clusterer reads, there is nothing to refine, or Gaussian kernels
        are to join classes.

    Notes
    -----
    Where outputs on a GPU are clustered by Gaussian kernels, only labels leave it. The union-find of an
    affinity graph and the repairs work on the host.
    """
    return label_batch(clusterer, outputs, batch, refine=refine, across_classes=across_classes).labels


def needed_outputs(clusterer: Clusterer) -> tuple[str, ...]:
    """Name the outputs of a network that a clusterer reads."""
    graph = isinstance(clusterer, GraphClusterer)
    return PER_EDGE if graph else ("embeddings", "margins", "seediness")


def label_batch(
    clusterer: Clusterer,
    outputs: Mapping[str, Tensor],
    batch: Batch,
    *,
    refine: bool = False,
    across_classes: bool = False,
) -> Labelled:
    """Do the work of :func:`assemble`; what an affinity graph was made of comes along."""
    check_refine(clusterer, refine)
    check_across_classes(clusterer, across_classes)
    needed = needed_outputs(clusterer)
    missing = [name for name in needed if name not in outputs]
    if missing:
        raise ValueError(
            f"{type(clusterer).__name__} needs the outputs {missing}, the network gives {sorted(outputs)}; "
            "choose another clusterer or another model"
        )
    if isinstance(clusterer, GraphClusterer):
        joined, logits = outputs["edges"], outputs["affinity"]
        if not across_classes:
            joined, logits = edges_within(joined, logits, batch.group)
        edges, affinity = joined.cpu().numpy(), torch.sigmoid(logits.float()).cpu().numpy()
        semantic = None if batch.semantic is None else batch.semantic.cpu().numpy()
        if isinstance(clusterer, AffinityGraphClusterer):
            labels = clusterer.fit_predict(edges, affinity, n=len(batch.tensor), semantic=semantic)
        else:
            event, places = np.split(batch.tensor.coords.cpu().numpy(), [1], axis=1)
            if batch.energy is None:
                raise ValueError(
                    "AgglomerativeClusterer looks at energies, the batch has none: collate_events"
                )
            labels = clusterer.fit_predict(
                edges,
                affinity,
                coords=places,
                energy=batch.energy.cpu().numpy(),
                semantic=semantic,
                event=event[:, 0],
            )
        return Labelled(labels, edges, affinity)
    embeddings, margins, seediness = (outputs[name].float() for name in needed)
    coords = batch.tensor.coords
    labels = clusterer.fit_predict(
        embeddings, margins, seediness, semantic=batch.semantic, event=coords[:, 0]
    )
    if refine:
        labels = repaired(labels, coords[:, 1:], embeddings, margins, group=batch.group)
    return Labelled(labels.cpu().numpy())


def check_refine(clusterer: Clusterer, refine: bool) -> None:
    """Refuse repairs of what needs none."""
    if refine and not isinstance(clusterer, GaussianKernelClusterer):
        raise ValueError(
            f"refine repairs the clusters of Gaussian kernels; those of {type(clusterer).__name__} are "
            "connected pieces already, leave refine out"
        )


def check_across_classes(clusterer: Clusterer, across_classes: bool) -> None:
    """Refuse it of what sees one class at a time."""
    if across_classes and not isinstance(clusterer, GraphClusterer):
        raise ValueError(
            f"across_classes is about the edges of an affinity graph; {type(clusterer).__name__} clusters "
            "each class for itself; set it to 'never'"
        )


def edges_within(edges: Tensor, values: Tensor, group: Tensor) -> tuple[Tensor, Tensor]:
    """Keep the edges (2, m) whose ends are of one group, and their values (m,)."""
    keep = _within(edges, group)
    return edges[:, keep], values[keep]


def _within(edges: Tensor, group: Tensor) -> Tensor:
    """Numbers of the edges (2, m) whose ends are of one group."""
    # On a CPU three times as fast as group[edges].
    first, second = (group.index_select(0, end) for end in edges)
    return torch.nonzero(first == second).flatten()
