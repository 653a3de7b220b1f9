"""Random changes of an event that keep its truth. Each is a callable (event, rng) -> Event."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from sparseclust.data._event import Event

Transform = Callable[[Event, np.random.Generator], Event]


@dataclass(frozen=True)
class Compose:
    """Apply several transforms one after the other.

    Parameters
    ----------
    transforms : sequence of callables (event, rng) -> Event

    Examples
    --------
    >>> import numpy as np
    >>> from sparseclust.data import Compose, Event, RandomSymmetry, ScaleEnergy
    >>> augment = Compose([RandomSymmetry(768), ScaleEnergy(0.05)])
    >>> len(augment(Event([[0, 0, 0]], [0.5]), np.random.default_rng(0)))
    1
    """

    transforms: Sequence[Transform]

    def __call__(self, event: Event, rng: np.random.Generator) -> Event:
        """Transform the event."""
        for transform in self.transforms:
            event = transform(event, rng)
        return event


@dataclass(frozen=True)
class RandomFlip:
    """Mirror each axis of the volume with probability 1/2.

    Parameters
    ----------
    spatial_size : int
        Size of the volume in voxels: voxel ``x`` becomes ``spatial_size - 1 - x``.
    """

    spatial_size: int

    def __post_init__(self) -> None:
        check_size(self.spatial_size)

    def __call__(self, event: Event, rng: np.random.Generator) -> Event:
        """Transform the event."""
        flip = rng.random(event.ndim) < 0.5
        coords = np.where(flip, self.spatial_size - 1 - event.coords, event.coords)
        return Event(coords, event.feats, event.semantic, event.instance, extra=event.extra)


@dataclass(frozen=True)
class RandomSymmetry:
    """Apply a random symmetry of the cube: permute the axes, then mirror each with probability 1/2.

    Parameters
    ----------
    spatial_size : int
        Size of the volume in voxels, the same on every axis.

    Notes
    -----
    All ``2**ndim * ndim!`` elements of the group are equally likely: 48 in three dimensions, of which 24
    are the rotations by multiples of 90 degrees.
    """

    spatial_size: int

    def __post_init__(self) -> None:
        check_size(self.spatial_size)

    def __call__(self, event: Event, rng: np.random.Generator) -> Event:
        """Transform the event."""
        coords = event.coords[:, rng.permutation(event.ndim)]
        turned = Event(coords, event.feats, event.semantic, event.instance, extra=event.extra)
        return RandomFlip(self.spatial_size)(turned, rng)


@dataclass(frozen=True)
class ScaleEnergy:
    """Multiply all energies of an event by one factor ``exp(sigma * g)``, ``g`` standard normal.

    Parameters
    ----------
    sigma : float
        Relative uncertainty of the energy scale, e.g. 0.05.
    """

    sigma: float

    def __post_init__(self) -> None:
        if not 0 <= self.sigma < np.inf:
            raise ValueError(f"sigma must be finite and not negative, got {self.sigma}")

    def __call__(self, event: Event, rng: np.random.Generator) -> Event:
        """Transform the event."""
        feats = event.feats.copy()
        feats[:, 0] *= np.exp(self.sigma * rng.standard_normal())
        return Event(event.coords, feats, event.semantic, event.instance, extra=event.extra)


@dataclass(frozen=True)
class RandomCrop:
    """Keep the voxels of a box at a random place.

    Parameters
    ----------
    size : int
        Size of the box in voxels, the same on every axis.

    Notes
    -----
    The box holds a voxel of the event, drawn at random, at a random place in it. Coordinates stay as they
    are.
    """

    size: int

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ValueError(f"size must be at least 1 voxel, got {self.size}")

    def __call__(self, event: Event, rng: np.random.Generator) -> Event:
        """Transform the event."""
        if not len(event):
            return event
        low = event.coords[rng.integers(len(event))] - rng.integers(self.size, size=event.ndim)
        inside = (event.coords >= low) & (event.coords < low + self.size)
        return event.select(inside.all(axis=1))


@dataclass(frozen=True)
class VoxelDropout:
    """Leave out each voxel with the same probability.

    Parameters
    ----------
    probability : float
        From 0 to below 1.
    """

    probability: float

    def __post_init__(self) -> None:
        if not 0 <= self.probability < 1:
            raise ValueError(f"probability must be in [0, 1), got {self.probability}")

    def __call__(self, event: Event, rng: np.random.Generator) -> Event:
        """Transform the event."""
        return event.select(rng.random(len(event)) >= self.probability)


def check_size(spatial_size: int) -> None:
    """Raise where a volume has no voxel."""
    if spatial_size < 1:
        raise ValueError(f"spatial_size must be at least 1 voxel, got {spatial_size}")
