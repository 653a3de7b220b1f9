"""A Monte Carlo of labelled LArTPC events: the library's own source of data."""

from sparseclust.data.simulation._generator import EventGenerator, SimulatedEvents
from sparseclust.data.simulation._material import Element, Material
from sparseclust.data.simulation._mix import EventMix, PrimaryGroup, Species
from sparseclust.data.simulation._primaries import Primary
from sparseclust.data.simulation._production import write_simulated
from sparseclust.data.simulation._projection import project_event
from sparseclust.data.simulation._response import DetectorResponse

__all__ = [
    "DetectorResponse",
    "Element",
    "EventGenerator",
    "EventMix",
    "Material",
    "Primary",
    "PrimaryGroup",
    "SimulatedEvents",
    "Species",
    "project_event",
    "write_simulated",
]
