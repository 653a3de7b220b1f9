"""Dense indices of the clusters and groups that opaque instance and group ids stand for."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from sparseclust.losses.functional import segment_mean

Average = Literal["group", "cluster", "voxel"]

_ROWS = 1 << 16


@dataclass(frozen=True)
class Partition:
    """Who belongs to what. G groups, K clusters; the clusters of a group are consecutive."""

    group: Tensor  # (n,) in [0, G)
    label: Tensor  # (n,) cluster in [0, K), or K for none
    cluster_group: Tensor  # (K,)
    group_size: Tensor  # (G,) voxels, background included
    group_clusters: Tensor  # (G,)
    first_cluster: Tensor  # (G,)

    @classmethod
    def of(cls, instance: Tensor, group: Tensor) -> "Partition":
        """Index instances (-1 = none) within groups; one instance id in two groups is two clusters."""
        groups, dense_group = _dense(group)
        span = max(int(instance.max()) + 1, 1) if len(instance) else 1
        if span * len(groups) >= 1 << 62:
            ids, dense_instance = torch.unique(instance, return_inverse=True)
            instance = torch.where(instance < 0, -1, dense_instance)
            span = len(ids)
        none = span * len(groups)
        keys, label = _dense(torch.where(instance < 0, none, dense_group * span + instance))
        cluster_group = keys[keys < none] // span
        clusters = torch.bincount(cluster_group, minlength=len(groups))
        return cls(
            group=dense_group,
            label=label,
            cluster_group=cluster_group,
            group_size=torch.bincount(dense_group, minlength=len(groups)),
            group_clusters=clusters,
            first_cluster=clusters.cumsum(0) - clusters,
        )

    @property
    def n_clusters(self) -> int:
        """K."""
        return len(self.cluster_group)

    def means(self, values: Tensor) -> Tensor:
        """Mean (K, ...) over the voxels (n, ...) of each cluster."""
        return segment_mean(values, self.label, self.n_clusters + 1)[:-1]

    def of_voxels(self, values: Tensor, rows: slice = slice(None)) -> Tensor:
        """Value of the cluster (K, ...) of each voxel (n, ...), 0 where there is none."""
        return torch.cat([values, values.new_zeros(1, *values.shape[1:])]).index_select(0, self.label[rows])

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
            present = torch.zeros(high - low + 1, dtype=torch.bool, device=values.device)
            for rows in torch.split(values, _ROWS):
                present[rows - low] = True
            rank = present.cumsum(0, dtype=torch.int32)
            index = torch.empty(values.shape, dtype=torch.int64, device=values.device)
            for rows, place in zip(torch.split(values, _ROWS), torch.split(index, _ROWS)):
                place.copy_(rank[rows - low]).sub_(1)
            return torch.nonzero(present).squeeze(1) + low, index
    unique, inverse = torch.unique(values, return_inverse=True)
    return unique, inverse
