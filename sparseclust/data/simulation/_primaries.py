"""Primary particles, and how a mix draws them."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sparseclust.data.simulation._kernels_particles import isotropic
from sparseclust.data.simulation._kernels_random import uniform
from sparseclust.data.simulation._kernels_tables import HIGHEST, LOWEST
from sparseclust.data.simulation._mix import EventMix, PrimaryGroup, check_particle

EDGE = 0.05  # vertices keep this fraction of the volume as distance from its faces


class Primary(NamedTuple):
    """A particle at its start.

    Attributes
    ----------
    particle : str
        One of ``"gamma"``, ``"e-"``, ``"e+"``, ``"mu-"``, ``"mu+"``, ``"pi+"``, ``"pi-"``, ``"pi0"``,
        ``"p"``.
    energy : float
        Kinetic energy in MeV.
    position : tuple of 3 floats
        In cm from the corner of the volume.
    direction : tuple of 3 floats
        Unit vector.
    interaction : int
        Primaries of one vertex share this number.
    """

    particle: str
    energy: float
    position: tuple[float, float, float]
    direction: tuple[float, float, float]
    interaction: int = 0


def check_primary(primary: Primary) -> None:
    """Raise ValueError for a primary that cannot be transported."""
    check_particle(primary.particle)
    if not LOWEST <= primary.energy <= HIGHEST:
        raise ValueError(
            f"energy must be {LOWEST} to {HIGHEST} MeV, got {primary.energy} for {primary.particle}"
        )
    if not np.isfinite(primary.position).all():
        raise ValueError(f"position must be finite, got {primary.position}")
    if not abs(np.linalg.norm(primary.direction) - 1.0) < 1e-6:
        raise ValueError(f"direction must be a unit vector, got {primary.direction}; divide it by its norm")


def draw_primaries(mix: EventMix, extent: float, stream: npt.NDArray[np.uint64]) -> list[Primary]:
    """Draw the primaries of one event from a random stream, in a volume of ``extent`` cm per axis.

    Interactions are numbered: vertices first, then the particles of the rain.
    """
    primaries = []
    vertices = _draw_count(mix.n_vertices, stream) if mix.vertex is not None else 0
    if mix.vertex is not None:
        for number in range(vertices):
            vertex = _draw_position(EDGE * extent, (1.0 - EDGE) * extent, stream)
            for name, energy in _draw_group(mix.vertex, stream):
                primaries.append(Primary(name, energy, vertex, isotropic(stream), number))
    if mix.rain is not None:
        for number, (name, energy) in enumerate(_draw_group(mix.rain, stream), start=max(vertices, 1)):
            start = _draw_position(0.0, extent, stream)
            primaries.append(Primary(name, energy, start, isotropic(stream), number))
    return primaries


def _draw_group(group: PrimaryGroup, stream: npt.NDArray[np.uint64]) -> list[tuple[str, float]]:
    n = _draw_count(group.n, stream)
    counts = [s.count[0] for s in group.species]
    while sum(counts) < n:
        weights = [s.weight * (c < s.count[1]) for s, c in zip(group.species, counts)]
        counts[_draw_index(np.cumsum(weights), stream)] += 1
    return [
        (s.particles[int(uniform(stream) * len(s.particles))], _draw_between(*s.energy, stream))
        for s, count in zip(group.species, counts)
        for _ in range(count)
    ]


def _draw_count(limits: tuple[int, int], stream: npt.NDArray[np.uint64]) -> int:
    """Uniform whole number; no random number is spent where there is no choice."""
    low, high = limits
    return low if low == high else low + int(uniform(stream) * (high - low + 1))


def _draw_index(cumulative: npt.NDArray[np.float64], stream: npt.NDArray[np.uint64]) -> int:
    return int(np.searchsorted(cumulative, uniform(stream) * cumulative[-1], side="right"))


def _draw_between(low: float, high: float, stream: npt.NDArray[np.uint64]) -> float:
    return low + (high - low) * float(uniform(stream))


def _draw_position(low: float, high: float, stream: npt.NDArray[np.uint64]) -> tuple[float, float, float]:
    x, y, z = (_draw_between(low, high, stream) for _ in range(3))
    return x, y, z
