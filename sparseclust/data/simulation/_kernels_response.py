"""Noise of the read-out."""

import numba
import numpy as np

from sparseclust.data.simulation._kernels_random import exponential, normal, poisson, uniform


@numba.njit(cache=True)
def smear(stream, energy, width):
    """Add Gaussian noise to energies, in place."""
    for i in range(energy.shape[0]):
        energy[i] += width * normal(stream)


@numba.njit(cache=True)
def draw_hits(stream, mean, size, width, threshold):
    """Voxels (n, 3) anywhere and their energies (n,): the tail of Gaussian noise above the threshold."""
    n = 0
    while mean > 0.0:  # the sum of Poisson numbers is one; each of them for a small mean
        n += poisson(stream, min(mean, 10.0))
        mean -= 10.0
    coords = np.empty((n, 3), np.int64)
    energy = np.empty(n)
    for i in range(n):
        for axis in range(3):
            coords[i, axis] = int(uniform(stream) * size)
        value = width * abs(normal(stream))
        if threshold > width:
            # Far out, a Gaussian falls exponentially.
            value = threshold + width * width / threshold * exponential(stream)
        energy[i] = max(value, threshold)
    return coords, energy
