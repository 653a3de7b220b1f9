"""Transport of single particles: energy balance, spectra and fates."""

import math

import numpy as np
import pytest
from scipy import integrate, stats

from sparseclust.data import SemanticClass
from sparseclust.data.simulation import EventGenerator, Primary
from sparseclust.data.simulation import _kernels_charged as charged
from sparseclust.data.simulation import _kernels_hadrons as hadrons
from sparseclust.data.simulation import _kernels_particles as kernels
from sparseclust.data.simulation import _kernels_photons as photons
from sparseclust.data.simulation._formulas import electron_loss
from sparseclust.data.simulation._kernels_random import new_stream, uniform
from sparseclust.data.simulation._material import LIQUID_ARGON

HUGE = EventGenerator(spatial_size=1000, voxel_size=10.0)  # 100 m: nothing leaves
CENTRE = (5000.0, 5000.0, 5000.0)
Z = (0.0, 0.0, 1.0)


def simulate(particle, energy, n=1, generator=HUGE, position=CENTRE):
    deposits, particles, _ = generator._transport([Primary(particle, energy, position, Z)] * n, 0)
    return deposits, particles


def alone():
    """What a compiled step needs, without particles."""
    return kernels.Run(
        new_stream(1, 0, 0), *(np.empty((0, 11)),) * 2, np.zeros(3, np.int64), None, HUGE._detector()
    )


def children(particles, process):
    return particles[(particles[:, kernels.PROCESS] == process) & (particles[:, kernels.PARENT] >= 0)]


@pytest.mark.parametrize(
    ("particle", "energy", "available"),
    [
        ("gamma", 0.05, 0.05),
        ("gamma", 5.0, 5.0),
        ("gamma", 300.0, 300.0),
        ("e-", 0.05, 0.05),
        ("e-", 200.0, 200.0),
        ("e+", 50.0, 50.0 + 2 * kernels.ELECTRON_MASS),
        ("pi0", 150.0, 150.0 + kernels.PI_ZERO_MASS),
    ],
)
def test_energy_is_conserved_in_a_huge_volume(particle, energy, available):
    deposits, _ = simulate(particle, energy, n=5)
    assert deposits[:, kernels.DEPOSITED].sum() == pytest.approx(5 * available, rel=1e-9)


def test_muon_deposits_its_energy_and_that_of_its_decay():
    deposits, particles = simulate("mu+", 300.0)
    decay = children(particles, kernels.DECAY)[:, kernels.ENERGY].sum()
    expected = 300.0 + decay + 2 * kernels.ELECTRON_MASS
    assert deposits[:, kernels.DEPOSITED].sum() == pytest.approx(expected, rel=1e-9)


def test_energy_that_leaves_a_small_volume_is_not_deposited():
    small = EventGenerator(spatial_size=16)
    deposits, _ = simulate("e-", 200.0, generator=small, position=(2.4, 2.4, 2.4))
    assert 1.0 < deposits[:, kernels.DEPOSITED].sum() < 100.0


def test_photon_mean_free_path_in_flight():
    _, particles = simulate("gamma", 50.0, n=2000)
    starts = particles[(particles[:, kernels.PARENT] >= 0) & (particles[:, kernels.PARENT] < 2000)]
    _, first = np.unique(starts[:, kernels.PARENT], return_index=True)
    depth = starts[first, kernels.POSITION + 2] - CENTRE[2]
    assert depth.mean() == pytest.approx(26.2, rel=0.08)  # Geant4 26.2 +- 2 %, tables 3 %, statistics 2 %


def test_stopping_muons_go_as_far_as_they_should():
    _, particles = simulate("mu+", 300.0, n=100)
    depth = children(particles, kernels.DECAY)[:, kernels.POSITION + 2] - CENTRE[2]
    # the range along the path is 123.7 cm; scattering shortens the depth by a few per cent
    assert 0.94 * 123.7 < depth.mean() < 1.0 * 123.7
    assert depth.std() / depth.mean() < 0.06


