"""Neutrons: no track, but photons and protons wherever they hit a nucleus, far from their start."""

import numba

from sparseclust.data.simulation._kernels_particles import (
    GAMMA,
    NUCLEAR,
    PROTON,
    advance,
    isotropic,
    outside,
    push,
)
from sparseclust.data.simulation._kernels_random import exponential, uniform

COLLISION_PATH = 25.0  # cm, mean way between two collisions that show
CAPTURE_PATH = 40.0  # cm, mean way from the last of them to the capture
KNOCK_OUT = 0.35  # fraction of the collisions above KNOCK_OUT_ENERGY that free a proton
KNOCK_OUT_ENERGY = 20.0  # MeV
MARGIN = 60.0  # cm around the volume within which neutrons may still come back


@numba.njit(cache=True)
def transport_neutron(run, i, energy, position):
    """Follow a neutron from collision to collision to its capture; what it frees belongs to particle i.

    The photon of an inelastic collision carries the first level of the nucleus and an exponential rest; the
    neutron goes on in any direction with a uniform share of what is left.
    """
    level = run.detector.neutron_level
    while energy > level:
        position = advance(position, isotropic(run.stream), COLLISION_PATH * exponential(run.stream))
        if outside(run, position, MARGIN):
            return
        if energy > KNOCK_OUT_ENERGY and uniform(run.stream) < KNOCK_OUT:
            proton = energy * uniform(run.stream)
            push(run, PROTON, i, NUCLEAR, max(proton - 8.0, 1.0), position, isotropic(run.stream))
            energy -= proton
        else:
            photon = min(level + exponential(run.stream), energy)
            push(run, GAMMA, i, NUCLEAR, photon, position, isotropic(run.stream))
            energy = (energy - photon) * uniform(run.stream)
    position = advance(position, isotropic(run.stream), CAPTURE_PATH * exponential(run.stream))
    if not outside(run, position, MARGIN):
        cascade(run, i, run.detector.neutron_capture, position)


@numba.njit(cache=True)
def cascade(run, i, energy, position):
    """Photons that share an excitation energy: each takes a uniform part of what is left."""
    while energy > 0.0:
        photon = energy * uniform(run.stream) if energy > 1.0 else energy
        push(run, GAMMA, i, NUCLEAR, max(photon, min(0.1, energy)), position, isotropic(run.stream))
        energy -= max(photon, min(0.1, energy))
