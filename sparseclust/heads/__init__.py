"""Heads: features of a voxel to predictions, row for row."""

from sparseclust.heads._heads import EdgeAffinityHead, EmbeddingHead, MarginHead, SeedinessHead, SemanticHead
from sparseclust.heads._protocol import EdgeHead, Head

__all__ = [
    "EdgeAffinityHead",
    "EdgeHead",
    "EmbeddingHead",
    "Head",
    "MarginHead",
    "SeedinessHead",
    "SemanticHead",
]
