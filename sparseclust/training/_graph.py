"""The graph of a prediction as its clusterer met it."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sparseclust.pipeline import Prediction


class MetGraph(NamedTuple):
    """Voxels that the network saw, each once.

    Attributes
    ----------
    rows : (n,) int64
        Rows of the event that these are.
    edges : (2, m) int64
        Between them.
    affinity : (m,) float
    voxels : dict of str to array
        ``"coords"``, ``"energy"`` and ``"semantic"``, as arguments of a clusterer.
    """

    rows: npt.NDArray[np.int64]
    edges: npt.NDArray[np.int64]
    affinity: npt.NDArray[np.float32]
    voxels: dict[str, Any]


def met_graph(prediction: Prediction) -> MetGraph:
    """Leave out voxels that the network did not see, and add up the energies of equal ones.

    Raises
    ------
    ValueError
        If the network scored no edges.
    """
    event = prediction.event
    if prediction.edges is None or prediction.affinity is None:
        raise ValueError("the network scored no edges; choose a model that does")
    semantic = event.semantic if prediction.semantic is None else prediction.semantic
    stands = np.arange(len(event)) if prediction.voxel is None else prediction.voxel
    seen = stands >= 0
    rows = np.unique(stands[seen])
    energy = np.bincount(stands[seen], weights=event.energy[seen], minlength=len(event))[rows]
    voxels = {
        "coords": event.coords[rows],
        "energy": energy,
        "semantic": None if semantic is None else semantic[rows],
    }
    return MetGraph(rows, np.searchsorted(rows, prediction.edges), prediction.affinity, voxels)
