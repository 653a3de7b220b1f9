"""The event generator and the data set made of its events."""

from collections.abc import Sequence
from typing import overload

import numpy as np

from sparseclust.data._event import Event
from sparseclust.data.simulation._formulas import tabulate
from sparseclust.data.simulation._kernels_particles import (
    CODE,
    DEPOSIT,
    DIRECTION,
    ENERGY,
    FULL,
    INTERACTION,
    N_DEPOSITS,
    N_PARTICLES,
    PARENT,
    POSITION,
    RECORD,
    Detector,
    Run,
)
from sparseclust.data.simulation._kernels_random import new_stream
from sparseclust.data.simulation._kernels_transport import transport
from sparseclust.data.simulation._labels import FloatArray, label_event
from sparseclust.data.simulation._material import MATERIALS, Material
from sparseclust.data.simulation._mix import PARTICLES, EventMix
from sparseclust.data.simulation._primaries import Primary, check_primary, draw_primaries
from sparseclust.data.simulation._response import DetectorResponse

MAX_SPATIAL_SIZE = 16384  # beyond it a voxel and its family no longer fit one 64-bit key
PRIMARY_LANE, TRANSPORT_LANE, RESPONSE_LANE = range(3)
CAPACITY = 1 << 14  # deposits that fit the buffers at first
NO_RESPONSE = DetectorResponse()


