"""Nuclear interactions of pions and protons: a few coarse final states that get the topology right.

Each function pushes what comes out of one interaction; the incoming hadron ends there. Energies in MeV.
The numbers are fitted by eye to full simulations, not derived.
"""

import math

import numba

from sparseclust.data.simulation._kernels_neutrons import transport_neutron
from sparseclust.data.simulation._kernels_particles import (
    DECAY,
    GAMMA,
    NUCLEAR,
    PI_PLUS,
    PI_ZERO,
    PI_ZERO_MASS,
    PION_MASS,
    PROTON,
    isotropic,
    push,
    rotate,
)
from sparseclust.data.simulation._kernels_random import exponential, poisson, uniform

NEUTRON_SHARE = 0.15  # mean kinetic energy of a neutron from a star, of the energy of the star
CHARGE_EXCHANGE = 0.12


@numba.njit(cache=True)
def capture_star(run, i, energy, position):
    """Break-up of an excited nucleus: evaporated protons, photons of some MeV, and neutrons."""
    for _ in range(poisson(run.stream, 0.25 + energy / 250.0)):
        proton = 0.22 * energy * exponential(run.stream)
        if 3.0 < proton < energy:
            push(run, PROTON, i, NUCLEAR, proton, position, isotropic(run.stream))
            energy -= proton
    for _ in range(poisson(run.stream, 1.0)):
        photon = 0.5 + 2.0 * exponential(run.stream)
        push(run, GAMMA, i, NUCLEAR, photon, position, isotropic(run.stream))
    for _ in range(poisson(run.stream, 1.5 + energy / 35.0)):
        transport_neutron(run, i, NEUTRON_SHARE * energy * exponential(run.stream), position)


@numba.njit(cache=True)
def interact_proton(run, i, energy, position, direction):
    """Quasi-elastic knock-out: the proton goes on with 35-100 % of the energy, perhaps with a partner."""
    kept = 0.35 + 0.65 * uniform(run.stream)
    available = max(energy - 20.0, 0.0)
    leading = available * kept
    if leading > 3.0 and uniform(run.stream) < 0.78:
        path = rotate(direction, 1.0 - 1.2 * (1.0 - kept), 2.0 * math.pi * uniform(run.stream))
        push(run, PROTON, i, NUCLEAR, leading, position, path)
    if available - leading > 10.0 and uniform(run.stream) < 0.6:
        partner = (available - leading) * uniform(run.stream)
        push(run, PROTON, i, NUCLEAR, partner, position, isotropic(run.stream))
    capture_star(run, i, 25.0, position)


@numba.njit(cache=True)
def interact_pion(run, i, code, energy, position, direction):
    """Absorption (45 % below 250 MeV, 28 % above), charge exchange (12 %) or scattering (the rest)."""
    absorption = 0.45 if energy < 250.0 else 0.28
    which = uniform(run.stream)
    if which < absorption:
        absorb_pion(run, i, energy, position)
    elif which < absorption + CHARGE_EXCHANGE:
        out = max(energy * (0.4 + 0.5 * uniform(run.stream)), 5.0)
        path = rotate(direction, 1.0 - 2.0 * uniform(run.stream) ** 1.5, 2.0 * math.pi * uniform(run.stream))
        push(run, PI_ZERO, i, NUCLEAR, out, position, path)
        capture_star(run, i, 25.0, position)
    else:
        scatter_pion(run, i, code, energy, position, direction)


@numba.njit(cache=True)
def absorb_pion(run, i, energy, position):
    """Two or three nucleons share the energy and the mass of the pion; 65 % of them are protons."""
    available = energy + PION_MASS - 60.0
    nucleons = 2 if uniform(run.stream) < 0.5 else 3
    for _ in range(nucleons):
        proton = available * uniform(run.stream) * 2.0 / nucleons
        if proton > 5.0 and uniform(run.stream) < 0.65:
            push(run, PROTON, i, NUCLEAR, proton, position, isotropic(run.stream))
    capture_star(run, i, 40.0, position)


@numba.njit(cache=True)
def scatter_pion(run, i, code, energy, position, direction):
    """Scatter the pion; a proton may recoil, and above 500 MeV a second pion may be made."""
    cosine = 1.0 - 2.0 * uniform(run.stream) ** 2
    azimuth = 2.0 * math.pi * uniform(run.stream)
    out = max(energy * (1.0 - 0.30 * (1.0 - cosine)) - 15.0, 1.0)
    push(run, code, i, NUCLEAR, out, position, rotate(direction, cosine, azimuth))
    recoil = energy - out - 20.0
    if recoil > 8.0 and uniform(run.stream) < 0.5:
        path = rotate(direction, 0.5 + 0.5 * uniform(run.stream), azimuth + math.pi)
        push(run, PROTON, i, NUCLEAR, recoil, position, path)
    if energy > 500.0 and uniform(run.stream) < 0.4:
        path = rotate(direction, uniform(run.stream), 2.0 * math.pi * uniform(run.stream))
        charge = 0 if uniform(run.stream) < 0.5 else 1
        push(run, PI_PLUS + charge, i, NUCLEAR, 0.3 * energy, position, path)
    capture_star(run, i, 20.0, position)


@numba.njit(cache=True)
def decay_pi_zero(run, i, energy, position, direction):
    """Two photons, back to back in the rest frame and boosted."""
    g = 1.0 + energy / PI_ZERO_MASS
    boost = math.sqrt(g * g - 1.0)
    cosine = 2.0 * uniform(run.stream) - 1.0
    azimuth = 2.0 * math.pi * uniform(run.stream)
    for _ in range(2):
        photon = 0.5 * PI_ZERO_MASS * (g + boost * cosine)
        along = (boost + g * cosine) / (g + boost * cosine)
        path = rotate(direction, min(1.0, max(-1.0, along)), azimuth)
        push(run, GAMMA, i, DECAY, photon, position, path)
        cosine = -cosine
        azimuth += math.pi
