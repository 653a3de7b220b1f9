"""Random changes of an event that move its voxels off the grid and put them back on it."""

from dataclasses import KW_ONLY, dataclass

import numpy as np
import numpy.typing as npt

from sparseclust.data._duplicates import coalesce_event
from sparseclust.data._event import Event
from sparseclust.data._transforms import check_size


@dataclass(frozen=True)
class RandomRotation:
    """Turn the event about the centre of the volume.

    Parameters
    ----------
    spatial_size : int
        Size of the volume in voxels, the same on every axis. Voxels turned out of it are left out.
    max_angle : float
        The angle is uniform between minus and plus this, in radians; in three dimensions the axis is uniform
        on the sphere. :class:`RandomSymmetry` turns by multiples of 90 degrees, without any loss.

    Raises
    ------
    ValueError
        If a parameter is out of range; at the call, in other than two or three dimensions.

    Notes
    -----
    Centres of voxels are turned and put into the voxel where they fall. Those that meet are merged as
    :func:`coalesce_event` does, so energy is conserved inside the volume; voxels that shared a face still
    touch, those that shared only an edge or a corner may come apart.
    """

    spatial_size: int
    _: KW_ONLY
    max_angle: float = np.pi

    def __post_init__(self) -> None:
        check_size(self.spatial_size)
        if not 0 <= self.max_angle <= np.pi:
            raise ValueError(f"max_angle must be in [0, pi], got {self.max_angle}")

    def __call__(self, event: Event, rng: np.random.Generator) -> Event:
        """Transform the event."""
        if event.ndim not in (2, 3):
            raise ValueError(f"expected an event in 2 or 3 dimensions to rotate, got {event.ndim}")
        matrix = _rotation(event.ndim, rng.uniform(-self.max_angle, self.max_angle), rng)
        centre = self.spatial_size / 2
        return _revoxelised(event, (event.coords + 0.5 - centre) @ matrix.T + centre, self.spatial_size)


@dataclass(frozen=True)
class RandomJitter:
    """Move each voxel by itself.

    Parameters
    ----------
    spatial_size : int
        Size of the volume in voxels, the same on every axis. Voxels moved out of it are left out.
    sigma : float
        Standard deviation of the displacement along each axis, in voxels. From about 0.5 instances fall
        apart.

    Notes
    -----
    Voxels that meet are merged as :func:`coalesce_event` does.
    """

    spatial_size: int
    _: KW_ONLY
    sigma: float = 0.3

    def __post_init__(self) -> None:
        check_size(self.spatial_size)
        if not 0 <= self.sigma < np.inf:
            raise ValueError(f"sigma must be finite and not negative, got {self.sigma}")

    def __call__(self, event: Event, rng: np.random.Generator) -> Event:
        """Transform the event."""
        moved = event.coords + 0.5 + self.sigma * rng.standard_normal(event.coords.shape)
        return _revoxelised(event, moved, self.spatial_size)


def _rotation(ndim: int, angle: float, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    cosine, sine = np.cos(angle), np.sin(angle)
    if ndim == 2:
        return np.array([[cosine, -sine], [sine, cosine]])
    axis = rng.standard_normal(3)
    x, y, z = axis / np.linalg.norm(axis)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    turned: npt.NDArray[np.float64] = np.eye(3) + sine * cross + (1 - cosine) * cross @ cross  # Rodrigues
    return turned


def _revoxelised(event: Event, positions: npt.NDArray[np.float64], spatial_size: int) -> Event:
    coords = np.floor(positions)
    inside = np.all((coords >= 0) & (coords < spatial_size), axis=1)
    moved = Event(coords * inside[:, None], event.feats, event.semantic, event.instance, extra=event.extra)
    return coalesce_event(moved.select(inside))[0]