class EventGenerator:
    """Simulated LArTPC events with their truth, from published formulas and no data files.

    Parameters
    ----------
    mix : str or EventMix
        What the events start from; a string is the name of a preset, see :meth:`EventMix.preset`.
    rng : int or numpy.random.Generator
        The seed. A generator is asked for one, once, and is not kept.
    spatial_size : int
        Voxels per axis, at most 16384.
    voxel_size : float
        Edge of a voxel in cm. Particles move in steps of 0.1 cm, so finer voxels leave gaps in tracks.
    small : {"scatter", "parent"}
        What becomes of shower pieces of fewer than 10 voxels: class 4 without an instance, or voxels of the
        particle that made them. Both conventions are published.
    material : str or Material
        The medium: ``"liquid argon"``, ``"water"``, ``"liquid xenon"``, or one of your own.
    response : DetectorResponse
        What the detector makes of the deposits; by default they are read out as they are.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range or of another kind.

    Notes
    -----
    Event ``i`` of a seed depends on the two numbers alone (a counter-based generator, Philox-4x32-10): it is
    the same in any process, in any order and whatever was simulated before. There is no state but the
    counter of :meth:`event`; a generator can be pickled and used in DataLoader workers.

    A usual event takes 10 to 15 ms on one core (``benchmarks/compare_simulation.py`` prints it). The first
    one of a new installation compiles the transport, some 15 s, and caches it on disk.

    Examples
    --------
    >>> from sparseclust.data.simulation import EventGenerator
    >>> generator = EventGenerator("single:mu-", rng=1)
    >>> event = generator.event(5)
    >>> event.coords.shape[1], sorted(event.extra)
    (3, ['group', 'interaction', 'pid'])
    >>> bool((EventGenerator("single:mu-", rng=1).event(5).coords == event.coords).all())
    True
    """

    def __init__(
        self,
        mix: str | EventMix = "pilarnet",
        *,
        rng: int | np.random.Generator = 0,
        spatial_size: int = 768,
        voxel_size: float = 0.3,
        small: str = "scatter",
        material: str | Material = "liquid argon",
        response: DetectorResponse = NO_RESPONSE,
    ) -> None:
        if not 1 <= spatial_size <= MAX_SPATIAL_SIZE:
            raise ValueError(f"spatial_size must be 1 to {MAX_SPATIAL_SIZE} voxels, got {spatial_size}")
        if not 0.0 < voxel_size < np.inf:
            raise ValueError(f"voxel_size must be a positive length in cm, got {voxel_size}")
        if small not in ("scatter", "parent"):
            raise ValueError(f"small must be 'scatter' or 'parent', got {small!r}")
        if not isinstance(mix, str | EventMix):
            raise TypeError(f"mix must be an EventMix or the name of a preset, got {type(mix).__name__}")
        self.mix = EventMix.preset(mix) if isinstance(mix, str) else mix
        if isinstance(material, str) and material not in MATERIALS:
            names = ", ".join(map(repr, MATERIALS))
            raise ValueError(f"no material is called {material!r}; choose from {names}, or give a Material")
        self.material = MATERIALS[material] if isinstance(material, str) else material
        self.response = response
        self.seed = _seed(rng)
        self.spatial_size = spatial_size
        self.voxel_size = voxel_size
        self.small = small
        self._next = 0

    def event(self, index: int | None = None) -> Event:
        """Simulate one event.

        Parameters
        ----------
        index : int, optional
            Number of the event, 0 to 2**64 - 1. Without it, the first call gives event 0, the next event 1...

        Returns
        -------
        Event
            ``feats`` (n, 1): energy in MeV. ``semantic``: class. ``instance``: fragment id, -1 for class 4.
            ``extra``: ``"group"`` (particle), ``"interaction"`` and ``"pid"`` (0 photon, 1 electron, 2 muon,
            3 pion, 4 proton), all -1 for class 4. Voxels in lexicographic order, each once.
        """
        if index is None:
            index, self._next = self._next, self._next + 1
        return self.transport(self.primaries(index), index)

    def primaries(self, index: int) -> list[Primary]:
        """Draw the particles that event ``index`` starts from."""
        stream = new_stream(self.seed, _check_word("index", index), PRIMARY_LANE)
        return draw_primaries(self.mix, self.spatial_size * self.voxel_size, stream)

    def transport(self, primaries: Sequence[Primary], index: int = 0) -> Event:
        """Simulate given particles, with the random numbers of event ``index``.

        ``generator.transport(generator.primaries(i), i)`` is ``generator.event(i)``.

        Raises
        ------
        ValueError
            If a particle is unknown, its energy not in 0.01 MeV to 20 GeV, or its direction no unit vector.
        """
        _check_word("index", index)
        deposits, particles, detector = self._transport(primaries, index)
        event = label_event(deposits, particles, detector, small=self.small)
        return self.response.read_out(event, self.spatial_size, new_stream(self.seed, index, RESPONSE_LANE))

    def _detector(self) -> Detector:
        medium, response = self.material, self.response
        seen, quenching = response.recombination or (1.0, 0.0)
        return Detector(
            size=self.spatial_size,
            base=self.spatial_size + 2,
            voxel_size=self.voxel_size,
            xi=medium.xi,
            radiation_length=medium.radiation_length,
            rutherford=medium.rutherford,
            screening=medium.screening,
            nuclear_radius=medium.nuclear_radius,
            muon_capture=medium.muon_capture,
            neutron_level=medium.neutron_level,
            neutron_capture=medium.neutron_capture,
            seen=seen,
            quenching=quenching,
            along=response.diffusion[0],
            across=response.diffusion[1],
        )

    def _transport(self, primaries: Sequence[Primary], index: int) -> tuple[FloatArray, FloatArray, Detector]:
        """Deposits and particle records; an event that fills its buffers is repeated with larger ones."""
        tables = tabulate(self.material)
        detector = self._detector()
        start = _records(primaries)
        capacity = CAPACITY
        while True:
            particles = np.empty((len(start) + capacity // 4, RECORD))
            particles[: len(start)] = start
            deposits = np.empty((capacity, DEPOSIT))
            counts = np.array([len(start), 0, 0])
            stream = new_stream(self.seed, index, TRANSPORT_LANE)
            transport(Run(stream, particles, deposits, counts, tables, detector))
            if not counts[FULL]:
                return deposits[: counts[N_DEPOSITS]], particles[: counts[N_PARTICLES]], detector
            capacity *= 2


class SimulatedEvents(Sequence[Event]):
    """The events of a generator as a data set: made when asked for, nothing stored.

    Parameters
    ----------
    n : int
        Number of events.
    generator : EventGenerator, optional
        Where they come from; the default generator if not given.
    first : int
        Number of the first event. Data sets of one generator over disjoint ranges share no event.

    Attributes
    ----------
    indices : range
        Numbers of the events.

    Examples
    --------
    >>> from sparseclust.data.simulation import EventGenerator, SimulatedEvents
    >>> events = SimulatedEvents(100, EventGenerator(rng=3))
    >>> train, test = events[:80], events[80:]
    >>> len(train), len(test), bool((test[0].coords == events[80].coords).all())
    (80, 20, True)
    """

    def __init__(self, n: int, generator: EventGenerator | None = None, *, first: int = 0) -> None:
        if n < 0 or first < 0:
            raise ValueError(f"n and first must not be negative, got n={n}, first={first}")
        self.generator = EventGenerator() if generator is None else generator
        self.indices = range(first, first + n)

    def __len__(self) -> int:
        return len(self.indices)

    @overload
    def __getitem__(self, key: int) -> Event: ...
    @overload
    def __getitem__(self, key: slice) -> "SimulatedEvents": ...
    def __getitem__(self, key: int | slice) -> "Event | SimulatedEvents":
        if not isinstance(key, slice):
            return self.generator.event(self.indices[key])
        part = SimulatedEvents(0, self.generator)
        part.indices = self.indices[key]
        return part


def _records(primaries: Sequence[Primary]) -> FloatArray:
    """Primaries as particle records."""
    records = np.zeros((len(primaries), RECORD))
    for record, primary in zip(records, primaries):
        check_primary(primary)
        record[CODE] = PARTICLES.index(primary.particle)
        record[PARENT] = -1
        record[INTERACTION] = primary.interaction
        record[ENERGY] = primary.energy
        record[POSITION : POSITION + 3] = primary.position
        record[DIRECTION : DIRECTION + 3] = primary.direction
    return records


def _seed(rng: int | np.random.Generator) -> int:
    return int(rng.integers(2**63)) if isinstance(rng, np.random.Generator) else _check_word("rng", rng)


def _check_word(name: str, value: int) -> int:
    number = int(value)
    if not 0 <= number < 2**64:
        raise ValueError(f"{name} must be a whole number from 0 to 2**64 - 1, got {value}")
    return number
