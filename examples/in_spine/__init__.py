"""sparseclust inside SPINE 1.4, without a change to SPINE: network, clusterer and scores as its components.

Copy this folder beside your configuration, or put ``examples`` on ``PYTHONPATH``. A full chain finds stages
by their import paths, ``provider: "in_spine:NETWORK"`` and ``provider: "in_spine:CLUSTERER"``. Analysis
scripts have no such path: :func:`register_scores` enters ours beside SPINE's own. ``python -m in_spine`` does
that and is SPINE's command line otherwise::

    python -m in_spine -c examples/in_spine/chain.yaml -s events.h5

Stages and their products::

    point_data, seg_pred -> NETWORK   -> embeddings, margins, seediness, edges, affinity,
                                         filter_index, filter_shapes
                         -> CLUSTERER -> fragment_clusts, fragment_shapes

The network is a torch module of the chain: SPINE trains it, saves it and moves it to devices.
"""

from in_spine._clusterer import CLUSTERER, ClustererStage
from in_spine._network import NETWORK, NetworkLoss, NetworkStage
from in_spine._scores import PartitionScoresAna, register_scores

__all__ = [
    "CLUSTERER",
    "NETWORK",
    "ClustererStage",
    "NetworkLoss",
    "NetworkStage",
    "PartitionScoresAna",
    "register_scores",
]