def test_michel_spectrum():
    _, particles = simulate("mu+", 1.0, n=3000)
    electrons = children(particles, kernels.DECAY)
    assert len(electrons) == 3000
    x = (electrons[:, kernels.ENERGY] + kernels.ELECTRON_MASS) / 52.83
    assert stats.kstest(x, lambda x: 2 * x**3 - x**4).pvalue > 1e-3
    assert x.mean() * 52.83 == pytest.approx(36.98, abs=0.7)  # 7/10 of the endpoint


def pion_decays(n, energy=150.0):
    """Children of neutral pions: the pion of each, its code, total energy and momentum."""
    _, particles = simulate("pi0", energy, n=n)
    born = children(particles, kernels.DECAY)
    born = born[born[:, kernels.PARENT] < n]
    mass = np.where(born[:, kernels.CODE] == kernels.GAMMA, 0.0, kernels.ELECTRON_MASS)
    total = born[:, kernels.ENERGY] + mass
    path = born[:, kernels.DIRECTION : kernels.DIRECTION + 3]
    momentum = np.sqrt(total**2 - mass**2)[:, None] * path
    return born[:, kernels.PARENT].astype(int), born[:, kernels.CODE], total, momentum


def test_neutral_pions_keep_their_energy_and_momentum_and_one_in_85_makes_a_pair():
    pion, _, total, momentum = pion_decays(5000)
    mass = kernels.PI_ZERO_MASS
    assert np.bincount(pion, total) == pytest.approx(150.0 + mass, rel=1e-12)
    along = math.sqrt((150.0 + mass) ** 2 - mass**2)
    sums = np.stack([np.bincount(pion, p) for p in momentum.T], axis=1)
    np.testing.assert_allclose(sums, np.broadcast_to(along * np.array(Z), sums.shape), atol=1e-9)
    products = np.bincount(pion)
    assert set(products) == {2, 3}
    assert np.mean(products == 3) == pytest.approx(0.01174, abs=4 * math.sqrt(0.01174 / 5000))


def test_dalitz_pairs_have_the_masses_and_angles_of_kroll_and_wada():
    stream = new_stream(5, 0, 0)
    x, cosine = np.array([hadrons.dalitz_pair(stream) for _ in range(20_000)]).T
    least = (2 * kernels.ELECTRON_MASS / kernels.PI_ZERO_MASS) ** 2
    grid = np.geomspace(least, 1.0, 20_001)
    u = least / grid
    # Per unit of log x; 1 + u / 2 is what the angles give in sum.
    density = np.sqrt(1 - u) * (1 + u / 2) * (1 - grid) ** 3 * (1 + 0.0335 * grid) ** 2
    summed = integrate.cumulative_simpson(density, x=np.log(grid), initial=0)
    assert stats.kstest(x, lambda v: np.interp(v, grid, summed / summed[-1])).pvalue > 1e-3
    heavy = x > 100 * least  # there 1 + c^2
    assert stats.kstest(cosine[heavy], lambda c: (4 + 3 * c + c**3) / 8).pvalue > 1e-3


def test_the_electrons_of_a_dalitz_pair_come_back_to_its_mass():
    """In the laboratory a pair has the same invariant mass, and a photon takes what is left."""
    pion, code, total, momentum = pion_decays(5000)
    with_pair = np.flatnonzero(np.bincount(pion) == 3)
    light = 0
    for number in with_pair:
        mine = (pion == number) & (code != kernels.GAMMA)
        assert sorted(code[mine]) == [kernels.ELECTRON, kernels.POSITRON]
        mass = math.sqrt(total[mine].sum() ** 2 - (momentum[mine].sum(axis=0) ** 2).sum())
        assert 2 * kernels.ELECTRON_MASS - 1e-6 <= mass < kernels.PI_ZERO_MASS
        light += mass < 15.0
    # Kroll and Wada: 66 % of the pairs are lighter than 15 MeV.
    assert light / len(with_pair) == pytest.approx(0.66, abs=4 * math.sqrt(0.22 / len(with_pair)))


def test_three_quarters_of_negative_muons_are_captured():
    _, particles = simulate("mu-", 1.0, n=2000)
    assert 0.23 < len(children(particles, kernels.DECAY)) / 2000 < 0.30


