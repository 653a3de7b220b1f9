"""What a detector makes of true energy deposits; optional, as PILArNet has none of it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sparseclust.data._event import Event, SemanticClass
from sparseclust.data.simulation._kernels_response import draw_hits, smear

Box = tuple[tuple[int, int, int], tuple[int, int, int]]


@dataclass(frozen=True)
class DetectorResponse:
    """Effects between the true deposits and the voxels that are read out; by default none.

    Parameters
    ----------
    recombination : (float, float), optional
        Birks' law R = A / (1 + k dE/dx) for the fraction of the energy that is seen: A, and k in cm/MeV.
        (0.800, 0.0696) is liquid argon at 0.5 kV/cm.
    diffusion : (float, float)
        Width of a point of charge after 1 m of drift, along the drift and across, in cm. The charge drifts
        along the first axis to its lower face, and the width grows with the square root of the way. (0.07,
        0.11) is liquid argon at 0.5 kV/cm.
    noise : float
        Standard deviation in MeV, added to every voxel with a deposit.
    noise_hits : float
        Mean number per event of voxels that hold noise alone. They are low-energy scatters without instance.
    threshold : float
        Voxels that end below it, in MeV, are not read out.
    dead : sequence of boxes
        Regions that read out nothing: the first voxel of each and the one behind its last.

    Raises
    ------
    ValueError
        If a number is negative, or noise hits are asked for without noise.

    References
    ----------
    S. Amoruso et al. (ICARUS), NIM A 523 (2004) 275 (recombination).

    Examples
    --------
    >>> from sparseclust.data.simulation import DetectorResponse, EventGenerator
    >>> response = DetectorResponse(recombination=(0.8, 0.0696), diffusion=(0.07, 0.11), threshold=0.1)
    >>> event = EventGenerator("single:mu-", response=response, rng=1).event(0)
    >>> bool((event.energy >= 0.1).all())
    True
    """

    recombination: tuple[float, float] | None = None
    diffusion: tuple[float, float] = (0.0, 0.0)
    noise: float = 0.0
    noise_hits: float = 0.0
    threshold: float = 0.0
    dead: Sequence[Box] = ()

    def __post_init__(self) -> None:
        numbers = {
            "recombination": self.recombination or (1.0, 0.0),
            "diffusion": self.diffusion,
            "noise": (self.noise,),
            "noise_hits": (self.noise_hits,),
            "threshold": (self.threshold,),
        }
        for name, values in numbers.items():
            if not all(0.0 <= value < np.inf for value in values):
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")
        if self.noise_hits and not self.noise:
            raise ValueError("noise_hits need a noise: how much energy they hold follows from it")
        if np.asarray(self.dead, np.int64).size and np.asarray(self.dead).shape[1:] != (2, 3):
            raise ValueError(f"dead must hold boxes ((x0, y0, z0), (x1, y1, z1)), got {self.dead}")

    def read_out(self, event: Event, spatial_size: int, stream: npt.NDArray[np.uint64]) -> Event:
        """Apply noise, threshold and dead regions to the voxels of an event."""
        if self.noise:
            energy = event.energy.astype(np.float64)
            smear(stream, energy, self.noise)
            event = _with_energy(event, energy)
        if self.noise_hits:
            event = self._add_hits(event, spatial_size, stream)
        keep = event.energy >= np.float32(self.threshold)
        for low, high in self.dead:
            keep &= ~((event.coords >= low) & (event.coords < high)).all(axis=1)
        return event if keep.all() else event.select(keep)

    def _add_hits(self, event: Event, spatial_size: int, stream: npt.NDArray[np.uint64]) -> Event:
        coords, energy = draw_hits(stream, self.noise_hits, spatial_size, self.noise, self.threshold)
        everywhere = np.concatenate([event.coords, coords.astype(np.int32)])
        _, first = np.unique(everywhere, axis=0, return_index=True)  # sorted; deposits win over noise
        n = len(coords)

        def extended(column: npt.NDArray[np.int64], value: int) -> npt.NDArray[np.int64]:
            return np.concatenate([column, np.full(n, value, column.dtype)])[first]

        assert event.semantic is not None
        assert event.instance is not None
        return Event(
            everywhere[first],
            np.concatenate([event.energy, energy])[first],
            semantic=extended(event.semantic, SemanticClass.LOW_ENERGY),
            instance=extended(event.instance, -1),
            extra={name: extended(column, -1) for name, column in event.extra.items()},
        )


def _with_energy(event: Event, energy: npt.NDArray[np.float64]) -> Event:
    return Event(event.coords, energy, event.semantic, event.instance, extra=event.extra)
