"""What the transport writes: particle records, energy deposits, and directions in space."""

import math
from typing import NamedTuple

import numba
import numpy as np
import numpy.typing as npt

from sparseclust.data.simulation._kernels_random import normal, uniform

# Particle codes.
GAMMA, ELECTRON, POSITRON, MU_MINUS, MU_PLUS, PI_PLUS, PI_MINUS, PI_ZERO, PROTON = range(9)

# Masses in MeV (PDG 2022); MASS goes by particle code.
ELECTRON_MASS = 0.51099895
PION_MASS = 139.57039
PI_ZERO_MASS = 134.9768
MUON_MASS = 105.6583755
PROTON_MASS = 938.27208816
MASS = (
    0.0,
    ELECTRON_MASS,
    ELECTRON_MASS,
    MUON_MASS,
    MUON_MASS,
    PION_MASS,
    PION_MASS,
    PI_ZERO_MASS,
    PROTON_MASS,
)

# How a particle came to be, as far as the labels need to know.
PRIMARY, ELECTROMAGNETIC, KNOCK_ON, DECAY, NUCLEAR = range(5)

# Columns of a particle record (float64).
CODE, PARENT, PROCESS, INTERACTION, ENERGY, POSITION, DIRECTION = 0, 1, 2, 3, 4, 5, 8
RECORD = 11

# Columns of a deposit (float64; voxel keys stay below 2^53 and are exact).
VOXEL, PARTICLE, DEPOSITED = range(3)
DEPOSIT = 3

# Entries of the counters: particles, deposits, and whether a buffer was too small.
N_PARTICLES, N_DEPOSITS, FULL = range(3)

# Production and tracking thresholds in MeV.
DELTA_CUT = 0.30  # knock-on electrons above it are particles of their own
BREMS_CUT = 0.10  # so are radiated photons
ELECTRON_CUT = 0.12  # electrons below it stop where they are
PHOTON_CUT = 0.03  # photons below it are absorbed where they are

STOPPING = 5.0  # MeV/cm, loss of electrons that stop within one point
CLOUDS = 4  # parts of a deposit that diffuse on their own


class Detector(NamedTuple):
    """A cube of voxels filled with one medium.

    Voxel (i, j, k) has the key ``((i + 1) * base + j + 1) * base + k + 1`` with ``base = size + 2``: a key
    may be shifted by one in every axis without meeting the key of an unrelated voxel.
    """

    size: int  # voxels per axis
    base: int
    voxel_size: float  # cm
    xi: float  # MeV/cm, Landau's xi per path length at beta = 1
    radiation_length: float  # cm
    rutherford: float  # MeV2/cm, see Material.rutherford
    screening: float  # MeV2, see Material.screening
    nuclear_radius: float  # root mean square, 1/MeV
    muon_capture: float  # fraction of stopped mu- that a nucleus captures
    neutron_level: float  # MeV: slower neutrons scatter elastically only
    neutron_capture: float  # MeV, set free in photons by a capture
    seen: float  # Birks' law: A
    quenching: float  # and k, cm/MeV
    along: float  # width of a point after 1 m of drift, cm
    across: float


class Run(NamedTuple):
    """All that the transport of one event reads and writes."""

    stream: npt.NDArray[np.uint64]
    particles: npt.NDArray[np.float64]  # (capacity, RECORD)
    deposits: npt.NDArray[np.float64]  # (capacity, DEPOSIT)
    counts: npt.NDArray[np.int64]
    tables: npt.NDArray[np.float64]
    detector: Detector


@numba.njit(cache=True)
def outside(run, position, margin):
    """Whether a position is more than ``margin`` cm outside the volume."""
    top = run.detector.size * run.detector.voxel_size + margin
    x, y, z = position
    return min(x, y, z) < -margin or max(x, y, z) > top


@numba.njit(cache=True)
def advance(position, direction, length):
    """Position after a straight path."""
    x, y, z = position
    ux, uy, uz = direction
    return x + length * ux, y + length * uy, z + length * uz


