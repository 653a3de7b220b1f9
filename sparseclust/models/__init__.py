"""Models: an encoder with branches of decoders and heads, and presets by name; weights of other programs."""

from sparseclust.models._branched import Branch, BranchedNet
from sparseclust.models._convert import convert_state_dict
from sparseclust.models._presets import edge_spice, edge_unet, semantic_unet, spice
from sparseclust.models._registry import create_model, list_models

__all__ = [
    "Branch",
    "BranchedNet",
    "convert_state_dict",
    "create_model",
    "edge_spice",
    "edge_unet",
    "list_models",
    "semantic_unet",
    "spice",
]
