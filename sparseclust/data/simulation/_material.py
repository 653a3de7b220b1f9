"""Media that particles cross, as data."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from sparseclust.data.simulation._kernels_particles import ELECTRON_MASS

ELECTRON_RADIUS_SQUARED = 7.940787e-26  # cm2
FINE_STRUCTURE = 1.0 / 137.035999
AVOGADRO = 6.02214076e23
BETHE_K = 0.307075  # MeV cm2 / mol


class Element(NamedTuple):
    """One of the elements of a medium."""

    z: float
    a: float  # g/mol
    share: float  # of the mass


@dataclass(frozen=True)
class Material:
    """A medium, as data.

    Attributes
    ----------
    name : str
    density : float
        g/cm3.
    elements : tuple of Element
        Atomic number, mass in g/mol and share of the mass of each.
    excitation : float
        Mean excitation energy in MeV.
    radiation_depth : float
        Radiation length in g/cm2.
    sternheimer : tuple of 5 floats
        Density effect: a, k, x0, x1, C.
    photo : float
        Photo-electric mass attenuation at 0.1 MeV in cm2/g.
    muon_capture : float
        Fraction of stopped negative muons that a nucleus captures.
    neutron_level : float
        Lowest excitation by inelastic neutrons in MeV.
    neutron_capture : float
        Energy of the photons of a neutron capture in MeV.
    """

    name: str
    density: float
    elements: tuple[Element, ...]
    excitation: float
    radiation_depth: float
    sternheimer: tuple[float, float, float, float, float]
    photo: float
    muon_capture: float
    neutron_level: float
    neutron_capture: float

    @property
    def radiation_length(self) -> float:
        """In cm."""
        return self.radiation_depth / self.density

    def per_volume(self, of_atom: Callable[[Element], float]) -> float:
        """Sum of a property of the atoms in one cm3."""
        atoms = AVOGADRO * self.density
        return sum(atoms * e.share / e.a * of_atom(e) for e in self.elements)

    @property
    def electrons(self) -> float:
        """Electrons per cm3."""
        return self.per_volume(lambda e: e.z)

    @property
    def xi(self) -> float:
        """Landau's xi per path length at beta = 1, MeV/cm."""
        return 0.5 * BETHE_K * self.electrons / AVOGADRO

    @property
    def rutherford(self) -> float:
        """Single scatters beyond theta per cm, times (beta p)^2 tan^2(theta / 2): MeV2/cm."""
        charges = self.per_volume(lambda e: e.z * (e.z + 1.0))
        return float(np.pi * ELECTRON_RADIUS_SQUARED * ELECTRON_MASS**2 * charges)

    @property
    def screening(self) -> float:
        """Moliere's screening of nuclei, as sin^2(theta / 2), times p^2: MeV2; of fast particles."""

        def logarithm(e: Element) -> float:
            angle = FINE_STRUCTURE * ELECTRON_MASS * np.cbrt(e.z) / 0.885
            return float(np.log(angle**2 * (1.13 + 3.76 * (FINE_STRUCTURE * e.z) ** 2) / 4.0))

        weight = self.per_volume(lambda e: e.z * (e.z + 1.0))
        return float(np.exp(self.per_volume(lambda e: e.z * (e.z + 1.0) * logarithm(e)) / weight))

    @property
    def nuclear_radius(self) -> float:
        """Root mean square charge radius, 0.94 fm A^(1/3), of the nuclei that scatter most; in 1/MeV."""
        heaviest = max(self.elements, key=lambda e: e.share * e.z * (e.z + 1.0) / e.a)
        return float(0.94 * np.cbrt(heaviest.a) / 197.327)

    @property
    def pair_scale(self) -> float:
        """Scale of radiation and pair production, alpha r_e^2 Z (Z + 1) N in 1/cm."""
        return FINE_STRUCTURE * ELECTRON_RADIUS_SQUARED * self.per_volume(lambda e: e.z * (e.z + 1.0))

    @property
    def argon_nuclei(self) -> float:
        """Nuclei per cm3 in units of argon's inelastic cross-section, which goes as A^(2/3)."""
        return self.per_volume(lambda e: (e.a / ARGON.a) ** (2.0 / 3.0))


ARGON = Element(18.0, 39.948, 1.0)

# PDG "Atomic and nuclear properties"; photo-electric effect from NIST XCOM; captured muons from Suzuki,
# Measday and Roalsvig 1987; levels and separation energies from ENSDF and AME2020.
LIQUID_ARGON = Material(
    name="liquid argon",
    density=1.396,
    elements=(ARGON,),
    excitation=188.0e-6,
    radiation_depth=19.55,
    sternheimer=(0.19559, 3.0, 0.2000, 3.0000, 5.2146),
    photo=0.0426,
    muon_capture=0.74,
    neutron_level=1.461,
    neutron_capture=6.099,
)
# Captures in water are those of hydrogen, muons are captured by oxygen.
WATER = Material(
    name="water",
    density=1.0,
    elements=(Element(1.0, 1.008, 0.1119), Element(8.0, 15.999, 0.8881)),
    excitation=79.7e-6,
    radiation_depth=36.08,
    sternheimer=(0.09116, 3.4773, 0.2400, 2.8004, 3.5017),
    photo=0.00276,
    muon_capture=0.18,
    neutron_level=6.05,
    neutron_capture=2.225,
)
# The density effect is that of the gas (5.483e-3 g/cm3) scaled to the liquid (Sternheimer 1984, eq. 10).
LIQUID_XENON = Material(
    name="liquid xenon",
    density=2.953,
    elements=(Element(54.0, 131.293, 1.0),),
    excitation=482.0e-6,
    radiation_depth=8.48,
    sternheimer=(0.23314, 2.7414, 0.1974, 3.3715, 6.4391),
    photo=1.76,
    muon_capture=0.96,
    neutron_level=0.040,
    neutron_capture=8.0,
)
MATERIALS = {m.name: m for m in (LIQUID_ARGON, WATER, LIQUID_XENON)}
