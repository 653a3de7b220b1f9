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
    STOPPING,
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

STEP = 0.06  # cm
MARGIN_HEAVY, MARGIN_ELECTRON = 60.0, 5.0  # cm around the volume within which particles are still followed
AT_REST = 1e-4  # MeV
HADRON_CUT = 1.0  # MeV, slower hadrons do not interact in flight
HIGHLAND = 13.6  # MeV
PATH = 3.0  # cm. Over such a path of a heavy particle scatters are many, with a Gaussian core, or single.
TAIL = 4.0  # widths of that core beyond which scatters are single
HARD = 0.2  # single scatters of an electron that are followed in each step
MICHEL_ENDPOINT = 52.83  # MeV, total energy
PION_DECAY_MUON = 4.12  # MeV, kinetic energy of the muon of a pion that decays at rest


@numba.njit(cache=True)
def transport_electron(run, i, code, energy, position, direction):
    """Follow an electron or positron until it stops or leaves."""
    while energy >= ELECTRON_CUT:
        if outside(run, position, MARGIN_ELECTRON):
            return
        place = locate(energy)
        rate = look_up(run.tables, LOSS_ELECTRON, place)
        coarse = 0.03 if energy < 0.7 else 0.06 if energy < 3.0 else STEP
        step = step_length(coarse, rate, energy)
        maximum = 0.5 * energy
        loss = fluctuate(run, rate, step, energy, ELECTRON_MASS, maximum)
        loss = min(loss + step * look_up(run.tables, SOFT_LOSS, place), energy)
        scatters = single_scatters(run, energy, step)
        angle = soft_scatter(run, scatters)
        position, direction = move(run, i, position, direction, step, loss, angle)
        direction = hard_scatters(run, energy, scatters, direction)
        delta = knock_on_electron(run, code, energy, step)
        energy -= loss
        if 0.0 < delta < energy:
            direction = release_delta(run, i, code, delta, energy, position, direction)
            energy -= delta
        if energy > BREMS_CUT and uniform(run.stream) < step * look_up(run.tables, BREMS_RATE, place):
            energy -= radiate(run, i, energy, position, direction)
    deposit(run, i, energy, position, STOPPING)
    if code == POSITRON:
        ux, uy, uz = isotropic(run.stream)
        push(run, GAMMA, i, ELECTROMAGNETIC, ELECTRON_MASS, position, (ux, uy, uz))
        push(run, GAMMA, i, ELECTROMAGNETIC, ELECTRON_MASS, position, (-ux, -uy, -uz))


@numba.njit(cache=True)
def transport_heavy(run, i, code, energy, position, direction):
    """Follow a muon, charged pion or proton until it stops, interacts or leaves."""
    mass = MASS[code]
    row = LOSS_MUON if code <= MU_PLUS else LOSS_PROTON if code == PROTON else LOSS_PION
    inelastic = PROTON_INELASTIC if code == PROTON else PION_INELASTIC
    while energy > 0.0:
        if outside(run, position, MARGIN_HEAVY):
            return
        place = locate(energy)
        rate = look_up(run.tables, row, place)
        step = step_length(STEP, rate, energy)
        maximum = largest_transfer(energy, mass)
        loss = fluctuate(run, rate, step, energy, mass, maximum)
        if energy - loss < AT_REST:
            loss = energy
        angle = scattering_angle(run, energy, mass, step)
        position, direction = move(run, i, position, direction, step, loss, angle)
        direction = scatter_hard(run, energy, mass, step, direction)
        delta = knock_on(run, energy, mass, maximum, step)
        energy -= loss
        if 0.0 < delta < energy:
            release_delta(run, i, code, delta, energy, position, direction)
            energy -= delta
        if (
            code >= PI_PLUS
            and energy > HADRON_CUT
            and uniform(run.stream) < step * look_up(run.tables, inelastic, place)
        ):
            if code == PROTON:
                interact_proton(run, i, energy, position, direction)
            else:
                interact_pion(run, i, code, energy, position, direction)
            return
    end_at_rest(run, i, code, position)


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
def fluctuate(run, rate, step, energy, mass, maximum):
    """Energy lost in a step to electrons below the cut, at most the whole energy.

    A Gamma law with the mean of the restricted loss and the variance xi T_up (1 - beta^2 / 2) of its
    transfers below ``T_up`` (Rossi 1952).
    """
    g = 1.0 + energy / mass
    b2 = 1.0 - 1.0 / (g * g)
    mean = rate * step
    variance = run.detector.xi / b2 * step * min(DELTA_CUT, maximum) * (1.0 - 0.5 * b2)
    shape = mean * mean / variance
    if shape < 400.0:
        return min(gamma(run.stream, shape) * variance / mean, energy)
    return min(max(mean + math.sqrt(variance) * normal(run.stream), 0.0), energy)


