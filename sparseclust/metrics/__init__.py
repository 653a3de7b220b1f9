"""Scores of any pair of partitions: exact, at any size, with numpy and scipy only.

Labels are opaque integers: ``-1`` is a cluster like any other; :func:`relabel_noise` gives it a meaning.
Arguments come as ``(labels_true, labels_pred)``. A score of no points is ``nan``.
"""

from sparseclust.metrics._contingency import contingency_matrix
from sparseclust.metrics._events import ClusterScores, score_clusters, score_events, score_matches
from sparseclust.metrics._information import (
    VariationOfInformation,
    adjusted_mutual_info_score,
    normalized_mutual_info_score,
    variation_of_information,
)
from sparseclust.metrics._matching import InstanceMatching, average_precision, match_instances
from sparseclust.metrics._noise import relabel_noise
from sparseclust.metrics._scores import (
    PartitionScores,
    adjusted_rand_score,
    best_dice,
    efficiency,
    purity,
    score_partition,
    symmetric_best_dice,
)
from sparseclust.metrics._summary import bootstrap, summarize_scores

__all__ = [
    "ClusterScores",
    "InstanceMatching",
    "PartitionScores",
    "VariationOfInformation",
    "adjusted_mutual_info_score",
    "adjusted_rand_score",
    "average_precision",
    "best_dice",
    "bootstrap",
    "contingency_matrix",
    "efficiency",
    "match_instances",
    "normalized_mutual_info_score",
    "purity",
    "relabel_noise",
    "score_clusters",
    "score_events",
    "score_matches",
    "score_partition",
    "summarize_scores",
    "symmetric_best_dice",
    "variation_of_information",
]
