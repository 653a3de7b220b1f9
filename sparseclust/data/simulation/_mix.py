"""What events are made of: mixes of primary particles, by name or from a configuration file."""

import json
import os
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from sparseclust._optional import require
from sparseclust.data.simulation._kernels_tables import HIGHEST, LOWEST

# By particle code.
PARTICLES = ("gamma", "e-", "e+", "mu-", "mu+", "pi+", "pi-", "pi0", "p")
_FILES = ("pilarnet", "crowded", "pileup")
_SINGLE = {f"single:{name}": name for name in PARTICLES}


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
            check_particle(name)
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
        Particles that leave one common point.
    rain : PrimaryGroup, optional
        Particles that start anywhere, each an interaction of its own.
    n_vertices : (int, int)
        At least and at most so many vertices, uniform; each draws its own particles and is an interaction.

    Notes
    -----
    All directions are isotropic. A mix can be written as a file, see :meth:`from_file`.

    Examples
    --------
    >>> from sparseclust.data.simulation import EventMix, PrimaryGroup, Species
    >>> pions = EventMix(vertex=PrimaryGroup((2, 3), [Species(["pi+", "pi-"], (0, 3), (100.0, 300.0))]))
    >>> EventMix.preset("crowded").vertex.n
    (4, 10)
    """

    vertex: PrimaryGroup | None = None
    rain: PrimaryGroup | None = None
    n_vertices: tuple[int, int] = (1, 1)

    def __post_init__(self) -> None:
        _check_range("n_vertices", self.n_vertices, 0, np.inf)

    @classmethod
    def preset(cls, name: str) -> "EventMix":
        """Return a mix by name.

        Parameters
        ----------
        name : str
            ``"pilarnet"``: a vertex of 1 to 5 particles and 2 to 11 scattered ones, tuned to the published
            statistics of PILArNet. ``"crowded"``: 4 to 10 particles at one vertex, nothing else.
            ``"pileup"``: 36 to 44 vertices and 100 to 140 scattered particles, 10^5 voxels.
            ``"single:mu-"`` and so on: one particle of that name, 50 to 600 MeV.

        Raises
        ------
        ValueError
            If there is no such mix; the message lists the names.
        """
        if name in _SINGLE:
            return cls(vertex=PrimaryGroup((1, 1), (Species((_SINGLE[name],), (1, 1), (50.0, 600.0)),)))
        if name not in _FILES:
            names = ", ".join(map(repr, (*_FILES, *_SINGLE)))
            raise ValueError(f"no mix is called {name!r}; choose one of {names}, or write a file of your own")
        folder = resources.files("sparseclust.data.simulation") / "mixes"
        return cls.from_dict(tomllib.loads((folder / f"{name}.toml").read_text()))

    @classmethod
    def from_file(cls, path: str | os.PathLike[str]) -> "EventMix":
        """Read a mix from a TOML, JSON or YAML file.

        Parameters
        ----------
        path : path
            File whose entries are the parameters of :class:`EventMix`, :class:`PrimaryGroup` and
            :class:`Species`; the presets are such files, in the folder ``mixes`` beside this module.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If its name ends otherwise, it cannot be parsed, or its entries are no mix.

        Examples
        --------
        >>> import tempfile, pathlib
        >>> from sparseclust.data.simulation import EventMix
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "protons.toml"
        >>> _ = path.write_text('''
        ... [vertex]
        ... n = [2, 5]
        ... species = [{ particles = ["p"], count = [0, 5], energy = [50, 400] }]
        ... ''')
        >>> EventMix.from_file(path).vertex.n
        (2, 5)
        """
        file = Path(path)
        parse = _PARSERS.get(file.suffix.lower())
        if parse is None:
            raise ValueError(f"{file}: a mix is a file that ends in {', '.join(_PARSERS)}")
        if not file.is_file():
            raise FileNotFoundError(f"{file}: no such file")
        try:
            return cls.from_dict(parse(file.read_text()))
        except Exception as error:  # each parser has errors of its own
            raise ValueError(f"{file}: {error}") from error

    @classmethod
    def from_dict(cls, entries: Mapping[str, Any]) -> "EventMix":
        """Build a mix from nested plain values, as :meth:`from_file` reads them.

        Raises
        ------
        ValueError
            If an entry is unknown, missing or out of range.
        """
        _check_entries(cls, entries)
        groups = {name: _group(name, entries[name]) for name in ("vertex", "rain") if name in entries}
        return cls(**groups, n_vertices=_pair("n_vertices", entries.get("n_vertices", (1, 1))))


def _group(name: str, entries: Any) -> PrimaryGroup:
    _check_entries(PrimaryGroup, entries)
    if not isinstance(entries["species"], Sequence):
        raise ValueError(f"{name}.species must be a list, got {entries['species']!r}")
    return PrimaryGroup(_pair("n", entries["n"]), tuple(_species(one) for one in entries["species"]))


def _species(entries: Any) -> Species:
    _check_entries(Species, entries)
    names = entries["particles"]
    return Species(
        particles=(names,) if isinstance(names, str) else tuple(names),
        count=_pair("count", entries["count"]),
        energy=_pair("energy", entries["energy"]),
        weight=entries.get("weight", 1.0),
    )


def _check_entries(kind: type, entries: Any) -> None:
    """Names of the entries are parameters of the class, and none without a default is missing."""
    if not isinstance(entries, Mapping):
        raise ValueError(f"expected the parameters of {kind.__name__} by name, got {entries!r}")
    known = {f.name: f.default is MISSING for f in fields(kind)}
    unknown = [name for name in entries if name not in known]
    missing = [name for name, needed in known.items() if needed and name not in entries]
    if unknown or missing:
        raise ValueError(
            f"{kind.__name__} has the parameters {', '.join(known)}; unknown: {unknown}, missing: {missing}"
        )


def _pair(name: str, values: Any) -> tuple[Any, Any]:
    if not isinstance(values, Sequence) or len(values) != 2 or isinstance(values, str):
        raise ValueError(f"{name} must be [low, high], got {values!r}")
    return values[0], values[1]


def check_particle(name: str) -> None:
    """Raise ValueError for a name that is no particle of the simulation."""
    if name not in PARTICLES:
        raise ValueError(f"no particle is called {name!r}; choose from {', '.join(map(repr, PARTICLES))}")


def _check_range(name: str, values: tuple[float, float], lowest: float, highest: float) -> None:
    if len(values) != 2 or not lowest <= values[0] <= values[1] <= highest:
        raise ValueError(f"{name} must be (low, high), {lowest} <= low <= high <= {highest}; got {values}")


def _parse_yaml(text: str) -> Any:
    return require("yaml", extra="train").safe_load(text)


_PARSERS: dict[str, Callable[[str], Any]] = {
    ".toml": tomllib.loads,
    ".json": json.loads,
    ".yaml": _parse_yaml,
    ".yml": _parse_yaml,
}
