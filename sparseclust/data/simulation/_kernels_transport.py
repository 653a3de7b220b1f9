"""The loop over the particles of an event: every particle in turn, those it makes after it."""

import numba

from sparseclust.data.simulation._kernels_charged import transport_electron, transport_heavy
from sparseclust.data.simulation._kernels_hadrons import decay_pi_zero
from sparseclust.data.simulation._kernels_particles import (
    CODE,
    DIRECTION,
    ENERGY,
    FULL,
    GAMMA,
    N_PARTICLES,
    PI_ZERO,
    POSITION,
    POSITRON,
)
from sparseclust.data.simulation._kernels_photons import transport_photon


@numba.njit(cache=True)
def transport(run):
    """Transport all particles; a buffer too small sets ``counts[FULL]`` and cuts the work short."""
    i = 0
    while i < run.counts[N_PARTICLES] and run.counts[FULL] == 0:
        record = run.particles[i]
        code = int(record[CODE])
        energy = record[ENERGY]
        at = (record[POSITION], record[POSITION + 1], record[POSITION + 2])
        along = (record[DIRECTION], record[DIRECTION + 1], record[DIRECTION + 2])
        if code == GAMMA:
            transport_photon(run, i, energy, at, along)
        elif code <= POSITRON:
            transport_electron(run, i, code, energy, at, along)
        elif code == PI_ZERO:
            decay_pi_zero(run, i, energy, at, along)
        else:
            transport_heavy(run, i, code, energy, at, along)
        i += 1
