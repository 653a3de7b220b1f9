"""How particles lose energy, radiate and interact: the formulas, tabulated once per medium."""

import functools

import numpy as np
import numpy.typing as npt

from sparseclust.data.simulation import _kernels_tables as grid
from sparseclust.data.simulation._kernels_particles import (
    BREMS_CUT,
    DELTA_CUT,
    ELECTRON_MASS,
    MASS,
    MU_MINUS,
    PI_PLUS,
    PROTON,
)
from sparseclust.data.simulation._material import ELECTRON_RADIUS_SQUARED, Material

FloatArray = npt.NDArray[np.float64]

# Inelastic cross-sections on argon in barn, coarse readings of published data, by kinetic energy in MeV.
HADRON_ENERGY = (0.0, 20.0, 60.0, 120.0, 200.0, 320.0, 500.0, 800.0, 1500.0, 5000.0)
PION_BARN = (0.10, 0.25, 0.45, 0.75, 0.85, 0.72, 0.52, 0.55, 0.58, 0.56)
PROTON_BARN = (0.0, 0.45, 0.52, 0.49, 0.46, 0.46, 0.49, 0.52, 0.53, 0.53)


@functools.lru_cache
def tabulate(material: Material) -> FloatArray:
    """Every formula of a medium on the common grid of kinetic energies, read-only.

    Returns
    -------
    (n_tables, n_energies) float64
        Rows as named in ``_kernels_tables``.
    """
    energy = grid_energies()
    tables = np.empty((grid.N_TABLES, grid.GRID_POINTS))
    tables[grid.LOSS_ELECTRON] = electron_loss(energy, material)
    tables[grid.LOSS_MUON] = heavy_loss(energy, MASS[MU_MINUS], material)
    tables[grid.LOSS_PION] = heavy_loss(energy, MASS[PI_PLUS], material)
    tables[grid.LOSS_PROTON] = heavy_loss(energy, MASS[PROTON], material)
    tables[grid.BREMS_RATE], tables[grid.SOFT_LOSS] = bremsstrahlung(energy, material)
    tables[grid.PAIR_RATE] = pair_production(energy, material)
    tables[grid.COMPTON_RATE] = compton(energy, material)
    tables[grid.PHOTO_RATE] = photo_effect(energy, material)
    barn = 1e-24 * material.argon_nuclei
    tables[grid.PION_INELASTIC] = np.interp(energy, HADRON_ENERGY, PION_BARN) * barn
    tables[grid.PROTON_INELASTIC] = np.interp(energy, HADRON_ENERGY, PROTON_BARN) * barn
    tables.flags.writeable = False
    return tables


def grid_energies() -> FloatArray:
    """Kinetic energies of the grid in MeV, evenly spaced in their logarithm."""
    steps = np.arange(grid.GRID_POINTS, dtype=np.float64)
    return np.asarray(np.exp(grid.LOG_LOWEST + grid.LOG_STEP * steps))


def density_effect(beta_gamma: FloatArray, material: Material) -> FloatArray:
    """Sternheimer's density correction delta (Sternheimer, Berger and Seltzer 1984), any beta gamma."""
    a, k, x0, x1, c = material.sternheimer
    x = np.log10(beta_gamma)
    plateau = 2.0 * np.log(10.0) * x - c
    rising = plateau + a * np.clip(x1 - x, 0.0, None) ** k
    return np.where(x > x1, plateau, np.where(x > x0, rising, 0.0))


def heavy_loss(energy: FloatArray, mass: float, material: Material, *, cut: float = DELTA_CUT) -> FloatArray:
    """Bethe loss of a singly charged particle heavier than the electron, transfers below ``cut`` only.

    In MeV/cm. PDG review, passage of particles through matter, eq. 34.10. Good to 1 % for muons and 2 % for
    protons above 10 MeV; below beta gamma of about 0.05 the logarithm is held positive, no more.
    """
    g = 1.0 + energy / mass
    b2 = 1.0 - 1.0 / g**2
    bg2 = b2 * g**2
    ratio = ELECTRON_MASS / mass
    maximum = 2.0 * ELECTRON_MASS * bg2 / (1.0 + 2.0 * g * ratio + ratio**2)
    top = np.minimum(cut, maximum)
    argument = 2.0 * ELECTRON_MASS * bg2 * top / material.excitation**2
    logarithm = 0.5 * np.log(np.maximum(argument, 1.05)) - 0.5 * b2 * (1.0 + top / maximum)
    logarithm -= 0.5 * density_effect(np.sqrt(bg2), material)
    return 2.0 * material.xi / b2 * np.maximum(logarithm, 0.35)


def electron_loss(energy: FloatArray, material: Material, *, cut: float = DELTA_CUT) -> FloatArray:
    """Collision loss of electrons restricted to transfers below ``cut``, MeV/cm.

    Berger and Seltzer with Moller scattering (ICRU report 37; restricted form as in the Geant4 physics
    reference manual). Exact to rounding against ICRU above 10 keV; used for positrons too (1-2 %).
    """
    tau = energy / ELECTRON_MASS
    g = 1.0 + tau
    b2 = 1.0 - 1.0 / g**2
    d = np.minimum(cut, 0.5 * energy) / ELECTRON_MASS
    moller = -1.0 - b2 + np.log((tau - d) * d) + tau / (tau - d)
    moller += (0.5 * d**2 + (2.0 * tau + 1.0) * np.log(1.0 - d / tau)) / g**2
    logarithm = np.log(2.0 * (tau + 2.0) * (ELECTRON_MASS / material.excitation) ** 2) + moller
    logarithm -= density_effect(np.sqrt(b2) * g, material)
    return material.xi / b2 * np.maximum(logarithm, 2.0)


