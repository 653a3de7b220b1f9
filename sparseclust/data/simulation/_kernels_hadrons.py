"""Nuclear interactions of pions and protons: a few coarse final states that get the topology right.

Each function pushes what comes out of one interaction; the incoming hadron ends there. Energies in MeV.
The numbers are fitted by eye to full simulations, not derived.
"""

import math

import numba

from sparseclust.data.simulation._kernels_neutrons import transport_neutron
from sparseclust.data.simulation._kernels_particles import (
    DECAY,
    ELECTRON,
    ELECTRON_MASS,
    GAMMA,
    NUCLEAR,
    PI_PLUS,
    PI_ZERO,
    PI_ZERO_MASS,
    PION_MASS,
    POSITRON,
    PROTON,
    isotropic,
    push,
    rotate,
)
from sparseclust.data.simulation._kernels_random import exponential, poisson, uniform

NEUTRON_SHARE = 0.15  # mean kinetic energy of a neutron from a star, of the energy of the star
CHARGE_EXCHANGE = 0.12
DALITZ = 0.01174  # of neutral pions that decay into a photon and a pair of electrons (PDG 2022)


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
    """Two photons, or a photon and a pair of electrons that shows where the pion was (Dalitz 1951)."""
    away = isotropic(run.stream)
    back = (-away[0], -away[1], -away[2])
    if uniform(run.stream) > DALITZ:
        emit(run, i, GAMMA, 0.5 * PI_ZERO_MASS, away, energy, position, direction)
        emit(run, i, GAMMA, 0.5 * PI_ZERO_MASS, back, energy, position, direction)
        return
    x, cosine = dalitz_pair(run.stream)
    photon = 0.5 * PI_ZERO_MASS * (1.0 - x)
    emit(run, i, GAMMA, photon, back, energy, position, direction)
    # Each electron in the frame of the pair, then in that of the pion, in which the pair goes away.
    mass = PI_ZERO_MASS * math.sqrt(x)
    momentum = math.sqrt(max(0.25 * mass * mass - ELECTRON_MASS * ELECTRON_MASS, 0.0))
    g, boost = 0.5 * (1.0 + x) * PI_ZERO_MASS / mass, photon / mass
    azimuth = 2.0 * math.pi * uniform(run.stream)
    across = momentum * math.sqrt(1.0 - cosine * cosine)
    for code in (ELECTRON, POSITRON):
        along = g * momentum * cosine + boost * 0.5 * mass
        path = rotate(away, along / math.sqrt(along * along + across * across), azimuth)
        total = g * 0.5 * mass + boost * momentum * cosine
        emit(run, i, code, total, path, energy, position, direction)
        cosine = -cosine
        azimuth += math.pi


@numba.njit(cache=True)
def dalitz_pair(stream):
    """Draw the squared mass of the pair, of that of the pion, and its electron's cosine to its path.

    Kroll and Wada, Phys. Rev. 98 (1955) 1355, with the form factor 1 + 0.0335 x (PDG 2022).
    """
    least = (2.0 * ELECTRON_MASS / PI_ZERO_MASS) ** 2
    while True:
        x = least ** uniform(stream)
        u = least / x
        weight = math.sqrt(1.0 - u) * (1.0 + 0.5 * u) * (1.0 - x) ** 3 * (1.0 + 0.0335 * x) ** 2
        if uniform(stream) < weight:
            break
    while True:
        cosine = 2.0 * uniform(stream) - 1.0
        if 2.0 * uniform(stream) < 1.0 + cosine * cosine + u * (1.0 - cosine * cosine):
            return x, cosine


@numba.njit(cache=True)
def emit(run, i, code, total, path, energy, position, direction):
    """Push what a pion of kinetic ``energy`` sends along ``path``; that and ``total`` are of its frame."""
    g = 1.0 + energy / PI_ZERO_MASS
    boost = math.sqrt(g * g - 1.0)
    mass = 0.0 if code == GAMMA else ELECTRON_MASS
    momentum = math.sqrt(max(total * total - mass * mass, 0.0))
    px, py, pz = path
    ux, uy, uz = direction
    along = momentum * (px * ux + py * uy + pz * uz)
    added = (g - 1.0) * along + boost * total
    x, y, z = momentum * px + added * ux, momentum * py + added * uy, momentum * pz + added * uz
    size = math.sqrt(x * x + y * y + z * z)
    kinetic = g * total + boost * along - mass
    push(run, code, i, DECAY, kinetic, position, (x / size, y / size, z / size))
