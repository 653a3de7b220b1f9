"""Transport of charged particles: loss, scattering, knock-on electrons, radiation, ends at rest."""

import math

import numba

from sparseclust.data.simulation._kernels_hadrons import capture_star, interact_pion, interact_proton
from sparseclust.data.simulation._kernels_particles import (
    BREMS_CUT,
    DECAY,
    DELTA_CUT,
    ELECTROMAGNETIC,
    ELECTRON,
    ELECTRON_CUT,
    ELECTRON_MASS,
    GAMMA,
    KNOCK_ON,
    MASS,
    MU_MINUS,
    MU_PLUS,
    NUCLEAR,
    PI_MINUS,
    PI_PLUS,
    POSITRON,
    PROTON,
    advance,
    deposit,
    isotropic,
    outside,
    push,
    rotate,
)
from sparseclust.data.simulation._kernels_random import exponential, gamma, normal, poisson, uniform
from sparseclust.data.simulation._kernels_tables import (
    BREMS_RATE,
    LOSS_ELECTRON,
    LOSS_MUON,
    LOSS_PION,
    LOSS_PROTON,
    PION_INELASTIC,
    PROTON_INELASTIC,
    SOFT_LOSS,
    locate,
    look_up,
)

STEP = 0.1  # cm
MARGIN_HEAVY, MARGIN_ELECTRON = 60.0, 5.0  # cm around the volume within which particles are still followed
AT_REST = 1e-4  # MeV
HADRON_CUT = 1.0  # MeV, slower hadrons do not interact in flight
HIGHLAND = 13.6 * 0.94  # MeV; the logarithm of the Highland formula frozen at a path of 3 cm
MU_CAPTURE = 0.74  # fraction of stopped mu- that an argon nucleus captures
MICHEL_ENDPOINT = 52.83  # MeV, total energy
PION_DECAY_MUON = 4.12  # MeV, kinetic energy of the muon of a pion that decays at rest


@numba.njit(cache=True)
def transport_electron(
    stream, particles, deposits, counts, tables, detector, i, code, energy, position, direction
):
    """Follow an electron or positron until it stops or leaves."""
    while energy >= ELECTRON_CUT:
        if outside(detector, position, MARGIN_ELECTRON):
            return
        place = locate(energy)
        rate = look_up(tables, LOSS_ELECTRON, place)
        coarse = 0.03 if energy < 0.7 else 0.06 if energy < 3.0 else STEP
        step = step_length(coarse, rate, energy)
        loss = fluctuate(stream, rate, step, energy, ELECTRON_MASS, 0.5 * energy, detector)
        loss = min(loss + step * look_up(tables, SOFT_LOSS, place), energy)
        angle = scattering_angle(stream, energy, ELECTRON_MASS, step, detector)
        position, direction = move(
            stream, deposits, counts, detector, i, position, direction, step, loss, angle
        )
        maximum = 0.5 * energy
        fast = energy
        energy -= loss
        delta = knock_on(stream, fast, ELECTRON_MASS, maximum, step, detector)
        if 0.0 < delta < energy:
            direction = release_delta(
                stream,
                particles,
                counts,
                i,
                ELECTROMAGNETIC,
                delta,
                energy,
                ELECTRON_MASS,
                position,
                direction,
            )
            energy -= delta
        if energy > BREMS_CUT and uniform(stream) < step * look_up(tables, BREMS_RATE, place):
            energy -= radiate(stream, particles, counts, i, energy, position, direction)
    deposit(deposits, counts, detector, i, energy, position)
    if code == POSITRON:
        ux, uy, uz = isotropic(stream)
        push(particles, counts, GAMMA, i, ELECTROMAGNETIC, ELECTRON_MASS, position, (ux, uy, uz))
        push(particles, counts, GAMMA, i, ELECTROMAGNETIC, ELECTRON_MASS, position, (-ux, -uy, -uz))