def test_fraction_of_hadrons_that_interact():
    """Geant4: 81 % of pi+ and 44 % of protons of 300 MeV."""
    _, pions = simulate("pi+", 300.0, n=400)
    primary_decays = children(pions, kernels.DECAY)[:, kernels.PARENT] < 400
    assert 1 - primary_decays.sum() / 400 == pytest.approx(0.81, abs=0.07)
    _, protons = simulate("p", 300.0, n=400)
    nuclear = children(protons, kernels.NUCLEAR)
    makers = np.unique(nuclear[nuclear[:, kernels.PARENT] < 400, kernels.PARENT])
    assert len(makers) / 400 == pytest.approx(0.44, abs=0.07)


def test_delta_rays_follow_their_spectrum():
    """Above the cut, dN/dT = xi / (beta^2 T^2) (1 - beta^2 T / T_max) for muons of 10 GeV."""
    _, particles = simulate("mu-", 1e4, n=3)
    deltas = children(particles, kernels.KNOCK_ON)
    energy = deltas[(deltas[:, kernels.PARENT] < 3), kernels.ENERGY]
    share = (energy > 1.0).mean()
    assert share == pytest.approx(0.3, abs=4 * math.sqrt(0.21 / len(energy)))
    assert energy.min() >= kernels.DELTA_CUT


@pytest.mark.parametrize("energy", [2.0, 10.0, 100.0])
def test_what_electrons_lose_in_soft_and_hard_collisions_adds_up_to_berger_and_seltzer(energy):
    g = 1 + energy / kernels.ELECTRON_MASS
    b2 = 1 - 1 / g**2

    def lost(transfer):
        return LIQUID_ARGON.xi / b2 / transfer * charged.moller(g, transfer / energy)

    hard, _ = integrate.quad(lost, kernels.DELTA_CUT, energy / 2)
    soft, whole = (
        electron_loss(np.array([energy]), LIQUID_ARGON, cut=cut)[0] for cut in (kernels.DELTA_CUT, 1e9)
    )
    assert soft + hard == pytest.approx(whole, rel=1e-6)


@pytest.mark.parametrize(("code", "highest"), [(kernels.ELECTRON, 5.0), (kernels.POSITRON, 10.0)])
def test_electrons_and_positrons_knock_on_as_moller_and_bhabha_say(code, highest):
    """Of 10 MeV, along 1 mm, again and again."""
    run = alone()
    step, n = 0.1, 400_000
    energy = np.array([charged.knock_on_electron(run, code, 10.0, step) for _ in range(n)])
    g = 1 + 10 / kernels.ELECTRON_MASS
    part = charged.moller if code == kernels.ELECTRON else charged.bhabha
    for lowest in (kernels.DELTA_CUT, 1.0, 3.0):
        rate, _ = integrate.quad(lambda t: part(g, t / 10) / t**2, lowest, highest)
        expected = n * step * LIQUID_ARGON.xi / (1 - 1 / g**2) * rate
        assert np.count_nonzero(energy >= lowest) == pytest.approx(expected, abs=4 * math.sqrt(expected))
    assert energy.max() <= highest


def test_compton_photons_keep_the_mean_fraction_of_their_energy():
    """Klein and Nishina: a photon of 1 MeV keeps 56.0 % of its energy on average."""
    stream = new_stream(1, 0, 0)
    left, cosine = np.array([photons.klein_nishina(stream, 1.0) for _ in range(20000)]).T
    assert left.mean() == pytest.approx(0.560, abs=0.006)
    np.testing.assert_allclose(left, 1 / (1 + (1 - cosine) / kernels.ELECTRON_MASS), rtol=1e-9)


def test_neutrons_carry_energy_away_from_a_star():
    """Geant4: 144 MeV and 107 low-energy voxels of pi- of 100 MeV in a box of 2.3 m."""
    generator = EventGenerator(rng=5)
    visible, low = [], []
    for i in range(100):
        event = generator.transport([Primary("pi-", 100.0, (115.0, 115.0, 115.0), Z)], i)
        visible.append(event.energy.sum())
        low.append((event.semantic == SemanticClass.LOW_ENERGY).sum())
    assert np.mean(visible) == pytest.approx(144, rel=0.1)
    assert np.mean(low) == pytest.approx(107, rel=0.15)


