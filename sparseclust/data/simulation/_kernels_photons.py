"""Transport of photons: pair production, Compton scattering, photo-electric effect."""

import math

import numba

from sparseclust.data.simulation._kernels_particles import (
    ELECTROMAGNETIC,
    ELECTRON,
    ELECTRON_CUT,
    ELECTRON_MASS,
    PHOTON_CUT,
    POSITRON,
    STOPPING,
    advance,
    deposit,
    isotropic,
    outside,
    push,
    rotate,
)
from sparseclust.data.simulation._kernels_random import exponential, uniform
from sparseclust.data.simulation._kernels_tables import COMPTON_RATE, PAIR_RATE, PHOTO_RATE, locate, look_up

MARGIN = 60.0  # cm around the volume within which photons may still come back


@numba.njit(cache=True)
def transport_photon(run, i, energy, position, direction):
    """Follow a photon until it converts, is absorbed, or leaves."""
    while energy >= PHOTON_CUT:
        place = locate(energy)
        pair = look_up(run.tables, PAIR_RATE, place)
        compton = look_up(run.tables, COMPTON_RATE, place)
        total = pair + compton + look_up(run.tables, PHOTO_RATE, place)
        position = advance(position, direction, exponential(run.stream) / total)
        if outside(run, position, MARGIN):
            return
        which = uniform(run.stream) * total
        if which < pair and energy > 2.0 * ELECTRON_MASS:
            produce_pair(run, i, energy, position, direction)
            return
        if which < pair + compton:
            left, cosine = klein_nishina(run.stream, energy)
            azimuth = 2.0 * math.pi * uniform(run.stream)
            recoil = energy * (1.0 - left)
            momentum = math.sqrt(recoil * (recoil + 2.0 * ELECTRON_MASS))
            along = energy * (1.0 - left * cosine) / max(momentum, 1e-12)
            path = rotate(direction, min(1.0, along), azimuth + math.pi)
            release_electron(run, i, recoil, position, path)
            direction = rotate(direction, cosine, azimuth)
            energy *= left
        else:
            release_electron(run, i, energy, position, isotropic(run.stream))
            return
    deposit(run, i, energy, position, STOPPING)


@numba.njit(cache=True)
def release_electron(run, i, energy, position, direction):
    """Set an electron free: a particle of its own, or a deposit where it would not move."""
    if energy > ELECTRON_CUT:
        push(run, ELECTRON, i, ELECTROMAGNETIC, energy, position, direction)
    else:
        deposit(run, i, energy, position, STOPPING)


@numba.njit(cache=True)
def produce_pair(run, i, energy, position, direction):
    """Electron and positron share the energy evenly at random, each at an angle of about m / E."""
    shared = energy - 2.0 * ELECTRON_MASS
    share = uniform(run.stream)
    azimuth = 2.0 * math.pi * uniform(run.stream)
    for code in (ELECTRON, POSITRON):
        angle = min(2.0 * ELECTRON_MASS / energy * math.sqrt(exponential(run.stream)), 1.5)
        path = rotate(direction, math.cos(angle), azimuth)
        push(run, code, i, ELECTROMAGNETIC, share * shared, position, path)
        share = 1.0 - share
        azimuth += math.pi


@numba.njit(cache=True)
def klein_nishina(stream, energy):
    """Fraction of its energy that a Compton-scattered photon keeps, and the cosine of its angle.

    Rejection from the two-term envelope 1/e + e of the Klein-Nishina formula (Butcher and Messel 1960).
    """
    k = energy / ELECTRON_MASS
    lowest = 1.0 / (1.0 + 2.0 * k)
    reciprocal = -math.log(lowest)
    linear = 0.5 * (1.0 - lowest * lowest)
    while True:
        if uniform(stream) * (reciprocal + linear) < reciprocal:
            left = lowest ** uniform(stream)
        else:
            left = math.sqrt(lowest * lowest + 2.0 * linear * uniform(stream))
        t = (1.0 - left) / (k * left)
        if uniform(stream) < 1.0 - left * t * (2.0 - t) / (1.0 + left * left):
            return left, 1.0 - t
