"""Dense indices of the clusters and groups that opaque instance and group ids stand for."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Average = Literal["group", "cluster", "voxel"]


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
        groups, dense_group = _dense(group)
        members = torch.nonzero(instance >= 0).squeeze(1)
        own = instance[members]
        span = int(own.max()) + 1 if len(own) else 1
        if span * len(groups) >= 1 << 62:
            ids, own = torch.unique(own, return_inverse=True)
            span = len(ids)
        key = dense_group[members] * span + own
        keys, cluster = _dense(key)
        cluster_group = keys // span
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

    @property
    def label(self) -> Tensor:
        """Cluster (n,) of each voxel, -1 for none."""
        return torch.full_like(self.group, -1).index_copy(0, self.members, self.cluster)

    def of_groups(self, values: Tensor, name: str) -> Tensor:
        """Value (G,) of each group, where ``values`` (n,) are the same for all voxels of a group."""
        found = values.new_zeros(len(self.group_size)).index_copy(0, self.group, values)
        if not torch.equal(found[self.group], values):
            raise ValueError(f"{name} must be the same for all voxels of a group")
        return found

    def group_weight(self, average: Average, event: Tensor | None, dtype: torch.dtype) -> Tensor:
        """Weight (G,) of each group in the mean over groups, 0 for a group without truth.

        Parameters
        ----------
        average : {"group", "cluster", "voxel"}
            What counts the same: the groups of an event and then the events, every cluster, or every voxel.
        event : (n,) int64 tensor, optional
            Of each voxel, for ``"group"``; without it all groups count the same.
        dtype : torch.dtype
            Of the result.
        """
        known = (self.group_clusters > 0).to(dtype)
        if average == "cluster":
            known = known * self.group_clusters
        elif average == "voxel":
            known = known * self.group_size
        elif event is not None:
            events, of_group = torch.unique(self.of_groups(event, "event"), return_inverse=True)
            groups = known.new_zeros(len(events)).index_add(0, of_group, known)
            known = known / groups.clamp_min(1)[of_group]
        return known / known.sum().clamp_min(torch.finfo(dtype).tiny)


def _dense(values: Tensor) -> tuple[Tensor, Tensor]:
    """Do as ``torch.unique(values, return_inverse=True)``, without sorting where the values are crowded."""
    if len(values):
        low, high = (int(end) for end in torch.aminmax(values))
        if high - low < 4 * len(values):
            present = torch.bincount(values - low) > 0
            return torch.nonzero(present).squeeze(1) + low, (present.cumsum(0) - 1)[values - low]
    unique, inverse = torch.unique(values, return_inverse=True)
    return unique, inverse
