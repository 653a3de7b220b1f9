"""Training losses for embeddings, edge affinities and classes: tensors in, scalars out, no model attached."""

from sparseclust.losses import functional
from sparseclust.losses._edges import EdgeAffinityLoss
from sparseclust.losses._maximin import MaximinAffinityLoss
from sparseclust.losses._semantic import SemanticLoss
from sparseclust.losses._spatial import SpatialEmbeddingLoss
from sparseclust.losses.functional import segment_mean

__all__ = [
    "EdgeAffinityLoss",
    "MaximinAffinityLoss",
    "SemanticLoss",
    "SpatialEmbeddingLoss",
    "functional",
    "segment_mean",
]
