"""What an event starts from: primary particles, and the mixes that draw them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sparseclust.data.simulation._kernels_particles import isotropic
from sparseclust.data.simulation._kernels_random import uniform
from sparseclust.data.simulation._kernels_tables import HIGHEST, LOWEST

# By particle code.
PARTICLES = ("gamma", "e-", "e+", "mu-", "mu+", "pi+", "pi-", "pi0", "p")
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


@dataclass(frozen=True)
class Species:
    """Particles of one kind among the primaries.

    Parameters
    ----------
    particles : sequence of str
        Names of which each particle takes one at random.
    count : (int, int)
        At least and at most so many of them in a group.
    energy : (float, float)
        Range of the kinetic energy in MeV, uniform.
    weight : float
        Share in the draws that fill the group up.
    """

    particles: Sequence[str]
    count: tuple[int, int]
    energy: tuple[float, float]
    weight: float = 1.0

    def __post_init__(self) -> None:
        for name in self.particles:
            _check_particle(name)
        if not self.particles:
            raise ValueError("particles must name at least one particle")
        _check_range("count", self.count, 0, np.inf)
        _check_range("energy", self.energy, LOWEST, HIGHEST)
        if not self.weight > 0:
            raise ValueError(f"weight must be positive, got {self.weight}")


@dataclass(frozen=True)
class PrimaryGroup:
    """A number of particles, drawn from several species.

    Parameters
    ----------
    n : (int, int)
        At least and at most so many particles, uniform.
    species : sequence of Species
        Each gives its smallest count; the rest is drawn one by one with their weights.
    """

    n: tuple[int, int]
    species: Sequence[Species]

    def __post_init__(self) -> None:
        _check_range("n", self.n, 0, np.inf)
        lowest = sum(s.count[0] for s in self.species)
        highest = sum(s.count[1] for s in self.species)
        if self.n[0] < lowest or self.n[1] > highest:
            raise ValueError(
                f"n = {tuple(self.n)} cannot be drawn from species giving {lowest} to {highest} particles; "
                "widen the counts of the species or narrow n"
            )


@dataclass(frozen=True)
class EventMix:
    """What the primaries of an event are.

    Parameters
    ----------
    vertex : PrimaryGroup, optional
        Particles that leave one common point, interaction 0.
    rain : PrimaryGroup, optional
        Particles that start anywhere, each an interaction of its own.

    Notes
    -----
    All directions are isotropic. Mixes hold plain values, so that a configuration file can spell one out.

    Examples
    --------
    >>> from sparseclust.data.simulation import EventMix, PrimaryGroup, Species
    >>> pions = EventMix(vertex=PrimaryGroup((2, 3), [Species(["pi+", "pi-"], (0, 3), (100.0, 300.0))]))
    >>> EventMix.preset("pilarnet").rain.n
    (4, 9)
    """

    vertex: PrimaryGroup | None = None
    rain: PrimaryGroup | None = None

    @classmethod
    def preset(cls, name: str) -> "EventMix":
        """Return a mix by name.

        Parameters
        ----------
        name : str
            ``"pilarnet"``: a vertex of 1 to 5 particles and 4 to 9 scattered ones, tuned to the published
            statistics of PILArNet. ``"crowded"``: 4 to 10 particles at one vertex, nothing else.
            ``"single:mu-"`` and so on: one particle of that name, 50 to 600 MeV.

        Raises
        ------
        ValueError
            If there is no such mix; the message lists the names.
        """
        if name not in _PRESETS:
            raise ValueError(f"no mix is called {name!r}; choose one of {', '.join(map(repr, _PRESETS))}")
        return _PRESETS[name]


def check_primary(primary: Primary) -> None:
    """Raise ValueError for a primary that cannot be transported."""
    _check_particle(primary.particle)
    if not LOWEST <= primary.energy <= HIGHEST:
        raise ValueError(
            f"energy must be {LOWEST} to {HIGHEST} MeV, got {primary.energy} for {primary.particle}"
        )
    if not np.isfinite(primary.position).all():
        raise ValueError(f"position must be finite, got {primary.position}")
    if not abs(np.linalg.norm(primary.direction) - 1.0) < 1e-6:
        raise ValueError(f"direction must be a unit vector, got {primary.direction}; divide it by its norm")


def draw_primaries(mix: EventMix, extent: float, stream: npt.NDArray[np.uint64]) -> list[Primary]:
    """Draw the primaries of one event from a random stream, in a volume of ``extent`` cm per axis."""
    primaries = []
    if mix.vertex is not None:
        vertex = _draw_position(EDGE * extent, (1.0 - EDGE) * extent, stream)
        for name, energy in _draw_group(mix.vertex, stream):
            primaries.append(Primary(name, energy, vertex, isotropic(stream), 0))
    if mix.rain is not None:
        for number, (name, energy) in enumerate(_draw_group(mix.rain, stream), start=1):
            start = _draw_position(0.0, extent, stream)
            primaries.append(Primary(name, energy, start, isotropic(stream), number))
    return primaries


def _draw_group(group: PrimaryGroup, stream: npt.NDArray[np.uint64]) -> list[tuple[str, float]]:
    n = group.n[0] + int(uniform(stream) * (group.n[1] - group.n[0] + 1))
    counts = [s.count[0] for s in group.species]
    while sum(counts) < n:
        weights = [s.weight * (c < s.count[1]) for s, c in zip(group.species, counts)]
        counts[_draw_index(np.cumsum(weights), stream)] += 1
    return [
        (s.particles[int(uniform(stream) * len(s.particles))], _draw_between(*s.energy, stream))
        for s, count in zip(group.species, counts)
        for _ in range(count)
    ]


def _draw_index(cumulative: npt.NDArray[np.float64], stream: npt.NDArray[np.uint64]) -> int:
    return int(np.searchsorted(cumulative, uniform(stream) * cumulative[-1], side="right"))


def _draw_between(low: float, high: float, stream: npt.NDArray[np.uint64]) -> float:
    return low + (high - low) * float(uniform(stream))


def _draw_position(low: float, high: float, stream: npt.NDArray[np.uint64]) -> tuple[float, float, float]:
    x, y, z = (_draw_between(low, high, stream) for _ in range(3))
    return x, y, z


def _check_particle(name: str) -> None:
    if name not in PARTICLES:
        raise ValueError(f"no particle is called {name!r}; choose from {', '.join(map(repr, PARTICLES))}")


def _check_range(name: str, values: tuple[float, float], lowest: float, highest: float) -> None:
    if len(values) != 2 or not lowest <= values[0] <= values[1] <= highest:
        raise ValueError(f"{name} must be (low, high), {lowest} <= low <= high <= {highest}; got {values}")


_PRESETS = {
    "pilarnet": EventMix(
        vertex=PrimaryGroup(
            (1, 5),
            (
                Species(("e-", "e+", "mu-", "mu+"), (1, 1), (50.0, 600.0), 3.0),
                Species(("pi0",), (0, 2), (20.0, 300.0), 3.0),
                Species(("pi+", "pi-"), (0, 2), (50.0, 400.0), 0.7),
                Species(("p",), (0, 2), (50.0, 400.0), 0.7),
            ),
        ),
        rain=PrimaryGroup(
            (4, 9),
            (
                Species(("mu-", "mu+"), (0, 9), (100.0, 800.0), 6.0),
                Species(("e-", "e+"), (0, 3), (20.0, 200.0), 1.0),
                Species(("gamma",), (0, 3), (20.0, 200.0), 1.0),
            ),
        ),
    ),
    "crowded": EventMix(
        vertex=PrimaryGroup(
            (4, 10),
            (
                Species(("mu-", "mu+"), (0, 4), (50.0, 600.0), 1.1),
                Species(("e-", "e+"), (0, 2), (50.0, 600.0), 0.6),
                Species(("pi0",), (0, 3), (20.0, 300.0), 0.8),
                Species(("pi+", "pi-"), (0, 4), (50.0, 400.0), 1.0),
                Species(("p",), (0, 4), (50.0, 400.0), 1.1),
            ),
        ),
    ),
} | {
    f"single:{name}": EventMix(vertex=PrimaryGroup((1, 1), (Species((name,), (1, 1), (50.0, 600.0)),)))
    for name in PARTICLES
}