@numba.njit(cache=True)
def transport_heavy(
    stream, particles, deposits, counts, tables, detector, i, code, energy, position, direction
):
    """Follow a muon, charged pion or proton until it stops, interacts or leaves."""
    mass = MASS[code]
    row = LOSS_MUON if code <= MU_PLUS else LOSS_PROTON if code == PROTON else LOSS_PION
    inelastic = PROTON_INELASTIC if code == PROTON else PION_INELASTIC
    while energy > 0.0:
        if outside(detector, position, MARGIN_HEAVY):
            return
        place = locate(energy)
        rate = look_up(tables, row, place)
        step = step_length(STEP, rate, energy)
        maximum = largest_transfer(energy, mass)
        loss = fluctuate(stream, rate, step, energy, mass, maximum, detector)
        if energy - loss < AT_REST:
            loss = energy
        angle = scattering_angle(stream, energy, mass, step, detector)
        position, direction = move(
            stream, deposits, counts, detector, i, position, direction, step, loss, angle
        )
        fast = energy
        energy -= loss
        delta = knock_on(stream, fast, mass, maximum, step, detector)
        if 0.0 < delta < energy:
            release_delta(stream, particles, counts, i, KNOCK_ON, delta, energy, mass, position, direction)
            energy -= delta
        if (
            code >= PI_PLUS
            and energy > HADRON_CUT
            and uniform(stream) < step * look_up(tables, inelastic, place)
        ):
            if code == PROTON:
                interact_proton(stream, particles, counts, i, energy, position, direction)
            else:
                interact_pion(stream, particles, counts, i, code, energy, position, direction)
            return
    end_at_rest(stream, particles, counts, i, code, position)


@numba.njit(cache=True)
def step_length(coarse, rate, energy):
    """Step in cm: at most a fifth of the energy is lost in one step, down to 40 micrometres."""
    return min(coarse, max(0.2 * energy / rate, 0.004))


@numba.njit(cache=True)
def largest_transfer(energy, mass):
    """Largest kinetic energy that a heavy particle can give to an electron at rest (PDG)."""
    g = 1.0 + energy / mass
    ratio = ELECTRON_MASS / mass
    return 2.0 * ELECTRON_MASS * (g * g - 1.0) / (1.0 + 2.0 * g * ratio + ratio * ratio)


@numba.njit(cache=True)
def fluctuate(stream, rate, step, energy, mass, maximum, detector):
    """Energy lost in a step to electrons below the cut, at most the whole energy.

    A Gamma law with the mean of the restricted loss and the variance xi T_up (1 - beta^2 / 2) of its
    transfers below ``T_up`` (Rossi 1952).
    """
    g = 1.0 + energy / mass
    b2 = 1.0 - 1.0 / (g * g)
    mean = rate * step
    variance = detector.xi / b2 * step * min(DELTA_CUT, maximum) * (1.0 - 0.5 * b2)
    shape = mean * mean / variance
    if shape < 400.0:
        return min(gamma(stream, shape) * variance / mean, energy)
    return min(max(mean + math.sqrt(variance) * normal(stream), 0.0), energy)


@numba.njit(cache=True)
def scattering_angle(stream, energy, mass, step, detector):
    """Angle in space of the multiple scattering in one step (Gaussian in each plane, PDG)."""
    momentum_beta = energy * (energy + 2.0 * mass) / (energy + mass)
    width = HIGHLAND / momentum_beta * math.sqrt(step / detector.radiation_length)
    return width * math.sqrt(2.0 * exponential(stream))


@numba.njit(cache=True)
def move(stream, deposits, counts, detector, i, position, direction, step, loss, angle):
    """One step: half of it straight, the scatter, the other half. Returns position and direction.

    Energy is left at the middle of both halves: with a single deposit per step a track would jump over
    the corners of voxels.
    """
    quarter = 0.25 * step
    middle = advance(position, direction, 0.5 * step)
    deposit(deposits, counts, detector, i, 0.5 * loss, advance(position, direction, quarter))
    turned = rotate(direction, math.cos(angle), 2.0 * math.pi * uniform(stream))
    deposit(deposits, counts, detector, i, 0.5 * loss, advance(middle, turned, quarter))
    return advance(middle, turned, 0.5 * step), turned


