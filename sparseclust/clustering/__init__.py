"""From embeddings to clusters, and from voxels to connected pieces, on NumPy arrays or torch tensors."""

from sparseclust.clustering._affinity import AffinityGraphClusterer, kernel_affinity
from sparseclust.clustering._agglomerative import AgglomerativeClusterer
from sparseclust.clustering._bridges import bridge_edges
from sparseclust.clustering._clusterer import GaussianKernelClusterer
from sparseclust.clustering._gaussian import cluster_embeddings, gaussian_kernel
from sparseclust.clustering._judge import FragmentJudge, FragmentPairs, Judge
from sparseclust.clustering._neighbours import connected_components, dbscan_voxels, neighbour_edges
from sparseclust.clustering._repair import absorb_fragments, merge_touching, refine, split_disconnected
from sparseclust.clustering._scan import scan_affinities, scan_kernels

__all__ = [
    "AffinityGraphClusterer",
    "AgglomerativeClusterer",
    "FragmentJudge",
    "FragmentPairs",
    "GaussianKernelClusterer",
    "Judge",
    "absorb_fragments",
    "bridge_edges",
    "cluster_embeddings",
    "connected_components",
    "dbscan_voxels",
    "gaussian_kernel",
    "kernel_affinity",
    "merge_touching",
    "neighbour_edges",
    "refine",
    "scan_affinities",
    "scan_kernels",
    "split_disconnected",
]
