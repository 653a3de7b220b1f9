"""Train, evaluate and keep models: Lightning around the library's parts (extra ``train``)."""

from sparseclust.training._data import EventDataModule
from sparseclust.training._evaluate import PUBLISHED, Scorer, dbscan_labels, evaluate
from sparseclust.training._metrics import PartitionMetric
from sparseclust.training._module import SpatialEmbeddingModule
from sparseclust.training._schedule import BudgetSchedule
from sparseclust.training._thresholds import ThresholdScan, with_thresholds
from sparseclust.training._train import ResumePoint, train
from sparseclust.training._tune import tune_thresholds

__all__ = [
    "PUBLISHED",
    "BudgetSchedule",
    "EventDataModule",
    "PartitionMetric",
    "ResumePoint",
    "Scorer",
    "SpatialEmbeddingModule",
    "ThresholdScan",
    "dbscan_labels",
    "evaluate",
    "train",
    "tune_thresholds",
    "with_thresholds",
]
