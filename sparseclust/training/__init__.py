"""Train, evaluate and keep models: Lightning around the library's parts (extra ``train``)."""

from sparseclust.training._average import WeightAverage
from sparseclust.training._best import BestModel
from sparseclust.training._checkpoint import ResumePoint
from sparseclust.training._data import EventDataModule
from sparseclust.training._evaluate import PUBLISHED, Scorer, dbscan_labels, evaluate
from sparseclust.training._judge import judge_examples, train_judge
from sparseclust.training._metrics import PartitionMetric
from sparseclust.training._module import SpatialEmbeddingModule
from sparseclust.training._schedule import BudgetSchedule
from sparseclust.training._semantic import SemanticModule
from sparseclust.training._start import start_from
from sparseclust.training._thresholds import ThresholdScan, with_thresholds
from sparseclust.training._train import train
from sparseclust.training._tune import tune_thresholds

__all__ = [
    "PUBLISHED",
    "BestModel",
    "BudgetSchedule",
    "EventDataModule",
    "PartitionMetric",
    "ResumePoint",
    "Scorer",
    "SemanticModule",
    "SpatialEmbeddingModule",
    "ThresholdScan",
    "WeightAverage",
    "dbscan_labels",
    "evaluate",
    "judge_examples",
    "start_from",
    "train",
    "train_judge",
    "tune_thresholds",
    "with_thresholds",
]
