"""A Monte Carlo of labelled LArTPC events: the library's own source of data."""

from sparseclust.data.simulation._generator import EventGenerator, SimulatedEvents
from sparseclust.data.simulation._mix import EventMix, Primary, PrimaryGroup, Species

__all__ = ["EventGenerator", "EventMix", "Primary", "PrimaryGroup", "SimulatedEvents", "Species"]
