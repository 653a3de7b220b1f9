"""Tabulated formulas of liquid argon against Geant4, NIST and PDG."""

import numpy as np
import pytest

from sparseclust.data.simulation import _formulas as formulas
from sparseclust.data.simulation import _kernels_tables as tables
from sparseclust.data.simulation import _material as material
from sparseclust.data.simulation._kernels_particles import MUON_MASS, PROTON_MASS

ARGON = material.LIQUID_ARGON
ENERGIES = np.geomspace(0.01, 2e4, 20001)


def csda_range(mass, energy):
    loss = formulas.heavy_loss(ENERGIES, mass, ARGON, cut=np.inf)
    steps = 0.5 * (1 / loss[1:] + 1 / loss[:-1]) * np.diff(ENERGIES)
    return np.interp(energy, ENERGIES, np.concatenate([[0.0], np.cumsum(steps)]))


@pytest.mark.parametrize(
    ("energy", "path"),
    [
        (0.5, 9.24),
        (1, 12.2),
        (2, 17.3),
        (5, 25.9),
        (10, 30.2),
        (20, 29.2),
        (50, 26.2),
        (100, 24.0),
        (500, 19.7),
    ],
)
def test_photon_mean_free_path(energy, path):
    """Geant4, 2000 photons each (2 %); ours may differ by 5 %."""
    place = tables.locate(float(energy))
    rows = (tables.PAIR_RATE, tables.COMPTON_RATE, tables.PHOTO_RATE)
    rate = sum(tables.look_up(formulas.tabulate(ARGON), row, place) for row in rows)
    assert 1 / rate == pytest.approx(path, rel=0.05)


@pytest.mark.parametrize(
    ("mass", "energy", "expected"), [(MUON_MASS, 300, 123.7), (MUON_MASS, 1000, 442), (PROTON_MASS, 100, 7.8)]
)
def test_range(mass, energy, expected):
    assert csda_range(mass, energy) == pytest.approx(expected, rel=0.01)


def test_minimum_ionising_loss():
    assert formulas.heavy_loss(ENERGIES, MUON_MASS, ARGON, cut=np.inf).min() == pytest.approx(
        2.104, rel=0.002
    )


def test_electron_collision_stopping_power():
    """NIST ESTAR, MeV cm2/g."""
    loss = formulas.electron_loss(np.array([10.0, 30.0, 50.0, 100.0]), ARGON, cut=np.inf) / ARGON.density
    np.testing.assert_allclose(loss, [1.555, 1.671, 1.718, 1.775], rtol=5e-4)


def test_critical_energy_of_rossi():
    loss = formulas.electron_loss(ENERGIES, ARGON, cut=np.inf) * ARGON.radiation_length
    assert ENERGIES[np.argmin(np.abs(loss / ENERGIES - 1))] == pytest.approx(32.8, rel=0.005)


def test_cuts_move_energy_between_hard_and_soft_radiation():
    """Soft loss plus the mean energy of hard photons does not depend on the cut."""
    energy = np.array([100.0])
    y = np.linspace(1e-3, 1.0, 200001)
    hard = np.trapezoid(4 / 3 - 4 / 3 * y + y**2, y)  # energy fraction carried by photons above 0.1 MeV
    strength = formulas.radiation_strength(energy, ARGON) / ARGON.radiation_length
    _, soft = formulas.bremsstrahlung(energy, ARGON, cut=0.1)
    np.testing.assert_allclose(soft + strength * energy * hard, strength * energy, rtol=1e-6)


def test_restricted_losses_are_smaller():
    for cut in (0.3, 3.0):
        full = formulas.heavy_loss(ENERGIES, MUON_MASS, ARGON, cut=np.inf)
        assert (formulas.heavy_loss(ENERGIES, MUON_MASS, ARGON, cut=cut) <= full).all()


def test_pair_production_starts_at_threshold():
    rate = formulas.pair_production(np.array([1.0, 1.0219, 1.1, 2.04, 2.05]), ARGON)
    assert (rate[:2] == 0).all()
    assert (np.diff(rate[1:]) > 0).all()


def test_tables_cover_the_grid_and_are_read_only():
    table = formulas.tabulate(ARGON)
    assert table.shape == (tables.N_TABLES, tables.GRID_POINTS)
    assert np.isfinite(table).all()
    assert (table >= 0).all()
    assert not table.flags.writeable


@pytest.mark.parametrize("energy", [1e-5, 0.01, 0.5, 77.0, 2e4, 1e6])
def test_look_up_interpolates_and_clamps(energy):
    table = np.log(formulas.grid_energies())[None]
    expected = np.log(np.clip(energy, tables.LOWEST, tables.HIGHEST))
    assert tables.look_up(table, 0, tables.locate(energy)) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    ("name", "minimum"), [("liquid argon", 1.508), ("water", 1.992), ("liquid xenon", 1.255)]
)
def test_minimum_ionising_loss_of_media(name, minimum):
    """PDG, atomic and nuclear properties, MeV cm2/g."""
    medium = material.MATERIALS[name]
    loss = formulas.heavy_loss(ENERGIES, MUON_MASS, medium, cut=np.inf).min() / medium.density
    assert loss == pytest.approx(minimum, rel=0.01)


def test_photons_in_water():
    """NIST XCOM, total attenuation without coherent scattering, cm2/g."""
    table = formulas.tabulate(material.WATER)
    for energy, expected in {0.1: 0.1654, 1.0: 0.0707, 10.0: 0.0222}.items():
        place = tables.locate(energy)
        rows = (tables.PAIR_RATE, tables.COMPTON_RATE, tables.PHOTO_RATE)
        rate = sum(tables.look_up(table, row, place) for row in rows)
        assert rate == pytest.approx(expected, rel=0.03)
