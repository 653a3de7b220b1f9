"""The view of one wire plane: events in two dimensions."""

import math

import numpy as np

from sparseclust.data._duplicates import coalesce_event
from sparseclust.data._event import Event


def project_event(event: Event, *, angle: float = 0.0, pitch: float = 1.0) -> Event:
    """Project a 3D event onto a plane of parallel wires, as a wire-readout chamber sees it.

    Parameters
    ----------
    event : Event
        Voxels (n, 3); the first axis is the drift.
    angle : float
        Direction across the wires in the plane of the other two axes, in radians from the second axis. The
        usual three planes are 0 and +-pi / 3.
    pitch : float
        Distance of the wires in voxels.

    Returns
    -------
    Event
        Pixels (m, 2): the drift coordinate, and the wire floor((y cos angle + z sin angle) / pitch) of each
        voxel's centre, of any sign; sorted. What falls on one pixel is merged by
        :func:`~sparseclust.data.coalesce_event`: energies add up, the truth is that of the leading voxel.

    Raises
    ------
    ValueError
        If the event is not in three dimensions, or the pitch not positive.

    Examples
    --------
    >>> from sparseclust.data import Event
    >>> from sparseclust.data.simulation import project_event
    >>> plane = project_event(Event([[5, 2, 0], [5, 2, 9], [6, 3, 1]], [1.0, 2.0, 4.0]))
    >>> plane.coords.tolist(), plane.energy.tolist()
    ([[5, 2], [6, 3]], [3.0, 4.0])
    """
    if event.coords.shape[1] != 3:
        raise ValueError(f"expected an event in three dimensions, got {event.coords.shape[1]}")
    if not 0.0 < pitch < math.inf or not math.isfinite(angle):
        raise ValueError(f"pitch must be positive and angle finite, got pitch={pitch}, angle={angle}")
    centres = event.coords[:, 1:] + 0.5
    wire = np.floor((centres @ [math.cos(angle), math.sin(angle)]) / pitch)
    order = np.lexsort([wire, event.coords[:, 0]])
    pixels = np.stack([event.coords[:, 0], wire.astype(np.int64)], axis=1)
    flat = Event(pixels, event.feats, event.semantic, event.instance, extra=event.extra).select(order)
    return coalesce_event(flat)[0]