def radiation_strength(energy: FloatArray, material: Material) -> FloatArray:
    """Strength of bremsstrahlung in units of its limit 1 / X0, by kinetic energy.

    Bethe and Heitler's unscreened logarithm ln(2 E / m) - 1/3 (Koch and Motz 1959), joined smoothly to the
    fully screened limit (Tsai 1974). Radiative losses come out 3 to 7 % high between 5 and 500 MeV.
    """
    limit = 1.0 / (4.0 * material.radiation_length * material.pair_scale)
    unscreened = np.maximum(np.log(2.0 * (energy + ELECTRON_MASS) / ELECTRON_MASS) - 1.0 / 3.0, 0.3)
    return _smooth_minimum(unscreened, limit, 2.5) / limit


def bremsstrahlung(
    energy: FloatArray, material: Material, *, cut: float = BREMS_CUT
) -> tuple[FloatArray, FloatArray]:
    """Photons radiated above ``cut`` per cm, and energy radiated below it in MeV/cm.

    Integrals of the complete-screening spectrum (4/3 - 4/3 y + y^2) / y (PDG, eq. 34.29; Tsai 1974) with the
    strength of :func:`radiation_strength`.
    """
    strength = radiation_strength(energy, material) / material.radiation_length
    y = np.minimum(cut / energy, 1.0)
    rate = strength * (-4.0 / 3.0 * np.log(y) - 4.0 / 3.0 * (1.0 - y) + 0.5 * (1.0 - y**2))
    soft = strength * energy * (4.0 / 3.0 * y - 2.0 / 3.0 * y**2 + y**3 / 3.0)
    return rate, soft


def pair_production(energy: FloatArray, material: Material) -> FloatArray:
    """Pair productions per cm; 0 below threshold.

    Maximon's unscreened Born cross-section (Maximon 1968; Hubbell, Gimm and Overbo 1980), joined smoothly to
    the fully screened limit 7/9 / X0 (Tsai 1974). Good to 3 % above 5 MeV.
    """
    k = energy / ELECTRON_MASS
    rate: FloatArray = np.zeros_like(k)
    low = (k > 2.0) & (k <= 4.0)
    high = k > 4.0
    rate[low] = material.pair_scale * _maximon_low(k[low])
    born = material.pair_scale * np.maximum(_maximon_high(k[high]), 1e-9)
    rate[high] = _smooth_minimum(born, 7.0 / 9.0 / material.radiation_length, 4.0)
    return rate


def _maximon_low(k: FloatArray) -> FloatArray:
    """Series near threshold, 2 < k <= 4 electron masses, in units of alpha r_e^2 Z^2."""
    e = (2.0 * k - 4.0) / (2.0 + k + 2.0 * np.sqrt(2.0 * k))
    series = 1.0 + e / 2.0 + 23.0 / 40.0 * e**2 + 11.0 / 60.0 * e**3 + 29.0 / 960.0 * e**4
    return 2.0 * np.pi / 3.0 * ((k - 2.0) / k) ** 3 * series


def _maximon_high(k: FloatArray) -> FloatArray:
    """Series for k > 4 electron masses, in units of alpha r_e^2 Z^2."""
    log = np.log(2.0 * k)
    zeta3 = 1.2020569
    second = 6.0 * log - 3.5 + 2.0 / 3.0 * log**3 - log**2 - np.pi**2 / 3.0 * log
    second += 2.0 * zeta3 + np.pi**2 / 6.0
    fourth = 3.0 / 16.0 * log + 1.0 / 8.0
    sixth = 29.0 / (9.0 * 256.0) * log - 77.0 / (27.0 * 512.0)
    u = 2.0 / k
    return np.asarray(28.0 / 9.0 * log - 218.0 / 27.0 + u**2 * second - u**4 * fourth - u**6 * sixth)


def compton(energy: FloatArray, material: Material) -> FloatArray:
    """Compton scatters per cm: the Klein-Nishina total cross-section on free electrons (1929), any energy."""
    k = energy / ELECTRON_MASS
    log = np.log(1.0 + 2.0 * k)
    bracket = (1.0 + k) / k**2 * (2.0 * (1.0 + k) / (1.0 + 2.0 * k) - log / k)
    bracket += log / (2.0 * k) - (1.0 + 3.0 * k) / (1.0 + 2.0 * k) ** 2
    return 2.0 * np.pi * ELECTRON_RADIUS_SQUARED * material.electrons * bracket


def photo_effect(energy: FloatArray, material: Material) -> FloatArray:
    """Photo-electric absorptions per cm: energy^-3 through the XCOM value at 0.1 MeV, flatter above 0.5 MeV.

    For 10 keV to 1 MeV; above, the effect is negligible in light media.
    """
    power = np.where(energy < 0.5, (0.1 / energy) ** 3, 0.2**3 * (0.5 / energy) ** 1.3)
    return material.photo * material.density * power


def _smooth_minimum(values: FloatArray, limit: float, order: float) -> FloatArray:
    """(values^-n + limit^-n)^(-1/n): the smaller of the two away from where they cross."""
    return np.asarray((values**-order + limit**-order) ** (-1.0 / order))