def test_one_path_in_a_hundred_has_a_hard_scatter():
    """Of muons, beyond four widths of the Gaussian core, from the single scatters."""
    run = alone()
    turned = [
        charged.scatter_hard(run, 200.0, kernels.MUON_MASS, charged.PATH, Z)[2] < 1 for _ in range(20000)
    ]
    assert 0.005 < np.mean(turned) < 0.015


@pytest.mark.parametrize(("energy", "path"), [(0.5, 0.02), (2.0, 0.1), (10.0, 0.3), (50.0, 2.0)])
@pytest.mark.parametrize("steps", [1, 8])
def test_electrons_turn_as_their_single_scatters_add_up(energy, path, steps):
    """Mean cosine exp(-path / lambda), lambda the first transport mean free path, whatever the steps."""
    run = alone()
    momentum, total = math.sqrt(energy * (energy + 2 * kernels.ELECTRON_MASS)), energy + kernels.ELECTRON_MASS
    b2, screening = (momentum / total) ** 2, LIQUID_ARGON.screening / momentum**2
    size = 4 / 3 * (momentum * LIQUID_ARGON.nuclear_radius) ** 2

    def turned(log_s):  # 1 - cosine is twice s
        s = math.exp(log_s)
        return 2 * s * s * (1 - b2 * s) * math.exp(-size * s) / (s + screening) ** 2

    inverse, _ = integrate.quad(turned, math.log(screening) - 12, 0.0, limit=200)
    inverse *= LIQUID_ARGON.rutherford / (b2 * momentum**2)
    cosine = []
    for _ in range(20_000):
        direction = Z
        for _ in range(steps):
            scatters = charged.single_scatters(run, energy, path / steps)
            angle = charged.soft_scatter(run, scatters)
            direction = charged.rotate(direction, math.cos(angle), 6.28 * uniform(run.stream))
            direction = charged.hard_scatters(run, energy, scatters, direction)
        cosine.append(direction[2])
    assert -math.log(np.mean(cosine)) == pytest.approx(path * inverse, rel=0.05)


def test_screening_is_that_of_moliere():
    """Electrons of 1 MeV in argon: half of chi_a is 4.24 mrad (1.13 + 3.76 (18 / 137)^2 under the root)."""
    squared = 1.0 * (1.0 + 2 * kernels.ELECTRON_MASS)
    assert math.sqrt(LIQUID_ARGON.screening / squared) == pytest.approx(4.24e-3, rel=2e-3)


def test_the_core_is_that_of_highland():
    """A muon of 200 MeV in 3 cm of argon: 13.6 MeV / 266 MeV sqrt(3 / 14) (1 + 0.038 ln(3 / 14)), 22 mrad."""
    run = alone()
    width = charged.core_width(run, 200.0, kernels.MUON_MASS, 3.0)
    assert width == pytest.approx(0.0222, rel=0.02)
    angles = [charged.scattering_angle(run, 200.0, kernels.MUON_MASS, 3.0) for _ in range(20000)]
    assert np.mean(np.square(angles)) == pytest.approx(2 * width**2, rel=0.05)


def test_rotations_are_rotations(rng):
    for direction in [*rng.normal(size=(50, 3)), [0, 0, 1], [0, 0, -1], [1e-9, 0, 1], [0, 1, 0]]:
        unit = tuple(np.array(direction, float) / np.linalg.norm(direction))
        cosine = rng.uniform(-1, 1)
        turned = np.array(kernels.rotate(unit, cosine, rng.uniform(0, 6.3)))
        assert np.linalg.norm(turned) == pytest.approx(1, abs=1e-9)
        assert turned @ unit == pytest.approx(cosine, abs=1e-6)


def test_small_buffers_change_nothing(monkeypatch):
    generator = EventGenerator("single:e-")
    expected = generator.event(0)
    monkeypatch.setattr("sparseclust.data.simulation._generator.CAPACITY", 16)
    event = generator.event(0)
    assert len(event) > 16
    np.testing.assert_array_equal(event.coords, expected.coords)
    np.testing.assert_array_equal(event.feats, expected.feats)
