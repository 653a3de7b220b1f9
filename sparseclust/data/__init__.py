"""Events: files, inputs of the network, augmentation, batches, simulation.

Reading files needs neither torch nor numba: the names that need them, and the subpackage ``simulation``,
load on first use.
"""

import importlib
from typing import TYPE_CHECKING, Any

from sparseclust.data._arrays import events_from_arrays, events_from_table
from sparseclust.data._duplicates import coalesce_event
from sparseclust.data._event import Event, SemanticClass
from sparseclust.data._inputs import VoxelInputs
from sparseclust.data._mixing import MixEvents, overlay_events
from sparseclust.data._open import open_events
from sparseclust.data._parts import concatenate_events, split_events
from sparseclust.data._pilarnet import PilarnetFile
from sparseclust.data._revoxel import RandomJitter, RandomRotation
from sparseclust.data._sequence import voxel_counts
from sparseclust.data._spine import SpineFile
from sparseclust.data._spine_writer import write_spine
from sparseclust.data._store import EventStore, write_events
from sparseclust.data._transforms import (
    Compose,
    RandomCrop,
    RandomFlip,
    RandomSymmetry,
    ScaleEnergy,
    Transform,
    VoxelDropout,
)
from sparseclust.data._virtual import link_events

if TYPE_CHECKING:
    from sparseclust.data import simulation
    from sparseclust.data._collate import Batch, collate_events
    from sparseclust.data._dataset import VoxelDataset

__all__ = [
    "Batch",
    "Compose",
    "Event",
    "EventStore",
    "MixEvents",
    "PilarnetFile",
    "RandomCrop",
    "RandomFlip",
    "RandomJitter",
    "RandomRotation",
    "RandomSymmetry",
    "ScaleEnergy",
    "SemanticClass",
    "SpineFile",
    "Transform",
    "VoxelDataset",
    "VoxelDropout",
    "VoxelInputs",
    "coalesce_event",
    "collate_events",
    "concatenate_events",
    "events_from_arrays",
    "events_from_table",
    "link_events",
    "open_events",
    "overlay_events",
    "simulation",
    "split_events",
    "voxel_counts",
    "write_events",
    "write_spine",
]

_LAZY = {"Batch": "_collate", "collate_events": "_collate", "VoxelDataset": "_dataset"}


def __getattr__(name: str) -> Any:
    if name == "simulation":
        return importlib.import_module("sparseclust.data.simulation")
    if name in _LAZY:
        return getattr(importlib.import_module(f"sparseclust.data.{_LAZY[name]}"), name)
    raise AttributeError(f"module 'sparseclust.data' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
