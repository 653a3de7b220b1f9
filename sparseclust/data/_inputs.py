"""What the network sees of an event."""

from dataclasses import KW_ONLY, dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from sparseclust.data._event import Event


@dataclass(frozen=True)
class VoxelInputs:
    """Input features of the network: energy, position and, if wanted, semantic class of each voxel.

    Parameters
    ----------
    spatial_size : int
        Size of the volume in voxels, the same on every axis.
    energy : {"log", "linear"}
        Scale of the energy channel.
    min_energy, max_energy : float, MeV
        The energies that become -1 and 1. Lower ones become -1 too; higher ones go beyond 1.
    n_classes : int
        Number of channels for the semantic class, one for each class from 0: 1 in the channel of the voxel's
        class, 0 elsewhere, all 0 for voxels of other classes. For networks that work within known classes.

    Raises
    ------
    ValueError
        If a parameter is out of range; at the call, if classes are wanted and the event has none.

    Notes
    -----
    Channel 0 is ``2 u - 1``, ``u = log(E / min) / log(max / min)`` or ``(E - min) / (max - min)``.
    Channels 1 to ndim are ``(coords + 0.5) * 2 / spatial_size - 1``: voxel centres, the volume is [-1, 1].
    The classes follow.

    Examples
    --------
    >>> from sparseclust.data import Event, VoxelInputs
    >>> inputs = VoxelInputs(4, min_energy=0.01, max_energy=100.0)
    >>> inputs(Event([[0, 1, 3], [2, 2, 2]], [0.01, 1.0])).tolist()
    [[-1.0, -0.75, -0.25, 0.75], [0.0, 0.25, 0.25, 0.25]]
    """

    spatial_size: int
    _: KW_ONLY
    energy: Literal["log", "linear"] = "log"
    min_energy: float = 0.01
    max_energy: float = 20.0
    n_classes: int = 0

    def __post_init__(self) -> None:
        if self.spatial_size < 1:
            raise ValueError(f"spatial_size must be at least 1 voxel, got {self.spatial_size}")
        if self.energy not in ("log", "linear"):
            raise ValueError(f'energy must be "log" or "linear", got {self.energy!r}')
        if not 0 < self.min_energy < self.max_energy < np.inf:
            raise ValueError(
                f"expected 0 < min_energy < max_energy, got {self.min_energy} and {self.max_energy}"
            )
        if self.n_classes < 0:
            raise ValueError(f"n_classes must not be negative, got {self.n_classes}")

    def channels(self, ndim: int) -> int:
        """Return the number of input features of a network in ``ndim`` dimensions."""
        return 1 + ndim + self.n_classes

    def __call__(self, event: Event) -> npt.NDArray[np.float32]:
        """Features (n, 1 + ndim + n_classes) of the voxels, rows as in the event."""
        position = (event.coords + 0.5) * (2 / self.spatial_size) - 1
        columns = [self._scaled(event.energy), position, self._classes(event)]
        return np.column_stack(columns).astype(np.float32)

    def _classes(self, event: Event) -> npt.NDArray[np.bool_]:
        if self.n_classes == 0:
            return np.zeros((len(event), 0), bool)
        if event.semantic is None:
            raise ValueError(
                f"the network wants {self.n_classes} semantic classes among its inputs, the event has none"
            )
        one_hot: npt.NDArray[np.bool_] = event.semantic[:, None] == np.arange(self.n_classes)
        return one_hot

    def _scaled(self, energy: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        low, high = self.min_energy, self.max_energy
        above = np.maximum(energy.astype(np.float64), low)
        if self.energy == "linear":
            part = (above - low) / (high - low)
        else:
            part = np.log(above / low) / np.log(high / low)
        return np.asarray(2 * part - 1)
