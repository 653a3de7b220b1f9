"""From events to particle labels: what another reconstruction chain imports."""

from sparseclust.pipeline._assemble import assemble, edges_within, network_outputs
from sparseclust.pipeline._classifier import SemanticClassifier
from sparseclust.pipeline._files import write_predictions
from sparseclust.pipeline._model_file import describe_pretrained, list_pretrained
from sparseclust.pipeline._prediction import Prediction
from sparseclust.pipeline._predictor import PARTICLE_CLASSES, AcrossClasses, Predictor
from sparseclust.pipeline._production import PredictedFile, classify_file, predict_file
from sparseclust.pipeline._tiles import TiledNetwork

__all__ = [
    "PARTICLE_CLASSES",
    "AcrossClasses",
    "PredictedFile",
    "Prediction",
    "Predictor",
    "SemanticClassifier",
    "TiledNetwork",
    "assemble",
    "classify_file",
    "describe_pretrained",
    "edges_within",
    "list_pretrained",
    "network_outputs",
    "predict_file",
    "write_predictions",
]