@numba.njit(cache=True)
def rotate(direction, cosine, azimuth):
    """Turn a unit vector by a polar angle (given as its cosine) and an azimuth."""
    ux, uy, uz = direction
    sine = math.sqrt(max(0.0, 1.0 - cosine * cosine))
    cp = sine * math.cos(azimuth)
    sp = sine * math.sin(azimuth)
    if abs(uz) > 0.99999:
        return cp, sp, cosine if uz > 0.0 else -cosine
    r = math.sqrt(1.0 - uz * uz)
    vx = ux * cosine + (ux * uz * cp - uy * sp) / r
    vy = uy * cosine + (uy * uz * cp + ux * sp) / r
    vz = uz * cosine - cp * r
    scale = 1.0 / math.sqrt(vx * vx + vy * vy + vz * vz)  # rounding must not add up over thousands of steps
    return vx * scale, vy * scale, vz * scale


@numba.njit(cache=True)
def isotropic(stream):
    """Uniform unit vector."""
    cosine = 2.0 * uniform(stream) - 1.0
    azimuth = 2.0 * math.pi * uniform(stream)
    sine = math.sqrt(1.0 - cosine * cosine)
    return sine * math.cos(azimuth), sine * math.sin(azimuth), cosine


@numba.njit(cache=True)
def push(run, code, parent, process, energy, position, direction):
    """Append a particle; it waits for its transport and belongs to its parent's interaction."""
    n = run.counts[N_PARTICLES]
    if n == run.particles.shape[0]:
        run.counts[FULL] = 1
        return
    record = run.particles[n]
    record[CODE] = code
    record[PARENT] = parent
    record[PROCESS] = process
    record[INTERACTION] = run.particles[parent, INTERACTION]
    record[ENERGY] = energy
    for axis in range(3):
        record[POSITION + axis] = position[axis]
        record[DIRECTION + axis] = direction[axis]
    run.counts[N_PARTICLES] = n + 1


@numba.njit(cache=True)
def quenched(run, rate):
    """Fraction of the energy that is seen of particles that lose ``rate`` MeV/cm (Birks 1964)."""
    return run.detector.seen / (1.0 + run.detector.quenching * rate)


@numba.njit(cache=True)
def deposit(run, particle, energy, position, rate):
    """Leave energy lost at ``rate`` MeV/cm at a position: as much of it as is seen, spread by diffusion."""
    energy *= quenched(run, rate)
    detector = run.detector
    if detector.along == 0.0 and detector.across == 0.0:
        record_deposit(run, particle, energy, position)
        return
    x, y, z = position
    root = math.sqrt(max(x, 0.0) / 100.0)
    for _ in range(CLOUDS):
        there = (
            x + detector.along * root * normal(run.stream),
            y + detector.across * root * normal(run.stream),
            z + detector.across * root * normal(run.stream),
        )
        record_deposit(run, particle, energy / CLOUDS, there)


@numba.njit(cache=True)
def record_deposit(run, particle, energy, position):
    """Record energy in the voxel that holds the position; nothing outside the volume is recorded."""
    detector = run.detector
    x, y, z = position
    if energy <= 0.0 or min(x, y, z) < 0.0:
        return
    i = int(x / detector.voxel_size)
    j = int(y / detector.voxel_size)
    k = int(z / detector.voxel_size)
    if max(i, j, k) >= detector.size:
        return
    key = float(((i + 1) * detector.base + j + 1) * detector.base + k + 1)
    n = run.counts[N_DEPOSITS]
    if n > 0 and run.deposits[n - 1, VOXEL] == key and run.deposits[n - 1, PARTICLE] == particle:
        run.deposits[n - 1, DEPOSITED] += energy
        return
    if n == run.deposits.shape[0]:
        run.counts[FULL] = 1
        return
    run.deposits[n, VOXEL] = key
    run.deposits[n, PARTICLE] = particle
    run.deposits[n, DEPOSITED] = energy
    run.counts[N_DEPOSITS] = n + 1
