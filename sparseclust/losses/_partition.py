"""Dense indices of the clusters and groups that opaque instance and group ids stand for."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Partition:
    """Who belongs to what. G groups, K clusters; the clusters of a group are consecutive."""

    group: Tensor  # (n,) in [0, G)
    members: Tensor  # (m,) rows with an instance
    cluster: Tensor  # (m,) in [0, K), cluster of each member
    cluster_group: Tensor  # (K,)
    group_size: Tensor  # (G,) voxels, background included
    group_clusters: Tensor  # (G,)
    first_cluster: Tensor  # (G,)

    @classmethod
    def of(cls, instance: Tensor, group: Tensor) -> "Partition":
        """Index instances (-1 = none) within groups; one instance id in two groups is two clusters."""
        groups, dense_group = torch.unique(group, return_inverse=True)
        members = torch.nonzero(instance >= 0).squeeze(1)
        ids, dense_instance = torch.unique(instance[members], return_inverse=True)
        key = dense_group[members] * len(ids) + dense_instance
        keys, cluster = torch.unique(key, return_inverse=True)
        cluster_group = keys // max(len(ids), 1)
        clusters = torch.bincount(cluster_group, minlength=len(groups))
        return cls(
            group=dense_group,
            members=members,
            cluster=cluster,
            cluster_group=cluster_group,
            group_size=torch.bincount(dense_group, minlength=len(groups)),
            group_clusters=clusters,
            first_cluster=clusters.cumsum(0) - clusters,
        )

    @property
    def n_clusters(self) -> int:
        """K."""
        return len(self.cluster_group)

    def group_weight(self, dtype: torch.dtype) -> Tensor:
        """Weight (G,) of each group: 1 / (groups with a cluster), 0 for a group without truth."""
        known = (self.group_clusters > 0).to(dtype)
        return known / known.sum().clamp_min(1)

    def cluster_weight(self, dtype: torch.dtype) -> Tensor:
        """Weight (K,) that averages over the clusters of a group, then over groups."""
        return (self.group_weight(dtype) / self.group_clusters.clamp_min(1))[self.cluster_group]

    def voxel_weight(self, dtype: torch.dtype) -> Tensor:
        """Weight (n,) that averages over the voxels of a group, then over groups."""
        return (self.group_weight(dtype) / self.group_size)[self.group]
