"""Options of ``sparseclust train`` that come in groups: the network and the loss."""

from dataclasses import dataclass
from typing import Literal

MaskTerm = Literal["bce", "focal", "lovasz"]


@dataclass(frozen=True)
class NetworkOptions:
    """The network.

    Parameters
    ----------
    name : {"edge_spice", "edge_unet", "semantic_unet", "spice"}
        edge_unet scores edges between voxels, edge_spice does so beside the embeddings; spice is the
        published network. semantic_unet finds the semantic classes instead of particles.
    input_classes : int
        Semantic classes, one-hot, among the inputs beside energy and position; 0 as published. None for
        semantic_unet.
    base_channels : int
        Filters at the finest level.
    depth : int
        Levels of the U.
    reps : int
        Residual blocks per level.
    margin_dim : int
        1 for one margin per voxel, 3 for one per axis.
    initial_margin : float
        Margin of the untrained network, in units of half the volume.
    bridge_radius : float
        Longest gap over which edges are scored as well, in voxels; 0 for touching voxels alone.
    """

    name: Literal["edge_spice", "edge_unet", "semantic_unet", "spice"] = "edge_spice"
    input_classes: int = 4
    base_channels: int = 16
    depth: int = 5
    reps: int = 2
    margin_dim: int = 1
    initial_margin: float = 0.1
    bridge_radius: float = 6.0


@dataclass(frozen=True)
class LossOptions:
    """The loss.

    Parameters
    ----------
    mask : {"bce", "focal", "lovasz"}, or a mapping of these to weights
        Cost of kernel values against membership, such as `{bce: 1, lovasz: 1}`.
    average : {"group", "cluster", "voxel"}
        What counts the same: the classes of an event and then the events, every particle, or every voxel.
    seed : {"squared", "l1", "huber"}
        Distance of the seediness to its target.
    mask_weight : float
        Of the mask term.
    seed_weight : float
        Of the seediness regression.
    smooth_weight : float
        Of the variance of the margins within a particle.
    repulsion_weight : float
        Of the hinge between centroids.
    cut_weight : float
        Of an edge between two particles, relative to one within a particle.
    edge : {"bce", "focal", "lovasz"}
        Cost of the edges.
    maximin_weight : float
        Of the edges on which the partition hangs; 0 leaves them out.
    class_weights : list of floats, optional
        Of the voxels of each semantic class, for semantic_unet alone; by default all the same.
    """

    mask: MaskTerm | dict[MaskTerm, float] = "bce"
    average: Literal["group", "cluster", "voxel"] = "group"
    seed: Literal["squared", "l1", "huber"] = "squared"
    mask_weight: float = 1.0
    seed_weight: float = 1.0
    smooth_weight: float = 10.0
    repulsion_weight: float = 0.0
    cut_weight: float = 6.0
    edge: Literal["bce", "focal", "lovasz"] = "bce"
    maximin_weight: float = 1.0
    class_weights: list[float] | None = None