@numba.njit(cache=True)
def knock_on(stream, energy, mass, maximum, step, detector):
    """Energy of a knock-on electron above the cut made in this step, or 0.

    dN / dT = xi / (beta^2 T^2) (1 - beta^2 T / T_max): drawn from 1 / T^2, then thinned (Rossi 1952).
    """
    if maximum <= DELTA_CUT:
        return 0.0
    g = 1.0 + energy / mass
    b2 = 1.0 - 1.0 / (g * g)
    span = 1.0 / DELTA_CUT - 1.0 / maximum
    if uniform(stream) > detector.xi / b2 * span * step:
        return 0.0
    delta = 1.0 / (1.0 / DELTA_CUT - uniform(stream) * span)
    return delta if uniform(stream) < 1.0 - b2 * delta / maximum else 0.0


@numba.njit(cache=True)
def release_delta(stream, particles, counts, i, process, delta, energy, mass, position, direction):
    """Push a knock-on electron and return the direction in which its maker goes on (two-body kinematics)."""
    momentum = math.sqrt(energy * (energy + 2.0 * mass))
    delta_momentum = math.sqrt(delta * (delta + 2.0 * ELECTRON_MASS))
    cosine = min(1.0, delta * (energy + mass + ELECTRON_MASS) / (momentum * delta_momentum))
    azimuth = 2.0 * math.pi * uniform(stream)
    push(particles, counts, ELECTRON, i, process, delta, position, rotate(direction, cosine, azimuth))
    left = math.sqrt((energy - delta) * (energy - delta + 2.0 * mass))
    along = (momentum - delta_momentum * cosine) / max(left, 1e-12)
    return rotate(direction, min(1.0, max(-1.0, along)), azimuth + math.pi)


@numba.njit(cache=True)
def radiate(stream, particles, counts, i, energy, position, direction):
    """Push a bremsstrahlung photon above the cut, at an angle of about m / E, and return its energy.

    dN / dy = (4/3 - 4/3 y + y^2) / y for the fraction y of the energy (complete screening; Tsai 1974).
    """
    lowest = BREMS_CUT / energy
    while True:
        y = lowest ** uniform(stream)
        if uniform(stream) * 4.0 / 3.0 < 4.0 / 3.0 - 4.0 / 3.0 * y + y * y:
            break
    angle = min(ELECTRON_MASS / (energy + ELECTRON_MASS) * math.sqrt(exponential(stream)), 1.5)
    path = rotate(direction, math.cos(angle), 2.0 * math.pi * uniform(stream))
    push(particles, counts, GAMMA, i, ELECTROMAGNETIC, y * energy, position, path)
    return y * energy


@numba.njit(cache=True)
def end_at_rest(stream, particles, counts, i, code, position):
    """Decay or capture of a stopped particle."""
    if code == MU_PLUS:
        decay_muon(stream, particles, counts, i, POSITRON, position)
    elif code == MU_MINUS:
        if uniform(stream) > MU_CAPTURE:
            decay_muon(stream, particles, counts, i, ELECTRON, position)
        else:
            for _ in range(poisson(stream, 1.2)):
                energy = 0.5 + 2.0 * exponential(stream)
                push(particles, counts, GAMMA, i, NUCLEAR, energy, position, isotropic(stream))
    elif code == PI_PLUS:
        push(particles, counts, MU_PLUS, i, DECAY, PION_DECAY_MUON, position, isotropic(stream))
    elif code == PI_MINUS:
        capture_star(stream, particles, counts, i, 70.0, position)


@numba.njit(cache=True)
def decay_muon(stream, particles, counts, i, code, position):
    """Michel electron: x^2 (3 - 2x) in x = E / E_max (Michel 1950, unpolarised, electron mass neglected)."""
    while True:
        x = uniform(stream)
        if uniform(stream) < x * x * (3.0 - 2.0 * x):
            break
    energy = max(MICHEL_ENDPOINT * x - ELECTRON_MASS, 0.1)
    push(particles, counts, code, i, DECAY, energy, position, isotropic(stream))
