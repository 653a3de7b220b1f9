"""Integer voxel coordinates: keys, neighbours, connected components. Shared by clustering and sparse."""

from sparseclust._voxels._keys import (
    VoxelKeys,
    component_labels,
    dense_ids,
    offsets_within,
    pack_keys,
    shifted_pairs,
    stable_order,
)

__all__ = [
    "VoxelKeys",
    "component_labels",
    "dense_ids",
    "offsets_within",
    "pack_keys",
    "shifted_pairs",
    "stable_order",
]