@numba.njit(cache=True)
def core_width(run, energy, mass, step):
    """Width in each plane of the scattering in a step, by Highland's formula with the logarithm of a path."""
    momentum_beta = energy * (energy + 2.0 * mass) / (energy + mass)
    length = run.detector.radiation_length
    return HIGHLAND * (1.0 + 0.038 * math.log(PATH / length)) / momentum_beta * math.sqrt(step / length)


@numba.njit(cache=True)
def scattering_angle(run, energy, mass, step):
    """Angle in space of the multiple scattering of a heavy particle in one step."""
    return core_width(run, energy, mass, step) * math.sqrt(2.0 * exponential(run.stream))


@numba.njit(cache=True)
def scatter_hard(run, energy, mass, step, direction):
    """Direction of a heavy particle after at most one single scatter beyond the Gaussian core.

    Beyond ``TAIL`` widths of the core of a path: some 1 % of such paths (Bethe 1953 on Moliere's theory).
    """
    momentum_beta = energy * (energy + 2.0 * mass) / (energy + mass)
    cut = TAIL * core_width(run, energy, mass, PATH)
    if cut >= math.pi:
        return direction
    s = math.sin(0.5 * cut)
    span = 1.0 / (s * s) - 1.0
    rate = run.detector.rutherford / (momentum_beta * momentum_beta) * span
    if uniform(run.stream) > step * rate:
        return direction
    # s = sin^2(theta / 2): the cross-section is flat in 1 / s.
    return scatter_once(run, energy, mass, 1.0 / (1.0 + uniform(run.stream) * span), direction)


@numba.njit(cache=True)
def scatter_once(run, energy, mass, s, direction):
    """Direction after a scatter by Rutherford's cross-section with ``s = sin^2(theta / 2)``, if it is one.

    Mott's spin factor 1 - beta^2 s and a Gaussian form factor of the nucleus thin them out.
    """
    squared_momentum = energy * (energy + 2.0 * mass)
    b2 = squared_momentum / (energy + mass) ** 2
    radius = run.detector.nuclear_radius
    accepted = (1.0 - b2 * s) * math.exp(-4.0 / 3.0 * squared_momentum * s * radius * radius)
    if uniform(run.stream) > accepted:
        return direction
    return rotate(direction, 1.0 - 2.0 * s, 2.0 * math.pi * uniform(run.stream))


@numba.njit(cache=True)
def single_scatters(run, energy, step):
    """Strength and screening of an electron's single scatters in a step, and where the hard ones begin.

    With ``s = sin^2(theta / 2)`` their number is ``strength / (s + screening)^2 ds`` (Moliere's screening);
    above ``cut`` there are ``HARD`` of them on average, followed one by one (as in PENELOPE, Salvat 2019).
    An electron of some MeV scatters so much from one voxel to the next that a Gaussian for all is no good.
    """
    squared_momentum = energy * (energy + 2.0 * ELECTRON_MASS)
    momentum_beta = squared_momentum / (energy + ELECTRON_MASS)
    strength = step * run.detector.rutherford / (momentum_beta * momentum_beta)
    screening = run.detector.screening / squared_momentum
    cut = 1.0 / (HARD / strength + 1.0 / (1.0 + screening)) - screening
    return strength, screening, max(cut, 0.0)


