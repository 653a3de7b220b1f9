"""From embeddings to clusters, and from voxels to connected pieces, on NumPy arrays or torch tensors."""

from sparseclust.clustering._gaussian import cluster_embeddings, gaussian_kernel
from sparseclust.clustering._neighbours import connected_components, dbscan_voxels, neighbour_edges

__all__ = [
    "cluster_embeddings",
    "connected_components",
    "dbscan_voxels",
    "gaussian_kernel",
    "neighbour_edges",
]
