"""Sparse tensors and convolutions in any number of dimensions: layers own weights, engines do arithmetic."""

from sparseclust.sparse._batch import cat, coalesce, collate
from sparseclust.sparse._conv import sparse_conv
from sparseclust.sparse._event_norms import GroupNorm, InstanceNorm
from sparseclust.sparse._layers import GenerativeConv, InverseConv, StridedConv, SubmanifoldConv
from sparseclust.sparse._maps import KernelMap, generative_map, strided_map, submanifold_map
from sparseclust.sparse._norms import (
    BatchNorm,
    Dropout,
    GlobalPool,
    LayerNorm,
    LeakyReLU,
    Linear,
    ReLU,
    Sequential,
)
from sparseclust.sparse._pools import AvgPool, MaxPool, SumPool, Unpool
from sparseclust.sparse._tensor import SparseTensor
from sparseclust.sparse.engines import available_engines, register_engine, use_engine

__all__ = [
    "AvgPool",
    "BatchNorm",
    "Dropout",
    "GenerativeConv",
    "GlobalPool",
    "GroupNorm",
    "InstanceNorm",
    "InverseConv",
    "KernelMap",
    "LayerNorm",
    "LeakyReLU",
    "Linear",
    "MaxPool",
    "ReLU",
    "Sequential",
    "SparseTensor",
    "StridedConv",
    "SubmanifoldConv",
    "SumPool",
    "Unpool",
    "available_engines",
    "cat",
    "coalesce",
    "collate",
    "generative_map",
    "register_engine",
    "sparse_conv",
    "strided_map",
    "submanifold_map",
    "use_engine",
]