@numba.njit(cache=True)
def soft_scatter(run, scatters):
    """Angle of all soft scatters together: of their mean cosine, spread as exp(k cos(theta))."""
    strength, screening, cut = scatters
    ratio = screening / (cut + screening)
    mean = math.exp(-2.0 * strength * (ratio - 1.0 - math.log(ratio)))
    if mean >= 1.0:
        return 0.0
    k = max(mean * (3.0 - mean * mean) / (1.0 - mean * mean), 1e-3)  # Banerjee et al. 2005
    cosine = 1.0 + math.log1p(-uniform(run.stream) * (1.0 - math.exp(-2.0 * k))) / k
    return math.acos(min(1.0, max(-1.0, cosine)))


@numba.njit(cache=True)
def hard_scatters(run, energy, scatters, direction):
    """Direction after the hard scatters of a step."""
    strength, screening, cut = scatters
    first, span = 1.0 / (1.0 + screening), 1.0 / (cut + screening) - 1.0 / (1.0 + screening)
    left = strength * span - exponential(run.stream)
    while left > 0.0:
        s = 1.0 / (first + uniform(run.stream) * span) - screening
        direction = scatter_once(run, energy, ELECTRON_MASS, s, direction)
        left -= exponential(run.stream)
    return direction


@numba.njit(cache=True)
def move(run, i, position, direction, step, loss, angle):
    """One step: half of it straight, the scatter, the other half. Returns position and direction.

    Energy is left at the middle of both halves: with a single deposit per step a track would jump over
    the corners of voxels.
    """
    quarter, rate = 0.25 * step, loss / step
    middle = advance(position, direction, 0.5 * step)
    deposit(run, i, 0.5 * loss, advance(position, direction, quarter), rate)
    turned = rotate(direction, math.cos(angle), 2.0 * math.pi * uniform(run.stream))
    deposit(run, i, 0.5 * loss, advance(middle, turned, quarter), rate)
    return advance(middle, turned, 0.5 * step), turned


@numba.njit(cache=True)
def knock_on(run, energy, mass, maximum, step):
    """Energy of a knock-on electron above the cut made in this step, or 0.

    dN / dT = xi / (beta^2 T^2) (1 - beta^2 T / T_max): drawn from 1 / T^2, then thinned (Rossi 1952).
    """
    if maximum <= DELTA_CUT:
        return 0.0
    g = 1.0 + energy / mass
    b2 = 1.0 - 1.0 / (g * g)
    span = 1.0 / DELTA_CUT - 1.0 / maximum
    if uniform(run.stream) > run.detector.xi / b2 * span * step:
        return 0.0
    delta = 1.0 / (1.0 / DELTA_CUT - uniform(run.stream) * span)
    return delta if uniform(run.stream) < 1.0 - b2 * delta / maximum else 0.0


@numba.njit(cache=True)
def knock_on_electron(run, code, energy, step):
    """Energy of the electron that an electron or positron knocks on above the cut in this step, or 0.

    Moller and Bhabha scattering (Messel and Crawford 1970, as in the Geant4 physics reference manual). Of
    two electrons the slower one counts as knocked on. In units of ``xi / (beta^2 T^2)`` these cross-sections
    are at most 9/4 (Moller, equal parts) and 1 (Bhabha).
    """
    most, highest = (1.0, energy) if code == POSITRON else (2.25, 0.5 * energy)
    if highest <= DELTA_CUT:
        return 0.0
    g = 1.0 + energy / ELECTRON_MASS
    b2 = 1.0 - 1.0 / (g * g)
    span = 1.0 / DELTA_CUT - 1.0 / highest
    if uniform(run.stream) > most * run.detector.xi / b2 * span * step:
        return 0.0
    delta = 1.0 / (1.0 / DELTA_CUT - uniform(run.stream) * span)
    part = bhabha(g, delta / energy) if code == POSITRON else moller(g, delta / energy)
    return delta if uniform(run.stream) * most < part else 0.0


