"""Predicted classes without specks."""

import numpy as np
import numpy.typing as npt

from sparseclust.clustering import AffinityGraphClusterer, neighbour_edges


def smooth_classes(
    coords: npt.NDArray[np.int32], probability: npt.NDArray[np.float32], *, min_size: int
) -> npt.NDArray[np.int64]:
    """Take the likeliest class of each voxel, and that of the surroundings for small connected pieces.

    Parameters
    ----------
    coords : (n, ndim) int32
        Voxels of one event, each once.
    probability : (n, classes) float32
    min_size : int
        Connected voxels of one class that are fewer join the piece of another class where a touching pair of
        voxels is likeliest of one class.

    Returns
    -------
    (n,) int64
        Within a piece that was joined from several, the class of most of its voxels; of equally many the
        smallest. A small piece that touches nothing stays.
    """
    found = probability.argmax(axis=1)
    edges = neighbour_edges(coords)
    i, j = edges
    alike = np.maximum(probability[i, found[j]], probability[j, found[i]])
    # What is of one class already is joined before anything else.
    affinity = np.where(found[i] == found[j], 1.0, 0.5 * alike)
    pieces = AffinityGraphClusterer(threshold=0.75, min_size=min_size)
    piece = pieces.fit_predict(edges, affinity, n=len(found))
    votes = np.zeros((piece.max(initial=-1) + 1, probability.shape[1]), np.int64)
    np.add.at(votes, (piece, found), 1)
    return np.asarray(votes.argmax(axis=1)[piece])