@numba.njit(cache=True)
def moller(g, x):
    """Moller cross-section for the fraction ``x`` of the kinetic energy, in ``xi / (beta^2 T^2)``."""
    mixed, y = (2.0 * g - 1.0) / (g * g), x / (1.0 - x)
    return 1.0 - x * mixed + (x * (g - 1.0) / g) ** 2 + y * (y - x * mixed)


@numba.njit(cache=True)
def bhabha(g, x):
    """Bhabha cross-section for the fraction ``x`` of the kinetic energy, in ``xi / (beta^2 T^2)``."""
    b2, y = 1.0 - 1.0 / (g * g), 1.0 / (g + 1.0)
    z = 1.0 - 2.0 * y
    return 1.0 - b2 * x * (2.0 - y * y - x * (z * (3.0 + y * y) - x * z * z * (1.0 + z - x * z)))


@numba.njit(cache=True)
def release_delta(run, i, code, delta, energy, position, direction):
    """Push a knock-on electron and return the direction in which its maker goes on (two-body kinematics)."""
    mass = MASS[code]
    momentum = math.sqrt(energy * (energy + 2.0 * mass))
    delta_momentum = math.sqrt(delta * (delta + 2.0 * ELECTRON_MASS))
    cosine = min(1.0, delta * (energy + mass + ELECTRON_MASS) / (momentum * delta_momentum))
    azimuth = 2.0 * math.pi * uniform(run.stream)
    push(run, ELECTRON, i, KNOCK_ON, delta, position, rotate(direction, cosine, azimuth))
    left = math.sqrt((energy - delta) * (energy - delta + 2.0 * mass))
    along = (momentum - delta_momentum * cosine) / max(left, 1e-12)
    return rotate(direction, min(1.0, max(-1.0, along)), azimuth + math.pi)


@numba.njit(cache=True)
def radiate(run, i, energy, position, direction):
    """Push a bremsstrahlung photon above the cut, at an angle of about m / E, and return its energy.

    dN / dy = (4/3 - 4/3 y + y^2) / y for the fraction y of the energy (complete screening; Tsai 1974).
    """
    lowest = BREMS_CUT / energy
    while True:
        y = lowest ** uniform(run.stream)
        if uniform(run.stream) * 4.0 / 3.0 < 4.0 / 3.0 - 4.0 / 3.0 * y + y * y:
            break
    angle = min(ELECTRON_MASS / (energy + ELECTRON_MASS) * math.sqrt(exponential(run.stream)), 1.5)
    path = rotate(direction, math.cos(angle), 2.0 * math.pi * uniform(run.stream))
    push(run, GAMMA, i, ELECTROMAGNETIC, y * energy, position, path)
    return y * energy


@numba.njit(cache=True)
def end_at_rest(run, i, code, position):
    """Decay or capture of a stopped particle."""
    if code == MU_PLUS:
        decay_muon(run, i, POSITRON, position)
    elif code == MU_MINUS:
        if uniform(run.stream) > run.detector.muon_capture:
            decay_muon(run, i, ELECTRON, position)
        else:
            for _ in range(poisson(run.stream, 1.2)):
                energy = 0.5 + 2.0 * exponential(run.stream)
                push(run, GAMMA, i, NUCLEAR, energy, position, isotropic(run.stream))
    elif code == PI_PLUS:
        push(run, MU_PLUS, i, DECAY, PION_DECAY_MUON, position, isotropic(run.stream))
    elif code == PI_MINUS:
        capture_star(run, i, 70.0, position)


@numba.njit(cache=True)
def decay_muon(run, i, code, position):
    """Michel electron: x^2 (3 - 2x) in x = E / E_max (Michel 1950, unpolarised, electron mass neglected)."""
    while True:
        x = uniform(run.stream)
        if uniform(run.stream) < x * x * (3.0 - 2.0 * x):
            break
    energy = max(MICHEL_ENDPOINT * x - ELECTRON_MASS, 0.1)
    push(run, code, i, DECAY, energy, position, isotropic(run.stream))
